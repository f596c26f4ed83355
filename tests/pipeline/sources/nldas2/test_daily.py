"""NLDAS-2: hourly granules of many shapes to days."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sources.nldas2 import daily as nldas2
from pipeline.sources.nldas2.daily import DailyClimate, read_days
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.product import NldasSettings, Window
from tests.helpers.nldas2_files import DAY, LAT, LON, WINDOW, expected_day, read, weather, write_granule


def test_a_day_is_the_stamps_00_to_23_in_the_units_of_the_network(tmp_path: Path) -> None:
    values = weather(72)
    write_granule(tmp_path / "a/b/NLDAS_FORA0125_H.A201006.020.nc.SUB.nc4", DAY - dt.timedelta(1), values)
    daily = read(tmp_path)
    assert daily.climate_FTYX.shape == (7, 1, 2, 3)
    np.testing.assert_allclose(daily.climate_FTYX[:, 0], expected_day(values, slice(24, 48)), rtol=3e-5, atol=3e-5)
    assert (daily.missing_hours_TYX == 0).all()
    assert daily.duplicate_hours == 0


def test_negative_wind_components_blow_too(tmp_path: Path) -> None:
    values = weather(24)
    values["Wind_E"][:], values["Wind_N"][:] = -3.0, -4.0
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, values)
    np.testing.assert_allclose(read(tmp_path).climate_FTYX[5], 5 * 86.4, rtol=1e-6)


@pytest.mark.parametrize(("day_window", "first"), [("utc_stamp", 24), ("utc_hour_ending", 25), ("local_standard", 31)])
def test_day_windows_begin_at_their_stamp(tmp_path: Path, day_window: str, first: int) -> None:
    values = weather(96)
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY - dt.timedelta(1), values)
    daily = read(tmp_path, day_window=day_window)
    expected = expected_day(values, slice(first, first + 24))
    np.testing.assert_allclose(daily.climate_FTYX[:, 0], expected, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize(("day_window", "day"), [("utc_stamp", 1), ("utc_hour_ending", 0), ("local_standard", 0)])
def test_rain_stamped_at_midnight_fell_in_the_hour_before(tmp_path: Path, day_window: str, day: int) -> None:
    """`utc_stamp`, as published, counts the last hour of a UTC day to the next; `utc_hour_ending` does not."""
    values = weather(24 * 5)
    values["Rainf"][:] = 0.0
    values["Rainf"][48] = 2.5  # stamp 00 UTC of the second day that is read
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY - dt.timedelta(1), values)
    daily = read(tmp_path, dt.date(2010, 6, 3), dt.date(2010, 6, 4), day_window=day_window)
    expected = np.zeros((2, 2, 3))
    expected[day] = 2.5
    np.testing.assert_array_equal(daily.climate_FTYX[6], expected)


@pytest.mark.parametrize("day_window", ["utc_stamp", "local_standard"])
def test_bands_of_rows_give_the_days_of_the_window_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day_window: str
) -> None:
    lat, lon = 39.8125 + 0.125 * np.arange(5), -97.8125 + 0.125 * np.arange(6)  # UTC-7 and UTC-6
    values = weather(96, shape=(5, 6))
    values["Tair"][40, 3] = -9999.0
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY - dt.timedelta(1), values, lat=lat, lon=lon)
    chosen = NldasSettings.model_validate({"day_window": day_window})
    index, window = index_archive(tmp_path, settings=chosen), Window.around(lon, lat[[0, 0, 0, 4, 4, 4]])

    def days() -> DailyClimate:
        return read_days(index, first=DAY.date(), last=DAY.date(), window=window, settings=chosen)

    once = days()
    assert np.isfinite(once.climate_FTYX).all()
    for cells in (1, 7, 12):
        monkeypatch.setattr(nldas2, "BAND_CELLS", cells)
        np.testing.assert_array_equal(days().climate_FTYX, once.climate_FTYX)
        np.testing.assert_array_equal(days().missing_hours_TYX, once.missing_hours_TYX)


@pytest.mark.slow
def test_a_month_of_the_midwest_is_read_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    """From a merged file, whose variables are read whole."""
    window = Window(84, 164, 116, 196)
    hours = 31 * 24
    values = {
        name: np.broadcast_to(value, (hours, window.rows, window.cols))
        for name, value in weather(hours, shape=(1, 1)).items()
    }
    axes = {"lat": window.latitudes, "lon": window.longitudes}
    write_granule(tmp_path / "NLDAS_FORA0125_H.1.nc", DAY - dt.timedelta(2), values, **axes)
    index = index_archive(tmp_path, settings=NldasSettings())
    tracemalloc.start()
    daily = read_days(
        index, first=dt.date(2010, 6, 2), last=dt.date(2010, 6, 30), window=window, settings=NldasSettings()
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.isfinite(daily.climate_FTYX).all()
    assert peak < 1e9


def test_local_days_differ_across_a_time_zone(tmp_path: Path) -> None:
    lon = np.array([-97.5625, -97.4375])  # UTC-7 and UTC-6 begin at 97.5 W
    window = Window(119, 219, 2, 2)
    values = weather(72, shape=(2, 2))
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, values, lon=lon)
    settings = NldasSettings(day_window="local_standard")
    day = DAY.date()
    index = index_archive(tmp_path, settings=settings)
    daily = read_days(index, first=day, last=day, window=window, settings=settings)
    west, east = (np.stack(expected_day(values, slice(start, start + 24))) for start in (8, 7))
    np.testing.assert_allclose(daily.climate_FTYX[:, 0, :, 0], west[:, :, 0], rtol=3e-5, atol=3e-5)
    np.testing.assert_allclose(daily.climate_FTYX[:, 0, :, 1], east[:, :, 1], rtol=3e-5, atol=3e-5)


def test_hourly_files_larger_extents_and_other_axes_give_the_same_days(tmp_path: Path) -> None:
    values = weather(24, shape=(5, 6))
    lat, lon = 39.8125 + 0.125 * np.arange(5), -89.8125 + 0.125 * np.arange(6)
    for hour in range(24):
        one = {name: value[hour : hour + 1] for name, value in values.items()}
        stamp = DAY + dt.timedelta(hours=hour)
        path = tmp_path / f"global/2010/154/NLDAS_FORA0125_H.A{stamp:%Y%m%d.%H00}.020.nc"
        write_granule(path, stamp, one, lat=lat, lon=lon, units="minutes since 2000-01-01")
        path.with_name(path.name + ".xml").write_text("<sidecar/>")
    flipped = {name: value[:, ::-1] for name, value in values.items()}
    write_granule(tmp_path / "flipped/NLDAS_FORA0125_H.nc4", DAY, flipped, lat=lat[::-1], lon=lon)
    hourly, flip = read(tmp_path / "global"), read(tmp_path / "flipped")
    np.testing.assert_array_equal(hourly.climate_FTYX, flip.climate_FTYX)
    inner = {name: value[:, 1:3, 2:5] for name, value in values.items()}
    np.testing.assert_allclose(hourly.climate_FTYX[:, 0], expected_day(inner, slice(0, 24)), rtol=3e-5, atol=3e-5)


def test_months_are_joined_as_if_read_at_once(tmp_path: Path) -> None:
    values = weather(24 * 70)
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", dt.datetime(2011, 12, 20), values)
    daily = read(tmp_path, dt.date(2011, 12, 21), dt.date(2012, 2, 20))
    assert daily.climate_FTYX.shape[1] == 11 + 31 + 20
    for day in (0, 10, 11, 41, 42, 61):
        expected = expected_day(values, slice(24 * (day + 1), 24 * (day + 2)))
        np.testing.assert_allclose(daily.climate_FTYX[:, day], expected, rtol=3e-5, atol=3e-5)


def write_with_gap(folder: Path, values: dict[str, NDArray[np.float32]], begin: int, end: int) -> None:
    """Two files that lack the hours `begin` to `end` of the series (exclusive)."""
    write_granule(folder / "NLDAS_FORA0125_H.1.nc", DAY, {n: v[:begin] for n, v in values.items()})
    after = DAY + dt.timedelta(hours=end)
    write_granule(folder / "NLDAS_FORA0125_H.2.nc", after, {n: v[end:] for n, v in values.items()})


def test_up_to_three_missing_hours_are_interpolated_and_rain_is_not(tmp_path: Path) -> None:
    values = weather(72)
    for value in values.values():
        value[:] = np.arange(72)[:, None, None] / 100 + value.mean()
    values["Rainf"][:] = 1.0
    values["Rainf"][30] = 2.5
    values["Qair"][:], values["PSurf"][:] = 0.01, 1e5
    values["Wind_N"][:] = 0.0
    write_with_gap(tmp_path, values, 46, 49)  # 22 and 23 UTC of the second day, 00 of the third
    daily = read(tmp_path, dt.date(2010, 6, 4), dt.date(2010, 6, 5))
    for day in (0, 1):
        expected = expected_day(values, slice(24 + 24 * day, 48 + 24 * day))
        np.testing.assert_allclose(daily.climate_FTYX[:6, day], expected[:6], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(daily.climate_FTYX[6, 0], (21 + 2.5) / 22 * 24, rtol=1e-6)
    np.testing.assert_allclose(daily.climate_FTYX[6, 1], 24, rtol=1e-6)
    assert (daily.missing_hours_TYX[0] == 2).all()
    assert (daily.missing_hours_TYX[1] == 1).all()


def test_four_missing_hours_lose_the_day_and_no_other(tmp_path: Path) -> None:
    write_with_gap(tmp_path, weather(72), 30, 34)
    daily = read(tmp_path, dt.date(2010, 6, 3), dt.date(2010, 6, 5))
    np.testing.assert_array_equal(np.isnan(daily.climate_FTYX).all((0, 2, 3)), [False, True, False])
    np.testing.assert_array_equal(np.isfinite(daily.climate_FTYX).all((0, 2, 3)), [True, False, True])
    np.testing.assert_array_equal(daily.missing_hours_TYX[:, 0, 0], [0, 4, 0])


@pytest.mark.parametrize("day_window", ["utc_stamp", "local_standard"])
def test_days_read_alone_equal_days_read_together(tmp_path: Path, day_window: str) -> None:
    """Gaps at the borders of months and of what is read are filled from the same hours."""
    hours = 24 * 8
    values, lacking = weather(hours), np.random.default_rng(9).random(hours) < 0.08
    for value in values.values():
        value[lacking] = -9999.0
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", dt.datetime(2012, 2, 26), values)
    days = [dt.date(2012, 2, 27) + dt.timedelta(n) for n in range(6)]
    together = read(tmp_path, days[0], days[-1], day_window=day_window)
    assert ((together.missing_hours_TYX > 0) & (together.missing_hours_TYX <= 3)).any()
    for number, day in enumerate(days):
        alone = read(tmp_path, day, day_window=day_window)
        np.testing.assert_array_equal(alone.climate_FTYX[:, 0], together.climate_FTYX[:, number])
        np.testing.assert_array_equal(alone.missing_hours_TYX[0], together.missing_hours_TYX[number])


def test_the_first_hours_of_an_archive_repeat_the_next(tmp_path: Path) -> None:
    values = weather(24)
    late = {name: value[2:] for name, value in values.items()}
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY + dt.timedelta(hours=2), late)
    repeated = {name: np.concatenate([value[2:3], value[2:3], value[2:]]) for name, value in values.items()}
    daily = read(tmp_path)
    np.testing.assert_allclose(
        daily.climate_FTYX[:6, 0], expected_day(repeated, slice(0, 24))[:6], rtol=3e-5, atol=3e-5
    )


def test_fill_values_make_undefined_cells_and_missing_hours(tmp_path: Path) -> None:
    values = weather(48)
    for value in values.values():
        value[:, 0, 0] = -9999.0
    values["Qair"][5, 1, 1] = -9999.0
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, values)
    daily = read(tmp_path)
    assert np.isnan(daily.climate_FTYX[:, :, 0, 0]).all()
    assert np.isfinite(daily.climate_FTYX[:, 0, 1]).all()
    np.testing.assert_array_equal(daily.missing_hours_TYX[0], [[24, 0, 0], [0, 1, 0]])


def test_equal_duplicates_are_counted_and_contradicting_ones_refused(tmp_path: Path) -> None:
    values = weather(24)
    write_granule(tmp_path / "NLDAS_FORA0125_H.1.nc", DAY, values)
    one = {name: value[7:8].copy() for name, value in values.items()}
    copy = write_granule(tmp_path / "NLDAS_FORA0125_H.2.nc", DAY + dt.timedelta(hours=7), one)
    assert read(tmp_path).duplicate_hours == 1
    one["Rainf"] += 1
    copy.unlink()
    write_granule(copy, DAY + dt.timedelta(hours=7), one)
    with pytest.raises(UserError, match=r"H\.1\.nc and .*H\.2\.nc hold 2010-06-03T07"):
        read(tmp_path)


def test_duplicates_are_counted_in_the_days_that_are_read_alone(tmp_path: Path) -> None:
    values = weather(72)
    write_granule(tmp_path / "NLDAS_FORA0125_H.1.nc", DAY - dt.timedelta(1), values)
    again = {name: value[20:26] for name, value in values.items()}  # 20 to 23 UTC of the day before, 00 and 01
    write_granule(tmp_path / "NLDAS_FORA0125_H.2.nc", DAY - dt.timedelta(hours=4), again)
    assert read(tmp_path).duplicate_hours == 2
    assert read(tmp_path, day_window="utc_hour_ending").duplicate_hours == 1


def spoil(name: str, value: float) -> dict[str, NDArray[np.float32]]:
    values = weather(24)
    values[name][3, 1, 2] = value
    return values


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("Tair", 21.5, "degC"),
        ("Qair", 9.1, "g kg-1"),
        ("PSurf", 980.0, "hPa"),
        ("SWdown", 3e6, "J m-2"),
        ("Rainf", -9999.5, "is not tagged"),
    ],
)
def test_values_in_other_units_stop_with_the_likely_cause(tmp_path: Path, name: str, value: float, cause: str) -> None:
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, spoil(name, value))
    with pytest.raises(UserError, match=f"NLDAS_FORA0125_H.nc: {name} .*{cause}"):
        read(tmp_path)


def test_a_rain_rate_is_refused(tmp_path: Path) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24))
    with netCDF4.Dataset(path, "a") as file:
        file["Rainf"].units = "kg m-2 s-1"
    with pytest.raises(UserError, match="Rainf is a rate"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"lat": LAT + 0.03}, "not neighbouring centres of the 0.125 degree grid"),
        ({"lon": LON + 0.125}, "lon -89.4375 to -89.1875 does not include -89.5625"),
    ],
)
def test_off_grid_and_small_subsets_are_refused(tmp_path: Path, axes: dict[str, object], message: str) -> None:
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24), **axes)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_coordinates_rounded_as_in_grib_headers_are_snapped(tmp_path: Path) -> None:
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24), lat=LAT.round(3), lon=LON.round(3))
    assert np.isfinite(read(tmp_path).climate_FTYX).all()


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    values = weather(24)
    del values["PSurf"]
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, values)
    with pytest.raises(UserError, match="no variable PSurf"):
        read(tmp_path)


def test_a_granule_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, weather(24))
    index = index_archive(tmp_path, settings=NldasSettings())
    path.unlink()
    with pytest.raises(UserError, match=r"NLDAS_FORA0125_H\.nc: cannot be read \(No such file or directory\)"):
        read_days(index, first=DAY.date(), last=DAY.date(), window=WINDOW, settings=NldasSettings())


def test_windows_hold_the_cells_of_their_points() -> None:
    window = Window.around(np.array([-89.51, -89.49]), np.array([39.9, 40.01]))
    assert (window.rows, window.cols) == (2, 2)
    np.testing.assert_allclose(window.latitudes, [39.9375, 40.0625])
    np.testing.assert_allclose(window.longitudes, [-89.5625, -89.4375])
    wider = Window.around(np.array([-89.51, -89.49]), np.array([39.9, 40.01]), margin=1)
    assert (wider.first_row, wider.first_col, wider.rows, wider.cols) == (
        window.first_row - 1,
        window.first_col - 1,
        4,
        4,
    )
    whole = Window.around(np.array([-124.99, -67.01]), np.array([25.01, 52.99]), margin=1)
    assert whole == Window(0, 0, 224, 464)
    # Cell 0 begins on the edge of the grid: floor((lon + 125) / 0.125).
    assert Window.around(np.array([-125.0]), np.array([25.0])) == Window(0, 0, 1, 1)
    with pytest.raises(UserError, match="leave NLDAS-2"):
        Window.around(np.array([-66.0]), np.array([40.0]))
