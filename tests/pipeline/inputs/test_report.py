"""The report of the inputs store tells what xarray tells, and flags what is absent, implausible or not ingested."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from model.features import FEATURE_NAMES, training_range
from pipeline import config
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Grid
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs import survey as inputs_survey
from pipeline.inputs.layout import LEADING, create_group
from pipeline.inputs.report import InputsReport, Wanted, beyond_training_years, report_inputs, survey_faults
from pipeline.inputs.report_tables import print_inputs
from pipeline.inputs.survey import Survey, middle
from pipeline.job import Job
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.storage.repository import Array
from tests.helpers import small_archives
from tests.helpers.commits import transaction


def survey_stores(job: Job, wanted: Wanted) -> InputsReport:
    files = job.run_file
    return report_inputs(files.stores.inputs, job.region, wanted, archives=files.archives.by_product)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Small archives, ingested; their humidity has no course of the day, which is implausible: here it gets one."""
    folder = tmp_path_factory.mktemp("small")
    run_file = small_archives.write_archives(folder)
    ingest(plan_ingest(run_file), executor=Serial())
    (folder / "run.toml").write_text(config.dump(run_file))
    job = Job.open(folder / "run.toml")
    for year in small_archives.YEARS:
        change(job, f"climate/{year}/hdif_air", filled_with(0.3))
    return job


@pytest.fixture(scope="module")
def report(job: Job) -> InputsReport:
    return survey_stores(job, Wanted(job.region.years))


@pytest.fixture
def copied(job: Job, tmp_path: Path) -> Job:
    """The same store in a folder of its own, without the archives."""
    source = job.path.parent
    shutil.copytree(source / "inputs.icechunk", tmp_path / "inputs.icechunk")
    shutil.copy(source / "small.toml", tmp_path)
    changed = job.run_file.model_dump_json().replace(str(source), str(tmp_path))
    (tmp_path / "run.toml").write_text(config.dump(RunFile.model_validate_json(changed)))
    return Job.open(tmp_path / "run.toml")


def change(job: Job, path: str, how: Callable[[Array], None]) -> None:
    """Change an array in the store, as no reader would."""
    repository = store.open_existing(job.run_file.stores.inputs, made_by="test")
    with transaction(repository, "plant") as root:
        how(store.array(root, path))


def filled_with(value: float) -> Callable[[Array], None]:
    """Return a change that puts a value wherever there is one."""

    def fill(array: Array) -> None:
        array[...] = np.where(np.isnan(np.asarray(array[...])), np.nan, value)

    return fill


def opened(job: Job, group: str) -> xr.Dataset:
    session = store.open_existing(job.run_file.stores.inputs, made_by="test").readonly_session("main")
    return xr.open_zarr(session.store, group=group, consolidated=False)


def of(report: InputsReport, group: str) -> Survey:
    return next(survey for survey in report.surveys if survey.group == group)


def in_tiles(job: Job, data: xr.DataArray) -> np.ndarray[Any, Any]:
    """Values on the region's tiles alone."""
    domain = domain_of(job.region)
    inside = np.zeros(domain.grid.shape, bool)
    for tile in domain.tiles:
        inside[domain.grid.window(tile)] = True
    return np.asarray(data.values[..., inside], np.float64)


@pytest.mark.parametrize("group", ["gpp/2011", "gpp/2012", "soil", "crop/2011"])
def test_spreads_are_those_of_the_arrays_on_the_region_s_tiles(job: Job, report: InputsReport, group: str) -> None:
    data, survey = opened(job, group), of(report, group)
    leading = data[LEADING[survey.product].name]
    present = leading.notnull().any("time") if "time" in leading.dims else leading.notnull()
    checked = [name for name in survey.found.distributions if name in data]
    assert len(checked) >= 3
    for name in checked:
        values, distribution = in_tiles(job, data[name]), survey.found.distributions[name]
        if data[name].dtype.kind in "iu":  # counts and codes are of cells with data
            values = np.where(in_tiles(job, present), values, np.nan)
        assert (distribution.count, distribution.missing) == (np.isfinite(values).sum(), np.isnan(values).sum())
        assert (distribution.minimum, distribution.maximum) == (np.nanmin(values), np.nanmax(values))
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-6)
        width = distribution.bounds.width
        lower = np.nanpercentile(values, 99, method="inverted_cdf") - distribution.percentile(99)
        assert -1e-3 <= lower / width <= 1.001


