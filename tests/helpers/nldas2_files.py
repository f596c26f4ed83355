"""Small NLDAS-2 granules of both formats, and what a day of them should hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.sources.nldas2.daily import DailyClimate, read_days
from pipeline.sources.nldas2.granule import open_granule
from pipeline.sources.nldas2.index import index_archive
from pipeline.sources.nldas2.product import VARIABLES, NldasSettings, Window

Values = dict[str, NDArray[np.float32]]

USED = ("Tair", "Qair", "PSurf", "Wind_E", "Wind_N", "Rainf", "SWdown")
UNUSED = ("LWdown", "CRainf_frac", "CAPE", "PotEvap")
WINDOW = Window(119, 283, 2, 3)  # 39.9375-40.0625 N, 89.5625-89.3125 W
LAT, LON = np.array([39.9375, 40.0625]), np.array([-89.5625, -89.4375, -89.3125])
DAY = dt.datetime(2010, 6, 3)
GRID = (224, 464)
AXES = ("time", "lat", "lon")
NAMES_002 = {
    "Tair": "TMP", "Qair": "SPFH", "PSurf": "PRES", "Wind_E": "UGRD", "Wind_N": "VGRD", "Rainf": "APCP",
    "SWdown": "DSWRF",
}  # fmt: skip

# Parameter of table 130, level type, level, decimal digits and hours summed, as in the product's real files.
IN_GRIB = {
    "Tair": (11, 105, 2, 2, 0),
    "Qair": (51, 105, 2, 7, 0),
    "PSurf": (1, 1, 0, 2, 0),
    "Wind_E": (33, 105, 10, 2, 0),
    "Wind_N": (34, 105, 10, 2, 0),
    "LWdown": (205, 1, 0, 2, 0),
    "CRainf_frac": (153, 1, 0, 4, 1),
    "CAPE": (157, 116, 180, 3, 0),
    "PotEvap": (228, 1, 0, 4, 1),
    "Rainf": (61, 1, 0, 4, 1),
    "SWdown": (204, 1, 0, 3, 0),
}
FILE_HEADER = {
    "centre": 7,
    "subCentre": 12,
    "generatingProcessIdentifier": 84,
    "table2Version": 130,
    "Ni": 464,
    "Nj": 224,
    "latitudeOfFirstGridPoint": 25063,
    "longitudeOfFirstGridPoint": -124938,
    "latitudeOfLastGridPoint": 52938,
    "longitudeOfLastGridPoint": -67063,
    "iDirectionIncrement": 125,
    "jDirectionIncrement": 125,
    "jScansPositively": 1,
    "unitOfTimeRange": 1,
    "missingValue": -9999,
    "bitmapPresent": 1,
}


def weather(hours: int, *, seed: int = 0, shape: tuple[int, int] = (2, 3)) -> Values:
    """Random but possible values of the variables that are used."""
    rng = np.random.default_rng(seed)
    ranges = {
        "Tair": (270, 310), "Qair": (0.002, 0.02), "PSurf": (9.6e4, 1.01e5), "Wind_E": (-9, 9), "Wind_N": (-9, 9),
        "Rainf": (0, 4), "SWdown": (0, 900),
    }  # fmt: skip
    return {name: rng.uniform(*limits, (hours, *shape)).astype(np.float32) for name, limits in ranges.items()}


def read_variable(path: Path, name: str, *, window: Window = WINDOW) -> NDArray[np.float32]:
    """A variable of a granule of either format, all hours, by the reader."""
    with open_granule(path) as granule:
        return granule.values(VARIABLES[name], position_N=np.arange(granule.hour_N.size), window=window)


def part(values: Values, hours: slice) -> Values:
    """Some hours of the values."""
    return {name: value[hours].copy() for name, value in values.items()}


def write_granule(
    path: Path,
    first: dt.datetime,
    values: Values,
    *,
    names: Mapping[str, str] | None = None,
    dims: Mapping[str, tuple[str, ...]] | None = None,
    **axes: object,
) -> Path:
    """A netCDF file as the archive and its subsetters write it; `axes` replaces lat, lon or the unit of time.

    `names` and `dims` replace names of variables and their axes, by name; axes beside time, lat and lon have length 1.
    """
    names, dims = names or {}, dims or {}
    path.parent.mkdir(parents=True, exist_ok=True)
    lat, lon = np.asarray(axes.get("lat", LAT)), np.asarray(axes.get("lon", LON))
    stamps = [first + dt.timedelta(hours=n) for n in range(len(values["Tair"]))]
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", len(stamps)), ("lat", lat.size), ("lon", lon.size)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = axes.get("units", "hours since 1979-01-01 00:00:00")
        time[:] = netCDF4.date2num(stamps, time.units)
        file.createVariable("lat", "f8", ("lat",))[:] = lat
        file.createVariable("lon", "f8", ("lon",))[:] = lon
        for name in (*USED, *UNUSED):
            if name in values or name in UNUSED:
                order = dims.get(name, AXES)
                others = [place for place, axis in enumerate(order) if axis not in AXES]
                for axis in {order[place] for place in others} - {*file.dimensions}:
                    file.createDimension(axis, 1)
                variable = file.createVariable(names.get(name, name), "f4", order, fill_value=-9999.0)
                stored = values.get(name, np.zeros((len(stamps), lat.size, lon.size)))
                stored = stored.transpose([AXES.index(axis) for axis in order if axis in AXES])
                variable[:] = np.expand_dims(stored, others)
    return path


def write_subset(path: Path, first: dt.datetime, values: Values, **axes: object) -> Path:
    """A netCDF subset of version 002: its names, and an axis `height` of the variables above ground."""
    dims = dict.fromkeys(("Tair", "Qair", "Wind_E", "Wind_N"), ("time", "height", "lat", "lon"))
    return write_granule(path, first, values, names=NAMES_002, dims=dims, **axes)


def grib_library() -> ModuleType:
    """The package eccodes; the test is skipped where this extra is not installed."""
    pytest.importorskip("pyproj")  # before eccodes, or Python crashes at its exit
    library: ModuleType = pytest.importorskip("eccodes")
    return library


@cache
def _blank() -> int:
    eccodes = grib_library()
    message: int = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    for key, value in FILE_HEADER.items():
        eccodes.codes_set(message, key, value)
    return message


def grib_message(name: str, stamp: dt.datetime, field_YX: NDArray[np.float64], edits: Mapping[str, int]) -> bytes:
    """A variable on the whole grid as one message, -9999 missing; `edits` replaces keys of its header."""
    eccodes = grib_library()
    parameter, level_type, level, digits, summed = IN_GRIB[name]
    reference = stamp - dt.timedelta(hours=summed)
    message = eccodes.codes_clone(_blank())
    header = {
        "indicatorOfParameter": parameter,
        "indicatorOfTypeOfLevel": level_type,
        "level": level,
        "dataDate": int(f"{reference:%Y%m%d}"),
        "dataTime": 100 * reference.hour,
        "timeRangeIndicator": 4 * summed,
        "P1": 0,
        "P2": summed,
        "missingValue": -9999,
        "bitmapPresent": 1,
        **({"bitsPerValue": edits["bitsPerValue"]} if "bitsPerValue" in edits else {"decimalPrecision": digits}),
    }
    for key, value in header.items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, field_YX.ravel())
    for key, value in edits.items():
        eccodes.codes_set(message, key, value)
    content: bytes = eccodes.codes_get_message(message)
    eccodes.codes_release(message)
    return content


def write_grib(
    path: Path,
    stamp: dt.datetime,
    values: Values,
    *,
    window: Window = WINDOW,
    edits: Mapping[str, Mapping[str, int]] | None = None,
) -> Path:
    """One hour, the first of `values`, as GRIB-1, missing outside `window`; `edits` are by name, or of "all"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    edits = edits or {}
    with path.open("wb") as file:
        for name in IN_GRIB:
            if name in values or name in UNUSED:
                field_YX = np.full(GRID, -9999.0)
                block_YX = values[name][0] if name in values else np.zeros((window.rows, window.cols))
                field_YX[places(window)] = np.where(np.isnan(block_YX), -9999.0, block_YX)
                file.write(grib_message(name, stamp, field_YX, {**edits.get("all", {}), **edits.get(name, {})}))
    return path


