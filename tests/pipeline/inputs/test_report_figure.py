"""The picture of the inputs store shows its values where they lie, and is replaced only by a whole one."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from pyproj import Proj

from pipeline import config
from pipeline.cluster.executor import Serial
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs import report_figure
from pipeline.inputs import survey as inputs_survey
from pipeline.inputs.report import InputsReport, Wanted, report_inputs
from pipeline.inputs.report_figure import PANELS, Mapped, Panel, read_map, write_figure
from pipeline.inputs.survey import middle
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.storage import repository
from regions import zones
from tests.helpers import small_archives


def survey_stores(job: Job, wanted: Wanted) -> InputsReport:
    files = job.run_file
    return report_inputs(files.stores.inputs, job.region, wanted, archives=files.archives.by_product)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Small archives, ingested but for the climate of 2012."""
    folder = tmp_path_factory.mktemp("small")
    run_file = small_archives.write_archives(folder)
    ingest(plan_ingest(run_file, products=["gpp", "crop", "soil"]), executor=Serial())
    ingest(plan_ingest(run_file, products=["climate"], years=[2011]), executor=Serial())
    (folder / "run.toml").write_text(config.dump(run_file))
    return Job.open(folder / "run.toml")


@pytest.fixture(scope="module")
def view(job: Job) -> InputsView:
    return open_inputs(job.run_file.stores.inputs)


@pytest.fixture(scope="module")
def report(job: Job) -> InputsReport:
    return survey_stores(job, Wanted(job.region.years))


def opened(job: Job, group: str) -> xr.Dataset:
    session = repository.open_existing(job.run_file.stores.inputs, made_by="test").readonly_session("main")
    return xr.open_zarr(session.store, group=group, consolidated=False)


def layer(name: str) -> Panel:
    (found,) = [layer for layer in PANELS if layer.name == name]
    return found


def test_maps_hold_the_values_of_the_store_on_the_corners_of_the_cells(job: Job, view: InputsView) -> None:
    gpp, soil = opened(job, "gpp/2012")["gpp"], opened(job, "soil")["tsoc"]
    annual = read_map(view, job.domain.tiles, layer("gpp"), 2012)
    np.testing.assert_allclose(annual.values, gpp.sum("time", skipna=False, dtype=np.float64), rtol=1e-6)
    assert np.nanmin(annual.values) > 100
    mapped = read_map(view, job.domain.tiles, layer("tsoc"), None)
    np.testing.assert_array_equal(mapped.values, soil)
    x, y = np.meshgrid(view.grid.x_edges_m, view.grid.y_edges_m)
    longitude, latitude = Proj(SINUSOIDAL)(x, y, inverse=True)
    np.testing.assert_allclose(mapped.longitude, longitude, atol=1e-9)
    np.testing.assert_allclose(mapped.latitude, latitude, atol=1e-9)
    assert not annual.sampled


