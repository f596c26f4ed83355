"""netCDF granules: subsets of version 002, any order of the axes, and time axes beside cftime."""

from __future__ import annotations

from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.nldas2.hours import gather_hours
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.netcdf import open_netcdf
from pipeline.sources.nldas2.product import NldasSettings, Window
from tests.helpers.nldas2_files import (
    DAY,
    LAT,
    LON,
    NAMES_002,
    USED,
    read_variable,
    subset_name,
    weather,
    write_granule,
    write_subset,
)

# Cells of the case: 39.8125-40.1875 N, 90.0625-88.9375 W.
CASE = Window(118, 279, 4, 10)


@pytest.mark.parametrize("calendar", ["standard", "proleptic_gregorian", "noleap"])
@pytest.mark.parametrize(
    ("units", "per_hour"),
    [("seconds since 2001-12-31 06:00", 3600), ("minutes since 1979-01-01", 60), ("hours since 1900-01-01 01:00", 1),
     ("days since 2004-02-28", 1 / 24)],
)  # fmt: skip
def test_hours_are_those_of_every_date(tmp_path: Path, units: str, per_hour: float, calendar: str) -> None:
    """A leap day and years of hours lie in between; a calendar without leap days is another matter."""
    first = cftime.date2num(cftime.datetime(2004, 2, 27, calendar=calendar), units, calendar)
    stored = first + np.arange(72) * per_hour
    with netCDF4.Dataset(tmp_path / "granule.nc", "w") as file:
        file.createDimension("time", stored.size)
        file.createVariable("time", "f8", ("time",))[:] = stored
        file["time"].setncatts({"units": units, "calendar": calendar})
    with open_netcdf(tmp_path / "granule.nc") as granule:
        hours = granule.hour_N
    dates = cftime.num2date(stored, units, calendar)
    stamps = [np.datetime64(date.isoformat(), "h").astype(int) for date in dates]
    assert hours.tolist() == stamps


@pytest.mark.realdata
def test_a_subset_of_version_002_is_found_by_default_and_has_the_means_of_its_case(cases: Path) -> None:
    index = index_archive(cases / "nldas_v002_sub_nc4", settings=NldasSettings())
    start = int(np.datetime64("2010-06-03T00", "h").astype(int))
    gathered = gather_hours(index, span=range(start, start + 1), window=CASE)
    means = gathered.values_VHYX.mean((1, 2, 3), dtype=np.float64)
    # Tair, Qair, PSurf, Wind_E, Wind_N, SWdown, Rainf
    np.testing.assert_allclose(means, [293.4688, 0.0124, 99800.96, 2.0182, 4.3222, 205.3016, 0.0], atol=6e-5, rtol=1e-7)


@pytest.mark.parametrize(
    "order",
    [
        ("time", "lat", "lon"),
        ("lat", "lon", "time"),
        ("lon", "time", "lat"),
        ("time", "lon", "height", "lat", "member"),
    ],
)
@pytest.mark.parametrize("east", [False, True])
@pytest.mark.parametrize("names", [{}, NAMES_002])
def test_a_subset_is_read_at_its_place_in_any_order_of_its_axes_and_either_range_of_longitudes(
    tmp_path: Path, order: tuple[str, ...], east: bool, names: dict[str, str]
) -> None:
    values = weather(4, shape=(5, 6))
    lat, lon = 39.8125 + 0.125 * np.arange(5), -89.8125 + 0.125 * np.arange(6)
    turned = {name: value[:, ::-1] for name, value in values.items()}
    path = write_granule(
        tmp_path / "granule.nc",
        DAY,
        turned,
        names=names,
        dims=dict.fromkeys(USED, order),
        lat=lat[::-1],
        lon=lon + 360 * east,
    )
    for name in USED:
        np.testing.assert_array_equal(read_variable(path, name), values[name][:, 1:3, 2:5], err_msg=name)


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        (("time", "level", "lat", "lon"), r"time \(2\), level \(2\), lat \(2\), lon \(3\)"),
        (("lat", "lon"), r"lat \(2\), lon \(3\)"),
        (("time", "y", "lon"), r"time \(2\), y \(2\), lon \(3\)"),
    ],
)
def test_other_axes_are_refused_by_name_and_length(tmp_path: Path, axes: tuple[str, ...], named: str) -> None:
    path = write_granule(tmp_path / "granule.nc", DAY, weather(2))
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("Tair", "other")
        for axis in {*axes} - {*file.dimensions}:
            file.createDimension(axis, 2)
        file.createVariable("TMP", "f4", axes)[:] = 290.0
    with pytest.raises(UserError, match=rf"granule\.nc: TMP has the axes {named}, where NLDAS-2 has time, lat and lon"):
        read_variable(path, "Tair")


@pytest.mark.parametrize("axis", ["time", "lat"])
def test_a_coordinate_that_is_no_axis_is_refused(tmp_path: Path, axis: str) -> None:
    path = write_granule(tmp_path / "granule.nc", DAY, weather(2))
    with netCDF4.Dataset(path, "a") as file:
        old = file[axis]
        file.renameVariable(axis, "other")
        new = file.createVariable(axis, "f8", (axis, "lon"))
        new.setncatts({name: old.getncattr(name) for name in old.ncattrs()})
    with pytest.raises(UserError, match=rf"granule\.nc: has no axis `?{axis}"):
        read_variable(path, "Tair")


def test_a_coarser_grid_on_the_same_centres_is_refused(tmp_path: Path) -> None:
    lat, lon = LAT[0] + 0.25 * np.arange(2), LON[0] + 0.25 * np.arange(3)
    path = write_granule(tmp_path / "granule.nc", DAY, weather(1), lat=lat, lon=lon)
    with pytest.raises(
        UserError, match=r"lat 39\.9375 \.\.\. 40\.1875 are not neighbouring centres of the 0\.125 degree"
    ):
        read_variable(path, "Tair", window=Window(119, 283, 1, 1))


def test_a_rain_rate_is_refused_under_the_name_of_version_002(tmp_path: Path) -> None:
    path = write_subset(tmp_path / subset_name(DAY), DAY, weather(1))
    with netCDF4.Dataset(path, "a") as file:
        file["APCP"].units = "kg m-2 s-1"
    with pytest.raises(UserError, match="APCP is a rate"):
        read_variable(path, "Rainf")
