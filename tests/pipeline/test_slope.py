"""SLOPE: decoding, geometry and gaps of daily GPP."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import CELL_M, SINUSOIDAL, Grid
from pipeline.sources.slope import SlopeSettings, fill_gaps, read_year

SETTINGS = SlopeSettings()
GRID = Grid(4 * 4800 + 96, 11 * 4800 + 48, 48, 48, 48)  # one tile in h11v04
# Written from the numbers of the product itself, not from pipeline.grid; three cells of margin.
CORNER = Affine(231.65635828469235, 0, -7783653.638366, 0, -231.65635828469235, 5559752.598833)
CLIP = CORNER @ Affine.translation(45, 93)


def write_day(folder: Path, day: dt.date, stored: NDArray[np.generic], **profile: object) -> Path:
    path = folder / f"GPP250m/{day.year}/GPP.{day:%Y.%m.%d}.h11v04.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = stored.shape
    settings = {"transform": CLIP, "crs": SINUSOIDAL, "dtype": stored.dtype, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=1, **settings) as file:
        file.write(stored, 1)
    return path


def ramp() -> NDArray[np.int16]:
    """Stored values that name their pixel: row x 100 + column."""
    return (np.arange(60)[:, None] * 100 + np.arange(60)).astype(np.int16)


def test_a_clip_with_a_margin_is_read_at_the_cells_of_the_grid(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)
    assert year.gpp_TYX.shape == (365, 48, 48)
    july = year.gpp_TYX[181]
    assert july[0, 0] == pytest.approx(0.303)  # pixel (3, 3)
    assert july[47, 47] == pytest.approx(5.050)  # pixel (50, 50)
    assert np.isnan(np.delete(year.gpp_TYX, 181, axis=0)).all()


def test_days_without_a_file_are_listed_and_leap_years_have_366(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2004, 12, 31), ramp())
    year = read_year(tmp_path, year=2004, grid=GRID, settings=SETTINGS)
    assert len(year.gpp_TYX) == 366
    assert len(year.absent_days) == 365
    assert dt.date(2004, 2, 29) in year.absent_days
    assert dt.date(2004, 12, 31) not in year.absent_days


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_negative_fill_and_tagged_values_are_missing(tmp_path: Path, dtype: str) -> None:
    stored = ramp().astype(dtype)
    stored[3, 3:8] = np.array([-1, 32767, -32768, 255, 32766]).astype(dtype)
    write_day(tmp_path, dt.date(2001, 7, 1), stored, nodata=255)
    july = read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS).gpp_TYX[181]
    assert np.isnan(july[0, :4]).all()
    assert july[0, 4] == pytest.approx(32.766)


def test_a_nodata_value_of_the_settings_is_missing_too(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    july = read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(nodata=303)).gpp_TYX[181]
    assert np.isnan(july[0, 0])
    assert np.isfinite(july).sum() == july.size - 1


@pytest.mark.parametrize(
    ("profile", "settings", "message"),
    [
        ({"crs": "EPSG:5070"}, SETTINGS, "not the MODIS sinusoidal"),
        ({"crs": "EPSG:4326"}, SETTINGS, "not the MODIS sinusoidal"),
        ({"crs": None}, SETTINGS, "no coordinate system"),
        ({"transform": CLIP @ Affine.translation(0.3, 0)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ Affine.scale(250 / CELL_M)}, SETTINGS, "not cells of the MODIS grid"),
        ({"transform": CLIP @ Affine.translation(20, 0)}, SETTINGS, "use a larger clip"),
        ({}, SlopeSettings(scale=1.0), "`scale`"),
        ({"dtype": "float32"}, SETTINGS, "holds float32"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, profile: dict[str, object], settings: SlopeSettings, message: str
) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), **profile)
    with pytest.raises(UserError, match=message) as error:
        read_year(tmp_path, year=2001, grid=GRID, settings=settings)
    assert "GPP.2001.07.01.h11v04.tif" in str(error.value)


def test_other_spellings_of_the_sinusoidal_plane_are_accepted(tmp_path: Path) -> None:
    spelling = "+proj=sinu +a=6371007.181 +b=6371007.181 +units=m +wktext"
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), crs=spelling)
    read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)


def test_a_file_without_coordinate_system_takes_that_of_the_settings(tmp_path: Path) -> None:
    write_day(tmp_path, dt.date(2001, 7, 1), ramp(), crs=None)
    year = read_year(tmp_path, year=2001, grid=GRID, settings=SlopeSettings(crs=SINUSOIDAL))
    assert year.gpp_TYX[181, 0, 0] == pytest.approx(0.303)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = write_day(tmp_path, dt.date(2001, 7, 1), ramp())
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(UserError, match=r"GPP\.2001\.07\.01.*truncated"):
        read_year(tmp_path, year=2001, grid=GRID, settings=SETTINGS)


@pytest.mark.parametrize("absent", ["{YYYY}", "{MM}", "{DD}", "{tile}"])
def test_a_pattern_that_names_several_days_alike_is_refused(absent: str) -> None:
    with pytest.raises(ValueError, match=f"lacks {absent}"):
        SlopeSettings(pattern=SETTINGS.pattern.replace(absent, ""))


def test_a_year_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no GPP of h11v04 in 2020"):
        read_year(tmp_path, year=2020, grid=GRID, settings=SETTINGS)


def year_of(*gaps: slice) -> NDArray[np.float32]:
    """One cell of a leap year: the day of year, missing in the gaps (day of year, inclusive)."""
    gpp = np.arange(1, 367, dtype=np.float32)
    for gap in gaps:
        gpp[gap.start - 1 : gap.stop] = np.nan
    return gpp[:, None, None]


def test_dormant_gaps_become_zero_and_are_counted() -> None:
    filled = fill_gaps(year_of(slice(1, 54), slice(300, 310)), settings=SETTINGS)
    assert (filled.gpp_TYX[:54] == 0).all()
    assert filled.dormant_YX.item() == 54 + 6
    assert filled.interpolated_YX.item() == 5
    # 300-304 is linear between day 299 and the 0 of day 305.
    np.testing.assert_allclose(filled.gpp_TYX[299:304, 0, 0], 299 * (1 - np.arange(1, 6) / 6), rtol=1e-6)


def test_ten_growing_days_are_interpolated_and_eleven_lose_the_year() -> None:
    ten = fill_gaps(year_of(slice(150, 159)), settings=SETTINGS)
    np.testing.assert_allclose(ten.gpp_TYX[:, 0, 0], np.arange(1, 367), rtol=1e-6)
    assert (ten.interpolated_YX.item(), ten.longest_gap_YX.item()) == (10, 10)
    eleven = fill_gaps(year_of(slice(150, 160)), settings=SETTINGS)
    assert np.isnan(eleven.gpp_TYX).all()
    assert (eleven.interpolated_YX.item(), eleven.longest_gap_YX.item()) == (0, 11)


def test_gaps_of_many_cells_equal_numpy_interpolation_of_each() -> None:
    rng = np.random.default_rng(1)
    gpp = rng.gamma(2, 3, (365, 7, 5)).astype(np.float32)
    gpp[rng.random(gpp.shape) < 0.3] = np.nan
    before = gpp.copy()
    filled = fill_gaps(gpp, settings=SETTINGS)
    np.testing.assert_array_equal(gpp, before)
    day = np.arange(1, 366)
    for place in np.ndindex(7, 5):
        series = gpp[(slice(None), *place)].astype(np.float64)
        series[np.isnan(series) & ((day <= 106) | (day >= 305))] = 0
        there = np.isfinite(series)
        assert np.diff(day[there]).max() <= 11
        np.testing.assert_allclose(
            filled.gpp_TYX[(slice(None), *place)], np.interp(day, day[there], series[there]), rtol=1e-5, atol=1e-6
        )


def test_a_cell_without_any_value_is_missing() -> None:
    filled = fill_gaps(np.full((365, 1, 1), np.nan, np.float32), settings=SETTINGS)
    assert np.isnan(filled.gpp_TYX).all()
    assert filled.longest_gap_YX.item() == 304 - 106
