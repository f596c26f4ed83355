"""The demo's SLOPE files: cells, clouds and errors."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio

from model.synthetic.weather import Weather
from pipeline.demo.area import demo_grid
from pipeline.demo.slope import NODATA, hidden, observed, packed, write_year
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid
from pipeline.sources.slope import reader

SEED = 3


def test_slope_files_hold_each_modis_tile_on_its_own_cells(tmp_path: Path) -> None:
    gpp = np.arange(366 * 96 * 240, dtype=np.float32).reshape(366, 96, 240) % 20_000 * np.float32(0.001)
    stored = packed(gpp, missing=np.zeros(gpp.shape, bool))
    stored[9, :5] = NODATA
    days = list(write_year(np.random.default_rng(0), folder=tmp_path / "GPP250m", stored=stored[:30], year=2012))
    assert days[-1] == dt.date(2012, 1, 30)
    north = Grid(demo_grid().first_row, demo_grid().first_col, 48, 240, 48)
    south = Grid(demo_grid().first_row + 48, demo_grid().first_col, 48, 240, 48)
    for grid, rows in ((north, slice(0, 48)), (south, slice(48, 96))):
        year = reader.read_year(tmp_path, year=2012, grid=grid, settings=reader.SlopeSettings())
        there = [day for day in range(30) if dt.date(2012, 1, day + 1) not in year.absent_days]
        assert len(there) == 27
        np.testing.assert_allclose(
            year.values_TYX[there], np.where(stored[there, rows] < 0, np.nan, gpp[there, rows]), atol=1e-6
        )


def test_a_slope_file_carries_the_sinusoidal_plane_and_is_labelled_as_synthetic(tmp_path: Path) -> None:
    stored = np.zeros((9, 96, 240), np.int16)
    list(write_year(np.random.default_rng(0), folder=tmp_path, stored=stored, year=2010))
    path = sorted(tmp_path.rglob("*.h11v05.tif"))[0]
    with rasterio.open(path) as raster:
        assert raster.crs == rasterio.CRS.from_string(SINUSOIDAL)
        assert raster.transform.f == pytest.approx(demo_grid().y_edges_m[48], abs=1e-6)
        assert raster.transform.a == pytest.approx(231.65635828, abs=1e-7)
        assert "synthetic" in raster.tags()["TIFFTAG_IMAGEDESCRIPTION"]


def test_clouds_of_the_growing_season_last_8_days_at_most(daily: Weather) -> None:
    missing = hidden(np.random.default_rng(SEED), weather=daily, year=2010)[106:304]
    run = longest = np.zeros(missing.shape[1:], int)
    for day in missing:
        run = np.where(day, run + 1, 0)
        longest = np.maximum(longest, run)
    assert longest.max() <= 8
    assert 0.02 < missing.mean() < 0.25


def test_the_error_of_slope_is_about_1_gram_at_the_height_of_the_season_and_0_in_winter() -> None:
    gpp = np.full((30, 20, 20), 17.0, np.float32)
    gpp[:10] = 0
    error = observed(np.random.default_rng(0), gpp=gpp) - gpp
    assert error[10:].std() == pytest.approx(1.0, abs=0.1)
    assert error[10:].mean() == pytest.approx(0.0, abs=0.05)
    assert (error[:10] == 0).all()
