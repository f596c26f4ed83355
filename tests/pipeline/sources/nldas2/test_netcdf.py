"""Time axes of netCDF granules, beside cftime."""

from __future__ import annotations

from pathlib import Path

import cftime
import netCDF4
import numpy as np
import pytest

from pipeline.sources.nldas2.netcdf import open_netcdf


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
