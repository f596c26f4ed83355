"""The demo's archives: read back with the readers of the real products and compared with known properties of those."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio

from pipeline.demo.archives import Archives, write_archives
from pipeline.demo.area import demo_grid, demo_years
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.crops import cdl
from pipeline.sources.gpp_gaps import FilledGpp, fill_gaps
from pipeline.sources.nldas2.daily import read_days
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.product import NldasSettings, Window
from pipeline.sources.slope import reader
from pipeline.sources.slope.settings import SlopeSettings
from pipeline.sources.soil import gssurgo


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return write_archives(tmp_path_factory.mktemp("archives"))


def _tile_gpp(archives: Archives, *, year: int, grid: Grid) -> FilledGpp:
    settings = SlopeSettings()
    gpp = reader.read_year(archives.slope, year=year, grid=grid, settings=settings)
    return fill_gaps(gpp.values_TYX, rule=settings.gap_rule)


@pytest.mark.slow
def test_corn_and_soybean_cells_produce_what_they_do_in_illinois(archives: Archives) -> None:
    grid = Grid(demo_grid().first_row + 48, demo_grid().first_col, 48, 240, 48)
    settings = cdl.CropSettings()
    corn, soybean, peak_month = {}, {}, {}
    for year in demo_years():
        gpp = _tile_gpp(archives, year=year, grid=grid).gpp_TYX
        shares = cdl.crops_on_grid(
            cdl.find_layer(archives.cdl, year=year, settings=settings), grid=grid, settings=settings
        )
        annual = gpp.sum(axis=0)
        corn[year] = np.nanmedian(annual[shares.corn_YX > 0.97])
        soybean[year] = np.nanmedian(annual[shares.soybean_YX > 0.97])
        course = np.nanmean(gpp[:, shares.corn_YX > 0.97], axis=1)
        months = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]").astype("datetime64[M]")
        peak_month[year] = 1 + int(np.argmax([course[months == month].mean() for month in np.unique(months)]))
        assert 15 < np.sort(course)[-15] < 25
        assert course[:90].max() < 0.05
    assert all(1200 <= value <= 1600 for value in corn.values())
    assert all(700 <= value <= 1050 for value in soybean.values())
    assert corn[2012] < min(corn[2010], corn[2011])  # the drought of 2012 lowers it; grain it lowers by a sixth
    assert peak_month[2010] == peak_month[2011] == 7
    assert peak_month[2012] in (6, 7)


@pytest.mark.slow
def test_one_small_long_gap_makes_a_year_missing(archives: Archives) -> None:
    grid = Grid(demo_grid().first_row + 48, demo_grid().first_col, 48, 240, 48)
    missing = {year: int(np.isnan(_tile_gpp(archives, year=year, grid=grid).gpp_TYX[0]).sum()) for year in demo_years()}
    assert missing == {2010: 0, 2011: 25, 2012: 0}


@pytest.mark.slow
def test_every_day_window_of_every_year_finds_its_hours(archives: Archives) -> None:
    window = Window.around(*demo_grid().lonlat())
    for day_window in ("utc_stamp", "utc_hour_ending", "local_standard"):
        settings = NldasSettings(day_window=day_window)
        index = index_archive(archives.nldas2, settings=settings)
        last = dt.date(demo_years()[-1], 12, 31)
        climate = read_days(index, first=last, last=last, window=window, settings=settings)
        assert np.isfinite(climate.climate_FTYX).all()


@pytest.mark.slow
def test_all_land_but_town_and_water_has_soil(archives: Archives) -> None:
    settings = gssurgo.SoilSettings()
    found = gssurgo.find_archive(archives.gssurgo, settings=settings)
    units = gssurgo.read_map_units(found.geodatabases, settings=settings)
    soil = gssurgo.soil_on_grid(found.rasters, units=units, grid=demo_grid())
    assert soil.unknown_mukeys == ()
    assert 0.97 < soil.coverage_YX.mean() < 0.995
    assert np.isnan(soil.features_FYX[0]).any()


@pytest.mark.slow
def test_equal_seeds_write_equal_files(archives: Archives, tmp_path: Path) -> None:
    reports: dict[str, list[tuple[int, int]]] = {}
    again = write_archives(tmp_path, progress=lambda name, *done: reports.setdefault(name, []).append(done))
    assert {name: done[-1] for name, done in reports.items()} == {
        "land cover and soils": (4, 4),
        "weather": (37, 37),
        "gross primary production": (1096, 1096),
    }
    for kind in ("cdl", "slope", "gssurgo"):
        first, second = (sorted(getattr(each, kind).rglob("*.tif")) for each in (archives, again))
        assert [path.name for path in first] == [path.name for path in second]
        for one, other in zip(first[::23], second[::23], strict=True):
            with rasterio.open(one) as a, rasterio.open(other) as b:
                np.testing.assert_array_equal(a.read(), b.read())
    for one, other in zip(*(sorted(each.nldas2.rglob("*.nc*")) for each in (archives, again)), strict=True):
        with netCDF4.Dataset(one) as a, netCDF4.Dataset(other) as b:
            np.testing.assert_array_equal(a["Tair"][:], b["Tair"][:])


@pytest.mark.slow
def test_the_archives_are_small_and_every_folder_is_labelled_as_synthetic(archives: Archives) -> None:
    for field in fields(archives):
        assert "Synthetic" in (getattr(archives, field.name) / "README.txt").read_text()
    files = [path for path in archives.cdl.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 150e6
