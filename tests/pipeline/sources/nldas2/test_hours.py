"""Hours from many files: copies, both formats together, downloads that broke off."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from tests.helpers.nldas2_files import (
    DAY,
    IN_GRIB,
    USED,
    Values,
    decode_grib,
    grib_name,
    netcdf_name,
    part,
    read,
    stack_hours,
    subset_name,
    weather,
    write_granule,
    write_grib,
    write_subset,
)

HOURS = 24
EIGHT = DAY + dt.timedelta(hours=8)


def stamp(hour: int) -> dt.datetime:
    return DAY + dt.timedelta(hours=hour)


@dataclass(frozen=True)
class Pool:
    """A day as one-hour files of each format, with equal values, and these values."""

    gribs: list[Path]
    netcdfs: list[Path]
    values: Values


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    folder, drawn = tmp_path_factory.mktemp("pool"), weather(HOURS)
    for value in drawn.values():
        value[:, 1, 0] = np.nan  # water
    hours = range(HOURS)
    gribs = [write_grib(folder / grib_name(stamp(n)), stamp(n), part(drawn, slice(n, n + 1))) for n in hours]
    values = stack_hours([decode_grib(path) for path in gribs])
    netcdfs = [write_granule(folder / netcdf_name(stamp(n)), stamp(n), part(values, slice(n, n + 1))) for n in hours]
    return Pool(gribs, netcdfs, values)


def link(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).hardlink_to(path)


def test_grib_and_netcdf_of_the_same_hours_give_the_same_days_to_the_last_bit(tmp_path: Path, pool: Pool) -> None:
    for name, paths in (("grib", pool.gribs), ("netcdf", pool.netcdfs)):
        for path in paths:
            link(tmp_path / name, path)
    grib, netcdf = read(tmp_path / "grib"), read(tmp_path / "netcdf")
    assert np.isfinite(grib.climate_FTYX).sum() == 7 * 5
    np.testing.assert_array_equal(grib.climate_FTYX, netcdf.climate_FTYX)
    np.testing.assert_array_equal(grib.missing_hours_TYX, netcdf.missing_hours_TYX)


def test_an_hour_of_version_002_as_grib_and_as_netcdf_subset_gives_the_same_days(tmp_path: Path, pool: Pool) -> None:
    """Alone to the last bit, and together as duplicates that agree."""
    for hour, path in enumerate(pool.gribs):
        link(tmp_path / "grib", path)
        name = subset_name(stamp(hour))
        write_subset(tmp_path / "netcdf" / name, stamp(hour), part(pool.values, slice(hour, hour + 1)))
    grib, netcdf, both = (read(tmp_path / folder) for folder in ("grib", "netcdf", "."))
    for daily in (netcdf, both):
        np.testing.assert_array_equal(daily.climate_FTYX, grib.climate_FTYX)
        np.testing.assert_array_equal(daily.missing_hours_TYX, grib.missing_hours_TYX)
    assert (netcdf.duplicate_hours, both.duplicate_hours) == (0, HOURS)


def test_grib_of_unrounded_values_gives_the_same_days_to_its_packing(tmp_path: Path) -> None:
    drawn = weather(HOURS, seed=3)
    for hour in range(HOURS):
        write_grib(tmp_path / "grib" / grib_name(stamp(hour)), stamp(hour), part(drawn, slice(hour, hour + 1)))
    write_granule(tmp_path / "netcdf/NLDAS_FORA0125_H.nc", DAY, drawn)
    grib, netcdf = read(tmp_path / "grib"), read(tmp_path / "netcdf")
    # Half a step of W m-2, K, K twice, kg kg-1 and Pa as kPa, the same twice, m s-1 in both components, mm 24 times.
    radiation, kelvin, kpa, wind, rain = 0.5e-3 * 0.0864, 5e-3, 1e-5, 5e-3 * 2**0.5 * 86.4, 24 * 0.5e-4
    atol = np.array([radiation, kelvin, 2 * kelvin, kpa, 2 * kpa, wind, rain])[:, None, None, None]
    excess = np.abs(grib.climate_FTYX - netcdf.climate_FTYX) - atol - 3e-6 * np.abs(netcdf.climate_FTYX)
    assert (excess <= 0).all()
    assert not np.array_equal(grib.climate_FTYX, netcdf.climate_FTYX)


def test_of_both_formats_netcdf_is_kept_and_the_pair_counted(tmp_path: Path, pool: Pool) -> None:
    write_granule(tmp_path / "z/NLDAS_FORA0125_H.nc", DAY, pool.values)
    alone = read(tmp_path)
    for path in pool.gribs[4:9]:
        link(tmp_path / "a", path)
    both = read(tmp_path)
    assert (alone.duplicate_hours, both.duplicate_hours) == (0, 5)
    np.testing.assert_array_equal(both.climate_FTYX, alone.climate_FTYX)
    # Within a step of the packing, so that what is kept can be told.
    near = {name: value + np.float32(0.9 * 10.0 ** -IN_GRIB[name][3]) for name, value in pool.values.items()}
    write_granule(tmp_path / "z/NLDAS_FORA0125_H.nc", DAY, near)
    both = read(tmp_path)
    (tmp_path / "a").rename(tmp_path.parent / f"{tmp_path.name}_gribs")
    np.testing.assert_array_equal(both.climate_FTYX, read(tmp_path).climate_FTYX)
    assert not np.array_equal(both.climate_FTYX, alone.climate_FTYX)


@pytest.mark.parametrize("name", USED)
def test_formats_that_differ_by_more_than_the_packing_are_refused(tmp_path: Path, pool: Pool, name: str) -> None:
    values = part(pool.values, slice(8, 9))
    values[name][0, 0, 2] += np.float32(3 * 10.0 ** -IN_GRIB[name][3])
    path = write_granule(tmp_path / netcdf_name(EIGHT), EIGHT, values)
    link(tmp_path, pool.gribs[8])
    message = rf"{path.name} and .*{grib_name(EIGHT)} hold 2010-06-03T08 UTC with different values of {name} by more"
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_formats_that_differ_in_their_water_are_refused(tmp_path: Path, pool: Pool) -> None:
    values = part(pool.values, slice(8, 9))
    values["Tair"][0, 1, 0] = 290.0
    write_granule(tmp_path / netcdf_name(EIGHT), EIGHT, values)
    link(tmp_path, pool.gribs[8])
    with pytest.raises(UserError, match="different values of Tair"):
        read(tmp_path)


def test_copies_in_one_format_must_be_equal_to_the_last_bit(tmp_path: Path, pool: Pool) -> None:
    values = part(pool.values, slice(8, 9))
    for folder in ("a", "b"):
        write_grib(tmp_path / folder / grib_name(EIGHT), EIGHT, values)
    assert read(tmp_path).duplicate_hours == 1
    values["Tair"][0, 0, 2] += np.float32(0.01)  # a single step
    write_grib(tmp_path / "b" / grib_name(EIGHT), EIGHT, values)
    with pytest.raises(UserError, match=r"a/.*grb and .*b/.*grb hold 2010-06-03T08 UTC with different values of Tair;"):
        read(tmp_path)


def test_an_hour_twice_in_one_file_is_a_duplicate_too(tmp_path: Path) -> None:
    values = weather(24)
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, values)
    with netCDF4.Dataset(path, "a") as file:
        file["time"][11] = file["time"][10]
    with pytest.raises(UserError, match="hold 2010-06-03T10 UTC with different values"):
        read(tmp_path)
    with netCDF4.Dataset(path, "a") as file:
        for name in USED:
            file[name][11] = file[name][10]
    daily = read(tmp_path)
    assert (daily.duplicate_hours, daily.missing_hours_TYX.max()) == (1, 1)


def page(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html><title>Earthdata Login</title>")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("form", "spoil"), [("gribs", page), ("gribs", cut), ("netcdfs", page), ("netcdfs", cut), ("netcdfs", empty)]
)
def test_up_to_three_damaged_hours_are_filled_named_and_counted(
    tmp_path: Path, pool: Pool, form: str, spoil: Callable[[Path], None]
) -> None:
    """The hours of the other files are those of one netCDF file; single files hold the hours 5, 6, 15 and 20."""
    lacking = {name: values.copy() for name, values in pool.values.items()}
    for values in lacking.values():
        values[[5, 6, 15]] = np.nan
    write_granule(tmp_path / "absent/NLDAS_FORA0125_H.nc", DAY, lacking)
    absent = read(tmp_path / "absent")
    folder = tmp_path / "damaged"
    write_granule(folder / "NLDAS_FORA0125_H.1.nc", DAY, part(pool.values, slice(5)))
    write_granule(folder / "NLDAS_FORA0125_H.2.nc", stamp(7), part(pool.values, slice(7, 15)))
    write_granule(folder / "NLDAS_FORA0125_H.3.nc", stamp(16), part(pool.values, slice(16, 20)))
    write_granule(folder / "NLDAS_FORA0125_H.4.nc", stamp(21), part(pool.values, slice(21, 24)))
    single = {hour: folder / getattr(pool, form)[hour].name for hour in (5, 6, 15, 20)}
    for hour, path in single.items():
        path.write_bytes(getattr(pool, form)[hour].read_bytes())
    assert read(folder).damaged == ()
    for hour in (5, 6, 15):
        spoil(single[hour])
    daily = read(folder)
    np.testing.assert_array_equal(daily.climate_FTYX, absent.climate_FTYX)
    np.testing.assert_array_equal(daily.missing_hours_TYX[0], [[3, 3, 3], [24, 3, 3]])
    assert np.isfinite(daily.climate_FTYX).sum() == 7 * 5
    assert [text.split(":")[0] for text in daily.damaged] == [f"{single[hour]}" for hour in (5, 6, 15)]
    assert all(text.endswith("; download it again") for text in daily.damaged)
    spoil(single[20])
    worse = read(folder)
    assert np.isnan(worse.climate_FTYX).all()
    assert len(worse.damaged) == 4


def test_a_whole_copy_stands_in_for_a_damaged_one(tmp_path: Path, pool: Pool) -> None:
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, pool.values)
    whole = read(tmp_path)
    write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, part(pool.values, slice(8)))
    write_granule(tmp_path / "NLDAS_FORA0125_H.2.nc", stamp(9), part(pool.values, slice(9, 24)))
    page(tmp_path / netcdf_name(EIGHT))
    link(tmp_path, pool.gribs[8])
    daily = read(tmp_path)
    np.testing.assert_array_equal(daily.climate_FTYX, whole.climate_FTYX)
    assert (daily.duplicate_hours, len(daily.damaged)) == (0, 1)


def test_a_file_that_breaks_off_after_some_variables_leaves_nothing_behind(tmp_path: Path, pool: Pool) -> None:
    path = write_granule(tmp_path / "NLDAS_FORA0125_H.nc", DAY, {**pool.values, "SWdown": pool.values["SWdown"] + 1})
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("SWdown", "unchecked")
        checked = file.createVariable("SWdown", "f4", ("time", "lat", "lon"), fletcher32=True, fill_value=-9999.0)
        checked[:] = stored = np.nan_to_num(pool.values["SWdown"], nan=-9999.0)
    content = bytearray(path.read_bytes())
    content[content.index(stored.tobytes()) + 5] ^= 1  # the checksum of the last of the variables that are read fails
    path.write_bytes(content)
    alone = read(tmp_path)
    assert np.isnan(alone.climate_FTYX).all()
    assert alone.damaged[0].startswith(f"{path}: truncated")
    for grib in pool.gribs:
        link(tmp_path / "whole", grib)
    beside = read(tmp_path)
    np.testing.assert_array_equal(beside.climate_FTYX, read(tmp_path / "whole").climate_FTYX)
    assert (beside.duplicate_hours, beside.damaged) == (0, alone.damaged)


@dataclass(frozen=True)
class Piece:
    """Hours that are written as one netCDF file, or as one-hour files of either format."""

    first: int
    hours: int
    form: str
    folder: int

    @property
    def span(self) -> range:
        return range(self.first, min(self.first + self.hours, HOURS))

    def write(self, root: Path, *, number: int, pool: Pool) -> None:
        folder = root / f"{self.folder}" / f"{number}"
        folder.mkdir(parents=True)
        if self.form == "merged":
            values = part(pool.values, slice(self.span.start, self.span.stop))
            write_granule(folder / "NLDAS_FORA0125_H.nc", stamp(self.first), values)
        else:
            for hour in self.span:
                link(folder, (pool.gribs if self.form == "grib" else pool.netcdfs)[hour])


FORMS = st.sampled_from(["merged", "grib", "hourly"])
FOLDERS = st.integers(0, 9)  # draws the order in which the pieces are found


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    """A day cut into pieces, and up to three that repeat parts of it."""
    cuts = sorted({0, *draw(st.sets(st.integers(1, HOURS - 1), max_size=4)), HOURS})
    cover = [Piece(a, b - a, draw(FORMS), draw(FOLDERS)) for a, b in pairwise(cuts)]
    again = st.builds(Piece, st.integers(0, HOURS - 1), st.integers(1, 5), FORMS, FOLDERS)
    return cover + draw(st.lists(again, max_size=3))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces())
def test_however_the_hours_lie_in_files_the_days_are_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, pool: Pool, cut_up: list[Piece]
) -> None:
    whole = tmp_path_factory.mktemp("whole")
    write_granule(whole / "NLDAS_FORA0125_H.nc", DAY, pool.values)
    folder = tmp_path_factory.mktemp("pieces")
    for number, piece in enumerate(cut_up):
        piece.write(folder, number=number, pool=pool)
    expected, daily = read(whole), read(folder)
    np.testing.assert_array_equal(daily.climate_FTYX, expected.climate_FTYX)
    np.testing.assert_array_equal(daily.missing_hours_TYX, expected.missing_hours_TYX)
    assert daily.duplicate_hours == sum(len(piece.span) for piece in cut_up) - HOURS
    assert daily.damaged == ()