def test_climate_is_that_of_all_cells_of_the_window(job: Job, report: InputsReport) -> None:
    data, survey = opened(job, "climate/2012"), of(report, "climate/2012")
    for name in ("tmax_air", "precn", "wind", "radn"):
        values, distribution = data[name].values.astype(np.float64), survey.found.distributions[name]
        assert (distribution.count, distribution.missing) == (15 * 366, 366)
        np.testing.assert_allclose([distribution.minimum, distribution.maximum], [np.nanmin(values), np.nanmax(values)])
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-6)
        low, high = training_range([feature.lower() for feature in FEATURE_NAMES].index(name))
        assert distribution.untrained == ((values < low) | (values > high)).sum()
    assert (survey.found.cells, survey.found.present, survey.coverage) == (16, 15, 15 / 16)
    expected = data["tmax_air"].mean(("lat", "lon"), dtype=np.float64)
    np.testing.assert_allclose(survey.daily_mean, expected, rtol=1e-6)


def test_derived_quantities_are_made_of_the_stored_ones(job: Job, report: InputsReport) -> None:
    climate, soil, gpp = opened(job, "climate/2011"), opened(job, "soil"), opened(job, "gpp/2011")
    crop = opened(job, "crop/2011")
    of_crops = (crop["corn_fraction"] + crop["soybean_fraction"]) >= 0.5
    annual = gpp["gpp"].astype(np.float64).sum("time", skipna=False)
    expected = {
        ("climate/2011", "tmin_air"): (climate["tmax_air"] - climate["tdif_air"]).values,
        ("climate/2011", "hmin_air"): (climate["hmax_air"] - climate["hdif_air"]).values,
        ("soil", "sand_and_silt"): in_tiles(job, soil["tsand"] + soil["tsilt"]),
        ("soil", "available_water"): in_tiles(job, soil["tfc"] - soil["twp"]),
        ("gpp/2011", "annual_gpp"): in_tiles(job, annual),
        ("gpp/2011", "annual_crop_gpp"): in_tiles(job, annual.where(of_crops)),
        ("crop/2011", "corn_and_soybean"): in_tiles(job, crop["corn_fraction"] + crop["soybean_fraction"]),
    }
    for (group, name), values in expected.items():
        distribution = of(report, group).found.distributions[name]
        assert distribution.count == np.isfinite(values).sum() > 0
        np.testing.assert_allclose(distribution.minimum, np.nanmin(values), rtol=1e-5)
        np.testing.assert_allclose(distribution.mean, np.nanmean(values), rtol=1e-5)


def test_all_that_is_wanted_is_there_and_plausible(report: InputsReport) -> None:
    assert [fault for survey in report.surveys for fault in survey_faults(survey)] == []
    assert report.sound
    assert [survey.group for survey in report.surveys] == [
        *(f"{product}/{year}" for product in ("climate", "gpp", "crop") for year in (2011, 2012)),
        "soil",
    ]
    assert set(report.ingested_at) == {survey.group for survey in report.surveys}


def test_years_that_are_not_ingested_are_named_by_product(job: Job) -> None:
    report = survey_stores(job, Wanted((2012, 2013, 2014), ("gpp", "soil")))
    assert report.absent == {"gpp": (2013, 2014)}
    assert not report.sound
    assert "gpp: 2013, 2014 not ingested" in printed(report)


def test_the_uncertainty_of_gpp_is_reported_where_it_is_and_never_absent(copied: Job) -> None:
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    with transaction(repository, "uncertainty of one year") as root:
        create_group(root, "gpp_uncertainty", 2012)
        attributes = store.subgroup(root, "gpp/2012").attrs.asdict()
        store.subgroup(root, "gpp_uncertainty/2012").attrs.update(
            {name: attributes[name] for name in ("digests", "ingest")}
        )
        store.array(root, "gpp_uncertainty/2012/gpp_uncertainty")[...] = 1.5
    report = survey_stores(copied, Wanted((2011, 2012), ("gpp",)))
    assert [survey.group for survey in report.surveys] == ["gpp/2011", "gpp/2012", "gpp_uncertainty/2012"]
    assert of(report, "gpp_uncertainty/2012").found.distributions["gpp_uncertainty"].mean == 1.5
    assert report.sound
    assert "gpp_uncertainty [g m-2 d-1]" in printed(report)


def test_an_unknown_product_is_refused() -> None:
    with pytest.raises(UserError, match="'npp': the products are climate, gpp, crop, soil"):
        Wanted((2012,), ("gpp", "npp"))


