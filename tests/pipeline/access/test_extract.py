"""Series in long form beside the values of the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from pipeline.access.dataset import OpenCube
from pipeline.access.extract import point_series, series_tables, without_cells
from pipeline.access.series import PolygonSeries
from pipeline.access.tables import write_parts
from pipeline.job import Job
from pipeline.sources.polygons import Shape
from pipeline.storage import repository as store

LABELS = ["wide", "elsewhere"]


@pytest.fixture(scope="module")
def cube(aggregated: Job) -> OpenCube:
    return OpenCube.at(aggregated.stores.cube)


@pytest.fixture(scope="module")
def fields(cube: OpenCube) -> PolygonSeries:
    boxes = [shapely.box(-89.60, 39.98, -89.57, 40.01), shapely.box(-80, 45, -79.9, 45.1)]
    return PolygonSeries(cube, [Shape(*each) for each in zip(LABELS, boxes, strict=True)])


def test_the_series_of_a_point_is_that_of_its_cell(cube: OpenCube) -> None:
    finite = np.isfinite(store.part(cube.root, "annual/nee", 1))
    row, col = np.argwhere(finite)[40]
    lon, lat = (float(degrees[row, col]) for degrees in cube.part(cube.whole).lonlat())
    series = point_series(cube, [f"{lat},{lon}"] * 2)
    (days,) = series_tables(series, period="daily", years=[2012])
    assert len(days) == 366
    np.testing.assert_allclose(days["nee"], store.part(cube.root, "daily/2012/nee", (slice(None), row, col)), rtol=1e-6)
    np.testing.assert_allclose(days["reco"], days["ra"] + days["rh"], rtol=1e-5, atol=1e-6)
    assert (days["valid_share"] == 1).all()
    assert (days["mixed_share"] == 0).all()
    assert str(days["date"].iloc[-1])[:10] == "2012-12-31"
    (year,) = series_tables(series, period="annual", years=[2012])
    assert year["label"].tolist() == [f"{lat},{lon}"]
    assert float(year["dsoc"].iloc[0]) == pytest.approx(float(store.part(cube.root, "annual/dsoc", (1, row, col))))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_of_all_years_are_one_file_in_the_order_of_the_series(
    fields: PolygonSeries, tmp_path: Path, suffix: str
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"series{suffix}"
    assert write_parts(str(path), series_tables(fields, period="daily")) == 2 * (365 + 366)
    read = pd.read_csv(path, parse_dates=["date"]) if suffix == ".csv" else pd.read_parquet(path)
    daily = fields.daily()
    for label in LABELS:
        of_label = read[read["label"] == label]
        assert (of_label["date"].to_numpy() == daily["time"].values).all()
        for name in ("ra", "rh", "nee", "reco", "valid_share"):
            np.testing.assert_allclose(of_label[name], daily[name].sel(polygon=label), rtol=1e-6)
        mixed = fields.coverage()["mixed_share"].sel(polygon=label)
        np.testing.assert_allclose(of_label["mixed_share"], np.full(365 + 366, mixed), rtol=1e-6)


def test_annual_tables_have_means_and_shares(fields: PolygonSeries) -> None:
    first, last = series_tables(fields, period="annual")
    assert (first["year"].tolist(), last["year"].tolist()) == ([2011] * 2, [2012] * 2)
    annual = fields.annual([2012]).sel(year=2012, cover="cells")
    np.testing.assert_array_equal(last["nee"], annual["nee"])
    expected = annual["area"].values[0] / fields.coverage()["modelled_area"].values[0]
    np.testing.assert_array_equal(last["valid_share"], [expected, np.nan])


def test_a_cell_without_a_result_is_no_part_of_the_valid_share(cube: OpenCube) -> None:
    whole = cube.whole
    row, col = np.argwhere(cube.modelled(whole) & ~np.isfinite(store.part(cube.root, "annual/nee", 1)))[0]
    lon, lat = (float(degrees[row, col]) for degrees in cube.part(whole).lonlat())
    series = PolygonSeries(cube, [Shape("around", shapely.box(lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01))])
    modelled = float(series.coverage()["modelled_area"][0])
    expected = 1 - cube.grid.cell_area_m2()[row] / modelled
    (annual,) = series_tables(series, period="annual", years=[2012])
    (daily,) = series_tables(series, period="daily", years=[2012])
    assert annual["valid_share"].tolist() == pytest.approx([expected])
    np.testing.assert_allclose(daily["valid_share"], expected, rtol=1e-6)
    assert 0 < expected < 0.999


def test_polygons_without_modelled_cells_are_named(fields: PolygonSeries) -> None:
    assert without_cells(fields) == "1 of 2 polygons hold no modelled cell, and have no values (such as elsewhere)"