def places(window: Window) -> tuple[slice, slice]:
    """Rows and columns of a window on the grid."""
    rows = slice(window.first_row, window.first_row + window.rows)
    return rows, slice(window.first_col, window.first_col + window.cols)


def decode_grib(path: Path, *, window: Window = WINDOW) -> Values:
    """What the library decodes of a file, (1, rows, cols) each, without the readers that are tested."""
    eccodes = grib_library()
    names = {of[:3]: name for name, of in IN_GRIB.items()}
    values = {}
    with path.open("rb") as file:
        while (message := eccodes.codes_grib_new_from_file(file)) is not None:
            of = [
                eccodes.codes_get_long(message, key)
                for key in ("indicatorOfParameter", "indicatorOfTypeOfLevel", "level")
            ]
            eccodes.codes_set(message, "missingValue", -9999)
            field_YX = eccodes.codes_get_values(message).reshape(GRID)[places(window)]
            values[names[tuple(of)]] = np.where(field_YX == -9999, np.nan, field_YX).astype(np.float32)[None]
            eccodes.codes_release(message)
    return values


def stack_hours(hours: list[Values]) -> Values:
    """Single hours one after another."""
    return {name: np.concatenate([hour[name] for hour in hours]) for name in USED}


def grib_name(stamp: dt.datetime) -> str:
    """The archive's name of an hour of version 002."""
    return f"NLDAS_FORA0125_H.A{stamp:%Y%m%d.%H}00.002.grb"


def subset_name(stamp: dt.datetime) -> str:
    """The archive's name of a netCDF subset of an hour of version 002."""
    return f"{grib_name(stamp)}.SUB.nc4"


def netcdf_name(stamp: dt.datetime) -> str:
    """The archive's name of an hour of version 2.0."""
    return f"NLDAS_FORA0125_H.A{stamp:%Y%m%d.%H}00.020.nc"


def read(
    folder: Path, day: dt.date = dt.date(2010, 6, 3), last: dt.date | None = None, **settings: object
) -> DailyClimate:
    """Days of the granules below a folder."""
    chosen = NldasSettings.model_validate(settings)
    index = index_archive(folder, settings=chosen)
    return read_days(index, first=day, last=last or day, window=WINDOW, settings=chosen)


def expected_day(values: Values, hours: slice) -> list[NDArray[np.float64]]:
    """The seven daily quantities from the product's description, in float64."""
    tair, q, p, e, n, rain, sw = (values[name][hours].astype(np.float64) for name in USED)
    vapour = q * p / (0.622 + 0.378 * q) / 1000
    return [
        sw.sum(0) * 3600 / 1e6 * (24 / len(sw)),
        tair.max(0) - 273.15,
        tair.max(0) - tair.min(0),
        vapour.max(0),
        vapour.max(0) - vapour.min(0),
        np.sqrt(e**2 + n**2).mean(0) * 86400 / 1000,
        rain.sum(0),
    ]