def test_maps_of_climate_are_means_and_sums_of_the_year(job: Job, view: InputsView) -> None:
    data = opened(job, "climate/2011")
    warm, rain = (read_map(view, job.domain.tiles, layer(name), 2011) for name in ("tmax_air", "precn"))
    np.testing.assert_allclose(warm.values, data["tmax_air"].mean("time", skipna=False, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(rain.values, data["precn"].sum("time", skipna=False, dtype=np.float64), rtol=1e-6)
    middles = (warm.longitude[0, :-1] + warm.longitude[0, 1:]) / 2
    np.testing.assert_allclose(middles, data["lon"])
    assert (np.diff(warm.latitude[:, 0]) > 0).all()


@pytest.mark.parametrize("most", [5, 7, 16])
def test_a_large_grid_is_thinned_tile_by_tile_as_it_is_as_a_whole(
    job: Job, view: InputsView, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(report_figure, "_MOST_CELLS", most)
    thin = -(-max(view.grid.shape) // most)
    assert thin > 1
    mapped = read_map(view, job.domain.tiles, layer("corn_fraction"), 2011)
    np.testing.assert_array_equal(mapped.values, opened(job, "crop/2011")["corn_fraction"].values[::thin, ::thin])
    assert mapped.longitude.shape == (mapped.values.shape[0] + 1, mapped.values.shape[1] + 1)
    assert max(mapped.values.shape) <= most


def test_of_a_sampled_tile_the_mean_of_the_sample_is_shown(
    job: Job, view: InputsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs_survey, "middle", lambda window, edge: middle(window, edge // 2))
    mapped = read_map(view, job.domain.tiles, layer("gpp"), 2011)
    annual = opened(job, "gpp/2011")["gpp"].sum("time", dtype=np.float64).values
    assert mapped.sampled
    for tile in job.domain.tiles:
        rows, cols = view.grid.window(tile)
        sample = annual[rows.start + 4 : rows.stop, cols.start + 4 : cols.stop]
        np.testing.assert_allclose(mapped.values[rows, cols], sample.mean(), rtol=1e-6)
    assert not read_map(view, job.domain.tiles, layer("gpp"), 2011, everything=True).sampled


@pytest.fixture(scope="module")
def drawing(job: Job, report: InputsReport, view: InputsView) -> Figure:
    maps: dict[str, Mapped] = {
        name: read_map(view, job.domain.tiles, layer(name), year)
        for name, year in (("tmax_air", 2011), ("tsoc", None), ("corn_fraction", 2012))
    }
    return report_figure.figure(report, maps, zones(job.region))


def place(drawing: Figure, title: str) -> Axes:
    (axes,) = [axes for axes in drawing.axes if axes.get_title().startswith(title)]
    return axes


def test_panels_show_their_maps_and_say_what_is_not_ingested(drawing: Figure) -> None:
    (mesh,) = [drawn for drawn in place(drawing, "Soil organic carbon").collections if isinstance(drawn, QuadMesh)]
    assert mesh.get_array().count() > 0
    assert place(drawing, "Corn, share of the cell, 2012").get_title().endswith("2012")
    absent = place(drawing, "Sand")
    assert [text.get_text() for text in absent.texts] == ["not ingested"]


def test_the_course_of_gpp_is_that_of_all_years(drawing: Figure, job: Job) -> None:
    lines = place(drawing, "Daily gross primary production").get_lines()
    assert len(lines) == 2
    for line, year in zip(lines, (2011, 2012), strict=True):
        expected = opened(job, f"gpp/{year}")["gpp"].mean(("y", "x"), dtype=np.float64)
        np.testing.assert_array_equal(line.get_xdata(), expected["time"].values.astype("datetime64[D]"))
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6, atol=1e-9)


def test_coverage_is_drawn_for_what_is_ingested_alone(drawing: Figure, report: InputsReport) -> None:
    coverage = place(drawing, "Share of the stored cells")
    shares = [text.get_text() for text in coverage.texts]
    assert shares == [f"{survey.coverage:.1%}" for survey in sorted(report.surveys, key=_row)]
    assert len(shares) == 1 + 2 + 2 + 1  # the climate of 2012 is not there
    assert [label.get_text() for label in coverage.get_yticklabels()] == ["climate", "gpp", "crop", "soil"]
    assert [label.get_text() for label in coverage.get_xticklabels()] == ["2011", "2012"]


def _row(survey: inputs_survey.Survey) -> int:
    return ["climate", "gpp", "crop", "soil"].index(survey.product)


def test_the_title_names_synthetic_products(job: Job, report: InputsReport) -> None:
    synthetic = InputsReport(**(vars(report) | {"synthetic": ("gpp",)}))
    drawing = report_figure.figure(synthetic, {}, zones(job.region))
    assert drawing.get_suptitle().endswith("synthetic, without any observation: gpp")


def test_a_png_of_the_promised_width_is_written(job: Job, report: InputsReport, tmp_path: Path) -> None:
    path = tmp_path / "look.png"
    write_figure(path, job.region, report)
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[1] == report_figure.PIXELS_WIDE
    assert pixels[..., :3].std() > 0.1
