"""SLOPE: decoding and geometry of daily GPP and its uncertainty."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import CELL_M, SINUSOIDAL, Grid
from pipeline.sources.slope.reader import Unused, days_of, read_year
from pipeline.sources.slope.settings import SlopeSettings
from tests.helpers.missing_pixels import mark_missing

SETTINGS = SlopeSettings()
GRID = Grid(4 * 4800 + 96, 11 * 4800 + 48, 48, 48, 48)  # one tile in h11v04
# Written from the numbers of the product itself, not from pipeline.grid.sinusoidal; three cells of margin.
CORNER = Affine(231.65635828469235, 0, -7783653.638366, 0, -231.65635828469235, 5559752.598833)
CLIP = CORNER @ Affine.translation(45, 93)


def write_day(folder: Path, day: dt.date, stored: NDArray[np.generic], **profile: object) -> Path:
    path = folder / f"GPP250m/{day.year}/GPP.{day:%Y.%m.%d}.h11v04.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = stored.reshape(-1, *stored.shape[-2:])
    count, height, width = bands.shape
    settings = {"transform": CLIP, "crs": SINUSOIDAL, "dtype": stored.dtype, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, **settings) as file:
        file.write(bands)
    return path


def ramp() -> NDArray[np.int16]:
    """Stored values that name their pixel: row x 100 + column."""
    return (np.arange(60)[:, None] * 100 + np.arange(60)).astype(np.int16)


def test_a_clip_with_a_margin_is_read_at_the_cells_of_the_grid(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    assert year.values_TYX.shape == (365, 48, 48)
    july = year.values_TYX[181]
    assert july[0, 0] == pytest.approx(0.303)  # pixel (3, 3)
    assert july[47, 47] == pytest.approx(5.050)  # pixel (50, 50)
    assert np.isnan(np.delete(year.values_TYX, 181, axis=0)).all()


def test_days_without_a_file_are_listed_and_leap_years_have_366(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2004, 12, 31), ramp())
    year = read_year(tmp_path, year=2004, grid=GRID, settings=SETTINGS)
    assert len(year.values_TYX) == 366
    assert len(year.absent_days) == 365
    assert dt.date(2004, 2, 29) in year.absent_days
    assert dt.date(2004, 12, 31) not in year.absent_days


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_negative_fill_and_tagged_values_are_missing_and_counted_by_reason(tmp_path: Path, dtype: str) -> None:
    stored = ramp().astype(dtype)
    stored[3, 3:9] = np.array([-1, 32767, -32768, 255, 32766, 255]).astype(dtype)
    stored[0, 0] = 255  # outside the grid
    write_day(tmp_path, dt.date(2001, 7, 1), stored, nodata=255)
    write_day(tmp_path, dt.date(2001, 7, 2), stored, nodata=255)
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    july = year.values_TYX[181]
    assert np.isnan(july[0, [0, 1, 2, 3, 5]]).all()
    assert np.isfinite(july).sum() == july.size - 5
    assert july[0, 4] == pytest.approx(32.766)
    signed = dtype == "int16"  # else -1 and -32768 are 65535 and 32768
    assert year.unused == Unused(declared=4, negative=4 if signed else 0, high=2 if signed else 6)


def test_a_missing_value_that_is_negative_as_well_is_counted_once(tmp_path: Path) -> None:
    stored = np.full((60, 60), -9999, np.int16)
    write_day(tmp_path, dt.date(2001, 7, 1), stored, nodata=-9999)
    assert read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).unused == Unused(declared=48 * 48)


def test_files_of_real_numbers_are_read_with_scale_1_and_their_nan_is_counted(tmp_path: Path) -> None:
    stored = ramp().astype(np.float32) / 1000
    stored[3, 4] = np.nan
    write_day(tmp_path, dt.date(2001, 7, 1), stored)
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(scale=1))
    assert year.values_TYX[181, 0, 0] == pytest.approx(0.303)
    assert np.isnan(year.values_TYX[181, 0, 1])
    assert year.unused == Unused(not_a_number=1)


def test_a_nodata_value_of_the_settings_is_missing_too(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    july = read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(nodata=303)).values_TYX[181]
    assert np.isnan(july[0, 0])
    assert np.isfinite(july).sum() == july.size - 1


def tagged(scale: float, offset: float = 0.0) -> Callable[[Path], None]:
    def tag(path: Path) -> None:
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (scale,), (offset,)

    return tag


ESRI_WKT = (
    'PROJCS["MODIS_Sinusoidal",GEOGCS["GCS_Unknown",DATUM["D_Unknown",SPHEROID["S_MODIS",6371007.181,0.0]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Sinusoidal"],'
    'PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],UNIT["Meter",1.0]]'
)


GDAL_WKT = (
    'PROJCS["unnamed",GEOGCS["Unknown datum based upon the custom spheroid",DATUM["Not specified (based on custom '
    'spheroid)",SPHEROID["Custom spheroid",6371007.181,0]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],PARAMETER["false_easting",0],'
    'PARAMETER["false_northing",0],UNIT["Meter",1]]'
)


@pytest.mark.parametrize(
    "spelling",
    [
        "+proj=sinu +a=6371007.181 +b=6371007.181 +units=m +wktext",
        "+proj=sinu +R=6371007.181 +nadgrids=@null +wktext",
        ESRI_WKT,
        GDAL_WKT,
    ],
)
def test_other_spellings_of_the_sinusoidal_plane_are_accepted(tmp_path: Path, spelling: str) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), crs=spelling)
    assert read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).values_TYX[181, 0, 0] == pytest.approx(0.303)


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:5070",
        "EPSG:4326",
        "ESRI:54008",  # sinusoidal on an ellipsoid: out by 20 km
        "+proj=sinu +lon_0=-90 +R=6371007.181",
        "+proj=sinu +R=6371007.181 +units=us-ft",
        "+proj=eqc +lat_ts=45 +R=6371007.181",  # the same along 45 N
        'LOCAL_CS["plane",UNIT["metre",1]]',
    ],
)
def test_other_planes_are_refused_by_name(tmp_path: Path, crs: str) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp(), crs=crs)
    with pytest.raises(UserError, match="not the MODIS sinusoidal") as error:
        read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    assert path.name in str(error.value)
    with pytest.raises(ValueError, match="not the MODIS sinusoidal plane"):
        SlopeSettings(crs=crs)


HALF_CELLS = Affine.scale(0.5)


@pytest.mark.parametrize(
    ("profile", "settings", "message"),
    [
        ({"crs": None}, SETTINGS, "no coordinate system"),
        ({"transform": CLIP @ Affine.translation(0.03, 0)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ Affine.translation(0.5, 0)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ Affine.translation(0, -0.5)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ Affine.scale(250 / CELL_M)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ HALF_CELLS}, SETTINGS, "not cells of the MODIS grid"),
        (
            {"transform": CLIP @ Affine.translation(0, 60) @ Affine.scale(1, -1)},
            SETTINGS,
            "not cells of the MODIS grid",
        ),
        ({"transform": CLIP @ Affine.translation(20, 0)}, SETTINGS, "use a larger clip"),
        ({"transform": CLIP @ Affine.translation(0, -20)}, SETTINGS, "use a larger clip"),
        ({}, SlopeSettings(scale=1.0), r"5050 g C m-2 d-1 is above 50.*integers of 0\.001.*`scale` \(1\)"),
        ({}, SlopeSettings(scale=0.01), r"50\.5 g C m-2 d-1 is above 50"),
        ({}, SlopeSettings(scale=1e-4), r"stays at or below 0\.5[0-9]* g C m-2 d-1.*`scale` \(0\.0001\)"),
        ({"dtype": "float32"}, SETTINGS, "holds float32"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_its_place(
    tmp_path: Path, profile: dict[str, object], settings: SlopeSettings, message: str
) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), **profile)
    with pytest.raises(UserError, match=message) as error:
        read_year(tmp_path, year=2001, grid=GRID, settings=settings)
    assert str(tmp_path) in str(error.value)
    assert "h11v04" in str(error.value)


def test_corners_printed_with_few_digits_are_accepted(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), transform=CLIP @ Affine.translation(0.01, -0.01))
    assert read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).values_TYX[181, 0, 0] == pytest.approx(0.303)


@pytest.mark.parametrize(("scale", "offset"), [(0.0001, 0.0), (1.0, 5.0)])
def test_a_file_that_names_another_scale_or_an_offset_is_refused(tmp_path: Path, scale: float, offset: float) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    tagged(scale, offset)(path)
    with pytest.raises(UserError, match=rf"{path.name}: its tags give .*`scale` is 0\.001"):
        read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)


def test_a_file_that_names_the_same_scale_is_read(tmp_path: Path) -> None:
    tagged(0.001)(write_day(tmp_path, dt.date(2001, 7, 1), ramp()))
    assert read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).values_TYX[181, 0, 0] == pytest.approx(0.303)


def test_a_summer_of_little_gpp_is_doubted_but_not_one_of_none_nor_a_winter(tmp_path: Path) -> None:
    low = np.full((60, 60), 999, np.int16)
    write_day(tmp_path, dt.date(2001, 5, 31), low)
    assert np.nanmax(read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).values_TYX) == pytest.approx(0.999)
    path = write_day(tmp_path, dt.date(2001, 6, 1), low)
    with pytest.raises(UserError, match="min_summer_peak"):
        read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(min_summer_peak=0))
    path.unlink()
    write_day(tmp_path, dt.date(2001, 7, 1), np.zeros((60, 60), np.int16))  # water
    read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)


def test_a_file_without_coordinate_system_takes_that_of_the_settings(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), crs=None)
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(crs=SINUSOIDAL))
    assert year.values_TYX[181, 0, 0] == pytest.approx(0.303)


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:4000], lambda whole: whole[:100], lambda _: b"", lambda _: b"<!DOCTYPE html><html>Log in"],
    ids=["half", "header", "empty", "login page"],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"GPP\.2001\.07\.01.*truncated"):
        read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)


def test_a_year_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no GPP of h11v04 in 2020"):
        read_year(tmp_path, year=2020, grid=GRID, settings=SETTINGS)


OF_BAND_2 = SlopeSettings(uncertainty_band=2, uncertainty_scale=0.01)


def test_the_uncertainty_is_read_from_another_band_with_its_own_scale_and_no_gap_filled(tmp_path: Path) -> None:
    uncertainty = np.full((60, 60), 150, np.int16)
    uncertainty[3, 3:5] = (-1, 32767)
    write_day(tmp_path, dt.date(2001, 7, 1), np.stack([ramp(), uncertainty]))
    found = read_year(tmp_path, year=2001, grid=GRID, settings=OF_BAND_2, quantity="gpp_uncertainty")
    july = found.values_TYX[181]
    assert np.isnan(july[0, :2]).all()
    np.testing.assert_allclose(july[1:], 1.5, rtol=1e-6)
    assert np.isnan(np.delete(found.values_TYX, 181, axis=0)).all()
    assert len(found.absent_days) == 364
    assert found.unused == Unused(negative=1, high=1)
    assert read_year(tmp_path, year=2001, grid=GRID, settings=OF_BAND_2).values_TYX[181, 0, 0] == pytest.approx(0.303)


def test_the_uncertainty_is_read_from_files_of_its_own(tmp_path: Path) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    path.rename(path.with_name(path.name.replace("GPP.", "sd_")))
    settings = SlopeSettings(uncertainty_pattern="GPP250m/{YYYY}/sd_{YYYY}.{MM}.{DD}.{tile}.tif")
    july = read_year(tmp_path, year=2001, grid=GRID, settings=settings, quantity="gpp_uncertainty").values_TYX[181]
    assert july[47, 47] == pytest.approx(5.050)


def test_a_file_without_the_band_of_the_uncertainty_is_refused(tmp_path: Path) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    with pytest.raises(UserError, match=f"{path.name}: holds 1 bands, not the 2 of `uncertainty_band`"):
        read_year(tmp_path, year=2001, grid=GRID, settings=OF_BAND_2, quantity="gpp_uncertainty")


def test_an_implausible_uncertainty_names_its_own_scale(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), np.stack([ramp(), ramp() * 4]))
    with pytest.raises(UserError, match=r"GPP uncertainty of 202 .*`uncertainty_scale` \(0\.01\)"):
        read_year(tmp_path, year=2001, grid=GRID, settings=OF_BAND_2, quantity="gpp_uncertainty")


def test_a_year_has_the_days_of_the_calendar() -> None:
    assert [len(days_of(year)) for year in (2000, 2003, 2004, 2100)] == [366, 365, 366, 365]
    assert days_of(2004)[59] == dt.date(2004, 2, 29)


def test_a_leap_day_is_the_sixtieth(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2004, 2, 29), ramp())
    write_day(tmp_path, dt.date(2004, 12, 31), ramp() + 1)
    gpp_TYX = read_year(tmp_path, year=2004, grid=GRID, settings=SETTINGS).values_TYX
    assert gpp_TYX[59, 0, 0] == pytest.approx(0.303)
    assert gpp_TYX[365, 0, 0] == pytest.approx(0.304)


@pytest.mark.parametrize("how", ["mask", "alpha", "tag and alpha"])
def test_values_under_a_mask_are_missing_and_counted(tmp_path: Path, how: str) -> None:
    missing = np.zeros((60, 60), bool)
    missing[3, 3:8] = True
    mark_missing(write_day(tmp_path, dt.date(2001, 7, 1), ramp()), missing, how)
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    july = year.values_TYX[181]
    assert np.isnan(july[0, :5]).all()
    assert np.isfinite(july).sum() == july.size - 5
    assert year.unused == Unused(masked=5)