def test_a_planted_value_is_flagged_with_value_limit_share_and_cause(copied: Job) -> None:
    def too_hot(array: Array) -> None:
        array[100, 0, 1:3] = 301.5

    change(copied, "climate/2011/tmax_air", too_hot)
    report = survey_stores(copied, Wanted((2011, 2012), ("climate",)))
    faults = survey_faults(of(report, "climate/2011"))
    assert any("maximum 301.5 is above 55 degC" in fault and "2 of 5,475 values" in fault for fault in faults)
    assert any("kelvin" in fault for fault in faults)
    assert survey_faults(of(report, "climate/2012")) == []
    assert not report.sound
    assert "implausible: climate/2011: tmax_air" in printed(report)


def test_a_wrong_unit_within_the_limits_is_flagged_by_its_mean(copied: Job) -> None:
    def metres_per_second(array: Array) -> None:
        array[...] = np.asarray(array[...]) / 86.4

    change(copied, "climate/2012/wind", metres_per_second)
    (fault,) = survey_faults(of(survey_stores(copied, Wanted((2012,), ("climate",))), "climate/2012"))
    assert "mean 5 is outside 60 to 900 km d-1" in fault
    assert "m s-1 where km d-1 are expected" in fault


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("crop/2011/corn_fraction", 0.9, "corn_and_soybean: maximum"),
        ("soil/twp", 0.5, "available_water: minimum"),
        ("soil/tsilt", 950.0, "sand_and_silt: maximum"),
        ("gpp/2011/gpp", 45.0, "gpp: maximum 45 is above 40"),
    ],
)
def test_what_single_variables_do_not_tell_is_flagged(copied: Job, path: str, value: float, fault: str) -> None:
    change(copied, path, filled_with(value))
    group, _, _ = path.rpartition("/")
    survey = of(survey_stores(copied, Wanted((2011,))), group)
    assert any(found.startswith(fault) for found in survey_faults(survey))


def test_a_product_without_any_data_is_flagged(copied: Job) -> None:
    change(copied, "gpp/2012/gpp", filled_with(np.nan))
    survey = of(survey_stores(copied, Wanted((2012,), ("gpp",))), "gpp/2012")
    assert survey.coverage == 0
    assert "no cell has data" in survey_faults(survey)[0]


def test_counts_of_cells_without_data_are_missing_not_zero(copied: Job) -> None:
    def lose_a_cell(array: Array) -> None:
        array[:, 3, 9] = np.nan

    before = of(survey_stores(copied, Wanted((2011,), ("gpp",))), "gpp/2011").found.distributions["filled_days"]
    change(copied, "gpp/2011/gpp", lose_a_cell)
    survey = of(survey_stores(copied, Wanted((2011,), ("gpp",))), "gpp/2011")
    after = survey.found.distributions["filled_days"]
    assert (after.count, after.missing) == (before.count - 1, before.missing + 1)
    assert survey.found.present == survey.found.cells - 1
    assert survey.found.distributions["annual_gpp"].missing == 1


def test_tiles_that_are_not_ingested_are_named(copied: Job) -> None:
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    lost = domain_of(copied.region).tiles[1].name
    with transaction(repository, "lose a tile") as root:
        group = store.subgroup(root, "crop/2011")
        digests = store.attribute(group, "digests")
        del digests[lost]
        group.attrs["digests"] = digests
    report = survey_stores(copied, Wanted((2011,), ("crop",)))
    assert of(report, "crop/2011").absent_tiles == (lost,)
    assert not report.sound
    assert f"1 tiles of the region are not ingested: {lost}" in printed(report)


