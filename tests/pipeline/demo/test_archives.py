"""The demo's archives: read back with the readers of the real products and compared with known properties of those."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from pathlib import Path

import netCDF4
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine

from model.synthetic.weather import Weather
from pipeline.demo.archives import Archives, write_archives
from pipeline.demo.area import Pixels, albers_pixels, demo_grid, demo_years, nldas_cells
from pipeline.demo.cropland import write_layer
from pipeline.demo.granules import LOST_HOURS, write_month
from pipeline.demo.hours import Hourly, daily_weather
from pipeline.demo.landscape import ROTATIONS, draw_landscape
from pipeline.demo.site import site_inputs
from pipeline.demo.slope import NODATA, hidden, observed, packed, write_year
from pipeline.demo.soils import (
    FIRST_MUKEY,
    MAP_UNITS,
    survey_soils,
    survey_tables,
    write_geodatabase,
    write_mukey_raster,
)
from pipeline.demo.weather import draw_hourly
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL, Grid, lonlat
from pipeline.site.table import read_site_csv
from pipeline.sources.crops import cdl
from pipeline.sources.nldas2 import daily as nldas2
from pipeline.sources.slope import reader
from pipeline.sources.soil import gssurgo

SEED = 3
ATMOSPHERE_MJ_M2_D = 42.0
"""Daily radiation above the atmosphere at 40 N in June."""


@pytest.fixture(scope="module")
def hourly() -> Hourly:
    return draw_hourly(SEED, cells=nldas_cells(), years=(2010,))


@pytest.fixture(scope="module")
def daily(hourly: Hourly) -> Weather:
    return daily_weather(hourly)


def _random_places(points: int) -> tuple[np.ndarray, np.ndarray]:
    grid, rng = demo_grid(), np.random.default_rng(0)
    x = rng.uniform(grid.x_edges_m[0], grid.x_edges_m[-1], points)
    return lonlat(x, rng.uniform(grid.y_edges_m[-1], grid.y_edges_m[0], points))


def test_the_grid_meets_two_modis_tiles_and_four_half_degree_cells() -> None:
    longitude, latitude = demo_grid().lonlat()
    assert {tile.modis for tile in demo_grid().tiles()} == {"h11v04", "h11v05"}
    assert len({(x, y) for x, y in zip((longitude // 0.5).ravel(), (latitude // 0.5).ravel(), strict=True)}) >= 4


def test_equal_seeds_draw_equal_landscapes_and_others_differ() -> None:
    place = _random_places(500)
    first, again, other = (draw_landscape(seed).at(*place) for seed in (1, 1, 2))
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert (first.cover != other.cover).any()
    assert (first.soil != other.soil).any()


def test_most_land_is_corn_and_soybean_in_alternation_with_some_continuous_corn() -> None:
    landscape = draw_landscape(SEED)
    land = landscape.at(*_random_places(20_000))
    first, second = (landscape.crops(land, year=year) for year in (0, 1))
    corn, soybean = first == 1, first == 5
    assert 0.75 < (corn | soybean).mean() < 0.92
    assert (second[soybean] == 1).mean() > 0.9
    assert 0.1 < (second[corn] == 1).mean() < 0.5
    assert {36, 111, 121, 141, 176} <= set(first.tolist())


def test_points_of_one_quarter_quarter_section_share_their_field() -> None:
    landscape = draw_landscape(SEED)
    longitude, latitude = np.array([-89.5001, -89.5003]), np.array([40.0301, 40.0303])
    field = landscape.at(longitude, latitude).field
    assert field[0] == field[1]
    assert landscape.rotation[field[0]] < len(ROTATIONS)


def test_the_soil_reader_gives_the_soils_that_drive_the_simulator_and_the_stocks_of_valu1(tmp_path: Path) -> None:
    write_geodatabase(tmp_path / "gSSURGO_DEMO.gdb", survey_tables())
    units = gssurgo.read_map_units([tmp_path / "gSSURGO_DEMO.gdb"], settings=gssurgo.SoilSettings())
    valu1 = pyogrio.read_dataframe(tmp_path / "gSSURGO_DEMO.gdb", layer="Valu1")
    np.testing.assert_allclose(units.features_FN[:, :7], survey_soils(survey_tables()).features(), rtol=1e-6)
    np.testing.assert_allclose(units.soc_stock_N, valu1["soc0_30"], atol=0.5)
    assert np.isnan(units.features_FN[:, 7:]).all()
    assert valu1["mukey"].map(type).eq(str).all()


def test_a_geodatabase_written_twice_holds_its_rows_once(tmp_path: Path) -> None:
    for _ in range(2):
        write_geodatabase(tmp_path / "gSSURGO_DEMO.gdb", survey_tables())
    assert pyogrio.read_info(tmp_path / "gSSURGO_DEMO.gdb", layer="mapunit")["features"] == len(MAP_UNITS)


def test_rasters_have_the_types_palette_and_nodata_of_their_products(tmp_path: Path) -> None:
    place = np.zeros(600)
    pixels = Pixels(np.ones((20, 30), bool), Affine(30, 0, 509_895, 0, -30, 1_919_715), place, place)
    soil = np.arange(pixels.longitude.size).astype(np.uint8) % len(MAP_UNITS)
    write_mukey_raster(tmp_path / "mukey.tif", pixels=pixels, soil=soil)
    write_layer(tmp_path / "cdl.tif", pixels=pixels, codes=np.where(soil == 0, 1, 5).astype(np.uint8))
    with rasterio.open(tmp_path / "mukey.tif") as keys, rasterio.open(tmp_path / "cdl.tif") as codes:
        assert keys.crs.to_epsg() == codes.crs.to_epsg() == 5070
        assert (keys.transform, keys.dtypes, keys.nodata) == (codes.transform, ("float32",), 2147483648)
        np.testing.assert_array_equal(keys.read(1).ravel().astype(int), FIRST_MUKEY + soil.astype(int))
        assert (codes.dtypes, codes.nodata, codes.profile["tiled"]) == (("uint8",), None, False)
        assert codes.colormap(1)[1] == (255, 211, 0, 255)
        assert codes.colormap(1)[5] == (37, 111, 0, 255)
        assert "synthetic" in codes.tags()["TIFFTAG_IMAGEDESCRIPTION"]


def test_the_pixels_reach_beyond_every_cell_of_the_grid_with_edges_at_15_m() -> None:
    pixels, longitude, latitude = (
        albers_pixels(),
        *lonlat(demo_grid().x_edges_m[[0, -1]], demo_grid().y_edges_m[[0, -1]]),
    )
    assert pixels.longitude.min() < longitude.min() - 0.005
    assert pixels.latitude.max() > latitude.max() + 0.005
    assert pixels.transform.c % 30 == pixels.transform.f % 30 == 15
    area_km2 = pixels.inside.sum() * 30**2 / 1e6
    rows, cols = demo_grid().shape
    assert area_km2 == pytest.approx((rows * CELL_M + 3000) * (cols * CELL_M + 3000) / 1e6, rel=0.005)


def test_hourly_weather_obeys_physics(hourly: Hourly) -> None:
    celsius = hourly.tair - 273.15
    vapour_pa = hourly.qair * hourly.psurf / (0.622 + 0.378 * hourly.qair)
    assert (vapour_pa <= 611.2 * np.exp(17.67 * celsius / (celsius + 243.5)) * 1.01 + 1).all()
    assert hourly.rainf.min() == 0
    assert hourly.rainf.max() < 100
    assert (hourly.wind_e < -1).any()
    assert (hourly.wind_n > 1).any()
    assert ((hourly.crainf_frac >= 0) & (hourly.crainf_frac <= 1)).all()


def test_the_sun_is_highest_at_18_utc_and_down_at_06_utc(hourly: Hourly) -> None:
    by_hour = np.array([hourly.swdown[hourly.stamps.astype(int) % 24 == hour].mean() for hour in range(24)])
    assert by_hour.argmax() == 18
    assert by_hour[5:10].max() == 0
    daylight = (hourly.swdown > 0).mean(axis=1)[(hourly.stamps.astype("datetime64[D]") == np.datetime64("2010-06-21"))]
    assert daylight.sum() == pytest.approx(15, abs=1.01)


def test_daily_weather_is_that_of_central_illinois(daily: Weather) -> None:
    july = (daily.dates >= np.datetime64("2010-07-01")) & (daily.dates < np.datetime64("2010-08-01"))
    assert daily.radn.max() < ATMOSPHERE_MJ_M2_D * 0.82
    assert 5000 < daily.radn.sum(axis=0).mean() < 6000
    assert 28 < daily.tmax_air[july].mean() < 34
    assert 750 < daily.precn.sum(axis=0).mean() < 1250
    assert 260 < daily.wind.mean() < 420
    assert 1.8 < daily.hmax_air[july].mean() < 3.2


def test_neighbouring_cells_share_their_weather_but_not_its_values(daily: Weather) -> None:
    assert np.corrcoef(daily.tmax_air[:, 0], daily.tmax_air[:, -1])[0, 1] > 0.98
    assert ((daily.precn[:, 0] > 0) == (daily.precn[:, -1] > 0)).all()
    assert (daily.tmax_air[:, 0] != daily.tmax_air[:, -1]).any()


def test_the_reader_reduces_the_granules_to_the_weather_that_drives_the_simulator(
    tmp_path: Path, hourly: Hourly, daily: Weather
) -> None:
    for month in ("2010-06", "2010-07"):
        write_month(tmp_path, hourly, month=np.datetime64(month), cells=nldas_cells())
    settings = nldas2.NldasSettings()
    index = nldas2.index_archive(tmp_path, settings=settings)
    window = nldas2.Window.around(*demo_grid().lonlat(), margin=1)
    climate = nldas2.read_days(
        index, first=dt.date(2010, 6, 1), last=dt.date(2010, 7, 30), window=window, settings=settings
    )
    june = np.flatnonzero(daily.dates == np.datetime64("2010-06-01"))[0]
    read = climate.climate_FTYX.reshape(7, 60, -1).transpose(1, 2, 0)
    gaps = climate.missing_hours_TYX.max(axis=(1, 2))
    whole = gaps == 0
    np.testing.assert_allclose(read[whole], daily.features()[june : june + 60][whole], rtol=2e-5, atol=2e-4)
    assert dict(enumerate(gaps[~whole].tolist(), start=int(np.flatnonzero(~whole)[0]))) == {2: len(LOST_HOURS)}
    assert climate.duplicate_hours == 1


def test_a_granule_has_the_metadata_of_version_2(tmp_path: Path, hourly: Hourly) -> None:
    write_month(tmp_path, hourly, month=np.datetime64("2010-06"), cells=nldas_cells())
    with netCDF4.Dataset(tmp_path / "2010" / "154" / "NLDAS_FORA0125_H.A20100603.0000.020.nc") as file:
        assert list(file["Tair"].dimensions) == ["time", "lat", "lon"]
        assert (file["time"].begin_date, file["time"].begin_time) == ("20100602", "230000")
        assert (file["time"].end_date, file["time"].end_time) == ("20100603", "000000")
        assert file["Rainf"]._FillValue == np.float32(-9999)
        assert file["Rainf"].dtype == np.float32
        assert list(file.variables)[-11:-3] == [
            "Tair",
            "Qair",
            "PSurf",
            "Wind_E",
            "Wind_N",
            "LWdown",
            "CRainf_frac",
            "CAPE",
        ]
        assert "synthetic" in file.source
        assert np.diff(file["lat"][:]).min() > 0


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


def test_a_slope_file_carries_the_sinusoidal_plane_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_the_inputs_of_the_demo_site_are_accepted_and_said_to_be_synthetic(tmp_path: Path) -> None:
    site_inputs(tmp_path / "site.csv", seed=SEED)
    site = read_site_csv(tmp_path / "site.csv")
    assert len(site.dates) == 1096
    assert "synthetic" in site.notes[0]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    return write_archives(tmp_path_factory.mktemp("archives"))


def _tile_gpp(archives: Archives, *, year: int, grid: Grid) -> reader.FilledGpp:
    settings = reader.SlopeSettings()
    return reader.fill_gaps(
        reader.read_year(archives.slope, year=year, grid=grid, settings=settings).values_TYX, settings=settings
    )


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
    window = nldas2.Window.around(*demo_grid().lonlat())
    for day_window in ("utc_stamp", "utc_hour_ending", "local_standard"):
        settings = nldas2.NldasSettings(day_window=day_window)
        index = nldas2.index_archive(archives.nldas2, settings=settings)
        last = dt.date(demo_years()[-1], 12, 31)
        climate = nldas2.read_days(index, first=last, last=last, window=window, settings=settings)
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
    again = write_archives(tmp_path)
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
def test_the_archives_are_small_and_every_folder_says_that_it_is_synthetic(archives: Archives) -> None:
    for field in fields(archives):
        assert "Synthetic" in (getattr(archives, field.name) / "README.txt").read_text()
    files = [path for path in archives.cdl.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 150e6
