"""Means and trends over years are those of an independent fit, with the years that each cell has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy.stats import linregress

from pipeline.cluster.executor import Serial
from pipeline.export.geotiffs import ExportReport, export_cogs
from pipeline.export.over_years import OverYears
from pipeline.export.selection import Selection
from pipeline.storage import repository
from pipeline.variables import Quality
from tests.helpers.filled_cube import REGION, Filled, fill_cube

YEARS = (2011, 2012, 2013, 2014)


@pytest.fixture(scope="module")
def four_years(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Four years of results, the last one without the last tile."""
    region = REGION.replace("last_year = 2012", "last_year = 2014")
    return fill_cube(tmp_path_factory.mktemp("cube"), region=region)


def export(filled: Filled, folder: Path, **chosen: object) -> tuple[ExportReport, list[NDArray[np.floating]]]:
    selection = Selection(**{"variables": ("nee",), **chosen})  # type: ignore[arg-type]
    report = export_cogs(filled.job, Serial(), selection, str(folder))
    assert not report.failures
    with rasterio.open(report.files[0]) as opened:
        return report, list(opened.read())


def annual(filled: Filled, name: str) -> NDArray[np.generic]:
    root = repository.read(filled.job.open_cube())
    mask = repository.values(root, "static/mask") == 1
    stored = repository.values(root, f"annual/{name}")
    return np.where(mask, stored, np.nan) if stored.dtype == np.float32 else stored


def test_a_trend_is_the_slope_that_scipy_fits_and_a_mean_that_of_the_years(four_years: Filled, tmp_path: Path) -> None:
    values, rng = annual(four_years, "nee").astype(float), np.random.default_rng(4)
    _, (slope, count) = export(four_years, tmp_path, period="trend")
    _, (mean, of_mean) = export(four_years, tmp_path, period="mean", years=YEARS[:3])
    known = np.isfinite(values).sum(axis=0)
    np.testing.assert_array_equal(count, np.where(known, known, np.nan))
    assert set(np.unique(known)) == {0, 3, 4}
    np.testing.assert_array_equal(np.isfinite(slope), known >= 3)
    for row, col in rng.permutation(np.argwhere(known >= 3))[:200]:
        has = np.isfinite(values[:, row, col])
        expected = linregress(np.array(YEARS)[has], values[has, row, col]).slope
        assert slope[row, col] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(mean, values[:3].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(of_mean, np.where(np.isfinite(values[:3]).all(axis=0), 3, np.nan))


def test_cells_with_too_few_years_are_nodata_and_counted(four_years: Filled, tmp_path: Path) -> None:
    values = annual(four_years, "nee")
    quality, crop = annual(four_years, "quality"), annual(four_years, "crop")
    corn = ((quality & Quality.NOT_GROWN) == 0) & (crop == 1) & np.isfinite(values)
    few = int(np.isin(corn.sum(axis=0), (1, 2)).sum())
    for expected_kept in (0, 1):  # the second time the file is there
        report, (slope, _) = export(four_years, tmp_path, period="trend", mask="corn", least_years=3)
        said = f"nee_trend, 2011-2014: {few} pixels have a value in fewer than 3 of 4 years, and are nodata"
        assert (report.kept, said in report.notes) == (expected_kept, True)
    np.testing.assert_array_equal(np.isfinite(slope), corn.sum(axis=0) >= 3)
    with rasterio.open(report.files[0]) as opened:
        assert (opened.units, opened.descriptions) == (("g m-2 yr-2", "1"), ("nee_trend", "years"))
        assert (opened.tags()["AGCARBON_YEARS"], opened.tags()["AGCARBON_LEAST_YEARS"]) == ("2011-2014", "3")
        assert f"2014: {four_years.missing[0]}" in opened.tags()["AGCARBON_TILES_MISSING"]


def test_a_mean_of_yields_in_other_units_takes_the_crop_of_each_year(four_years: Filled, tmp_path: Path) -> None:
    crop, grain = annual(four_years, "crop")[:2], annual(four_years, "yield")[:2].astype(float)
    _, (mean, _) = export(four_years, tmp_path, period="mean", variables=("yield",), units=("t/ha",), years=YEARS[:2])
    # By hand: 0.01 / 0.45 / 0.844 and 0.01 / 0.54 / 0.87.
    expected = (grain * np.where(crop == 1, 0.02632965, 0.02128565)).mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-8)


def test_a_mean_in_another_projection_keeps_its_total(four_years: Filled, tmp_path: Path) -> None:
    cell = four_years.job.grid.cell_area_m2()[:, None]
    _, (native, _) = export(four_years, tmp_path, period="mean")
    _, (mean, years, area) = export(four_years, tmp_path, period="mean", crs="EPSG:5070")
    total = np.nansum(native.astype(float) * cell)
    np.testing.assert_allclose(np.nansum(mean.astype(float) * area.astype(float)), total, rtol=1e-6)
    assert (years[np.isfinite(mean)] >= 2).all()


def test_a_straight_line_has_its_own_slope_whatever_years_are_missing() -> None:
    years, rng = tuple(range(2000, 2021)), np.random.default_rng(5)
    slope, start = rng.normal(size=(2, 500))
    values = start + slope * np.array(years)[:, None]
    values[rng.random(values.shape) < 0.5] = np.nan
    found, count = OverYears("trend", years, 3).of(values)
    np.testing.assert_array_equal(count, np.isfinite(values).sum(axis=0))
    enough = count >= 3
    np.testing.assert_allclose(found[enough], slope[enough], rtol=1e-9, atol=1e-9)
