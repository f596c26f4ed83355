"""NLDAS-2 of the demo: granules of version 2.0, most monthly as from a subsetter, some hourly as in the archive.

References
----------
NLDAS-2 forcing File A, NLDAS_FORA0125_H 2.0, doi:10.5067/THUF4J1RLSYG.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline.demo.area import Array, NldasCells
from pipeline.demo.hours import Hourly

FILL_VALUE = np.float32(-9999.0)
EPOCH = np.datetime64("1979-01-01T00", "h")
HOUR, MONTH = np.timedelta64(1, "h"), np.timedelta64(1, "M")
HOURLY_DAYS = ("2010-06-03", "2012-02-29")
"""Days of hourly granules, 29 February among them: users mix downloads of both kinds in one folder."""
LOST_HOURS = ("2010-06-03T08", "2010-06-03T09")
"""Hours without a granule: two in a row, which ingest interpolates by default."""
DOUBLE_HOUR = "2010-06-04T00"
"""An hour of the month's file with a granule of its own, too: it must be counted once."""


GLOBAL_ATTRIBUTES = {
    "Conventions": "CF-1.6",
    "title": "NLDAS-2 hourly forcing, File A: synthetic weather of the agcarbon demo",
    "source": "synthetic: drawn by the stochastic weather generator of agcarbon, not observed",
    "ShortName": "NLDAS_FORA0125_H",
    "VersionID": "2.0",
    "missing_value": FILL_VALUE,
}


class Attributes(NamedTuple):
    """Metadata of a variable."""

    units: str
    long_name: str
    cell_methods: str


ATTRIBUTES = {
    "Tair": Attributes("K", "Near-surface air temperature, 2 m above ground", "time: point"),
    "Qair": Attributes("kg kg-1", "Near-surface specific humidity, 2 m above ground", "time: point"),
    "PSurf": Attributes("Pa", "Surface pressure", "time: point"),
    "Wind_E": Attributes("m s-1", "Eastward wind, 10 m above ground", "time: point"),
    "Wind_N": Attributes("m s-1", "Northward wind, 10 m above ground", "time: point"),
    "LWdown": Attributes("W m-2", "Surface downward longwave radiation", "time: point"),
    "CRainf_frac": Attributes("fraction", "Fraction of total precipitation that is convective", "time: sum"),
    "CAPE": Attributes("J kg-1", "Convective available potential energy, 180-0 hPa above ground", "time: point"),
    "PotEvap": Attributes("kg m-2", "Potential evaporation", "time: sum"),
    "Rainf": Attributes("kg m-2", "Total precipitation", "time: sum"),
    "SWdown": Attributes("W m-2", "Surface downward shortwave radiation", "time: point"),
}


def write_month(folder: Path, hourly: Hourly, *, month: np.datetime64, cells: NldasCells) -> None:
    """Write the hours of `month`: one file, and for a few days granules of single hours.

    Two granules are missing, and one hour is given twice.
    """
    of_month = hourly.between(month.astype("datetime64[h]"), (month + MONTH).astype("datetime64[h]") - HOUR)
    single = np.isin(of_month.stamps.astype("datetime64[D]"), np.array(HOURLY_DAYS, dtype="datetime64[D]"))
    double = of_month.stamps == np.datetime64(DOUBLE_HOUR, "h")
    lost = np.isin(of_month.stamps, np.array(LOST_HOURS, dtype="datetime64[h]"))
    for index in np.flatnonzero((single | double) & ~lost):
        granule = of_month.at(slice(index, index + 1))
        _write(granule_path(folder, granule.stamps[0]), granule, cells=cells)
    _write(_month_path(folder, month), of_month.at(~single), cells=cells)


def granule_path(folder: Path, stamp: np.datetime64) -> Path:
    """Return the path of the granule of one hour."""
    time = stamp.item()
    return folder / f"{time:%Y/%j}" / f"NLDAS_FORA0125_H.A{time:%Y%m%d.%H}00.020.nc"


def _month_path(folder: Path, month: np.datetime64) -> Path:
    time = month.item()
    return folder / f"{time:%Y}" / f"NLDAS_FORA0125_H.A{time:%Y%m}.020.nc.SUB.nc4"


def _write(path: Path, hourly: Hourly, *, cells: NldasCells) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(GLOBAL_ATTRIBUTES)
        _write_axes(file, hourly.stamps, cells=cells)
        shape = len(hourly.stamps), *cells.shape
        chunk = min(24, shape[0]), *cells.shape  # readers need single days of the neighbouring months
        for name, values in hourly.variables().items():
            variable = file.createVariable(
                name, "f4", ("time", "lat", "lon"), zlib=True, complevel=2, chunksizes=chunk, fill_value=FILL_VALUE
            )
            variable.setncatts(ATTRIBUTES[name]._asdict() | {"missing_value": FILL_VALUE})
            variable[:] = values.reshape(shape)


def _write_axes(file: netCDF4.Dataset, stamps: NDArray[np.datetime64], *, cells: NldasCells) -> None:
    """Write the axes as in version 2.0: hours stamped at the end of their bounds, latitude ascending."""
    for name, size in {"time": stamps.size, "lat": cells.shape[0], "lon": cells.shape[1], "bnds": 2}.items():
        file.createDimension(name, size)
    hours = (stamps - EPOCH).astype(np.float64)
    units, bounds = "hours since 1979-01-01 00:00:00", file.createVariable("time_bnds", "f8", ("time", "bnds"))
    bounds[:] = np.stack([hours - 1, hours], axis=1)
    begin, end = (stamps[0] - HOUR).item(), stamps[-1].item()
    span = {"begin_date": f"{begin:%Y%m%d}", "begin_time": f"{begin:%H%M%S}"}
    span |= {"end_date": f"{end:%Y%m%d}", "end_time": f"{end:%H%M%S}"}
    _write_axis(file, "time", hours, standard_name="time", units=units, calendar="standard", bounds="time_bnds", **span)
    _write_axis(file, "lat", cells.row_latitude, standard_name="latitude", units="degrees_north")
    _write_axis(file, "lon", cells.col_longitude, standard_name="longitude", units="degrees_east")


def _write_axis(file: netCDF4.Dataset, name: str, values: Array, **attributes: str) -> None:
    axis = file.createVariable(name, "f8", (name,))
    axis.setncatts(attributes)
    axis[:] = values