def test_a_sample_reads_one_chunk_of_each_tile_and_says_so(
    job: Job, report: InputsReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A store whose tiles are several chunks would be large: here the chunk is made out to be smaller than it is.
    monkeypatch.setattr(inputs_survey, "middle", lambda window, edge: middle(window, edge // 2))
    sampled = survey_stores(job, Wanted((2011,), ("gpp",)))
    assert of(sampled, "gpp/2011").share_read == 0.25
    assert "gpp: 25% of the cells were read, a square in each tile; --full reads all" in printed(sampled)
    full = of(survey_stores(job, Wanted((2011,), ("gpp",), everything=True)), "gpp/2011")
    assert full.share_read == 1
    np.testing.assert_array_equal(
        full.found.distributions["gpp"].bins, of(report, "gpp/2011").found.distributions["gpp"].bins
    )


@pytest.mark.parametrize("tile_cells", [240, 48, 80, 8, 4800])
def test_the_sampled_chunk_is_one_whole_chunk_near_the_middle(tile_cells: int) -> None:
    grid = Grid(0, 0, 2 * tile_cells, 2 * tile_cells, tile_cells)
    edge = cf.Layout.daily(grid, 2011).chunks[-1]
    for tile in grid.tiles():
        window = grid.window(tile)
        for side, whole in zip(middle(window, edge), window, strict=True):
            assert side.stop - side.start == edge
            assert (side.start - whole.start) % edge == 0
            assert whole.start <= side.start <= (whole.start + whole.stop) / 2 <= side.stop <= whole.stop


def test_json_has_the_same_keys_for_every_product_year(report: InputsReport) -> None:
    found = json.loads(report.dumps())
    assert list(found) == ["store", "snapshot", "region", "sound", "synthetic", "not_ingested", "product_years"]
    product_years = found["product_years"]
    assert {tuple(row) for row in product_years} == {
        (
            "product", "year", "ingested_at", "files", "size_bytes", "digest", "cells", "share_read", "coverage",
            "missing_share", "tiles_not_ingested", "counts", "notes", "beyond_training_years", "faults", "variables",
        )
    }  # fmt: skip
    assert {tuple(variable) for row in product_years for variable in row["variables"]} == {
        (
            "name", "units", "values", "missing", "minimum", "percentile_1", "mean", "percentile_99", "maximum",
            "plausible", "plausible_mean", "outside_plausible", "trained_on", "outside_training", "fault",
        )
    }  # fmt: skip
    gpp = next(row for row in product_years if (row["product"], row["year"]) == ("gpp", 2011))
    assert gpp["files"] == 2 * len(small_archives.DAYS)
    assert gpp["counts"]["dormant days set to 0"] > 0
    assert {row["year"] for row in product_years if row["product"] == "soil"} == {None}


def test_json_says_null_where_there_is_no_number(copied: Job) -> None:
    change(copied, "climate/2012/wind", filled_with(np.nan))
    found = json.loads(survey_stores(copied, Wanted((2012,), ("climate",))).dumps())
    wind = next(row for row in found["product_years"][0]["variables"] if row["name"] == "wind")
    assert (wind["minimum"], wind["mean"], wind["percentile_99"], wind["values"]) == (None, None, None, 0)


def printed(report: InputsReport, *, by_year: bool = False, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_inputs(console, report, by_year=by_year)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_tables_keep_all_columns_on_a_narrow_terminal(report: InputsReport) -> None:
    text = printed(report, width=40)
    assert "…" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("tmax_air [degC]")]
    low, high = training_range(1)
    assert "-50 to 55" in line
    assert f"{low:.3g} to {high:.3g}" in line
    assert text.splitlines()[-1] == "all requested inputs are ingested and plausible"


def test_notes_are_printed_as_they_are(report: InputsReport) -> None:
    first = report.surveys[0]
    noted = replace(first, record=replace(first.record, notes={"settings": "those of [crop]"}))
    text = printed(InputsReport(**(vars(report) | {"surveys": (noted,)})))
    assert "climate/2011: settings: those of [crop]" in text


def test_by_year_shows_each_year_of_its_own(report: InputsReport) -> None:
    together, each = printed(report), printed(report, by_year=True)
    assert together.count("tmax_air [degC]") == 1
    assert each.count("tmax_air [degC]") == 2
    assert each.count("tsoc [g kg-1]") == 1


def test_a_year_beyond_the_training_is_said(copied: Job) -> None:
    known = [beyond_training_years(year) for year in (2000, 2001, 2018, 2019, None)]
    assert known == [True, False, False, True, False]
    repository = store.open_existing(copied.run_file.stores.inputs, made_by="test")
    with transaction(repository, "a later year, with nothing in it") as root:
        create_group(root, "crop", 2020)
        attributes = store.subgroup(root, "crop/2012").attrs.asdict()
        store.subgroup(root, "crop/2020").attrs.update(attributes)
    report = survey_stores(copied, Wanted((2012, 2020), ("crop",)))
    assert "outside the network's training years: 2020" in printed(report)


def test_archives_that_call_themselves_synthetic_are_named(copied: Job) -> None:
    for folder in (copied.run_file.archives.slope, copied.run_file.archives.crop):
        folder.mkdir()
    (copied.run_file.archives.slope / "README.txt").write_text("Synthetic archive in the format of SLOPE\n")
    (copied.run_file.archives.crop / "README.txt").write_text("Downloaded in May\n")
    report = survey_stores(copied, Wanted((2011,)))
    assert report.synthetic == ("gpp",)
    assert printed(report).startswith("synthetic, without any observation: gpp")


def test_a_store_of_another_region_is_refused(copied: Job) -> None:
    region = Path(copied.run_file.region)
    region.write_text(region.read_text().replace("tile_cells = 8", "tile_cells = 16"))
    with pytest.raises(UserError, match="inputs of another region"):
        survey_stores(Job.open(copied.path), Wanted((2011,)))
