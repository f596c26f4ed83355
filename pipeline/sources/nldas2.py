"""NLDAS-2 forcing, File A: hourly netCDF granules -> daily climate in the units of the network.

One cell is 0.125 degree; latitude ascends. A granule may hold any number of hours and any rectangle of the grid, as the
archive's subsetters write them; the hours come from its time variable, never from its name.

References
----------
Xia et al. (2012), J. Geophys. Res. 117, D03109, doi:10.1029/2011JD016048. Product: NLDAS_FORA0125_H 2.0,
doi:10.5067/THUF4J1RLSYG.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import netCDF4
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from model.features import CLIMATE_NAMES
from pipeline.errors import UserError
from pipeline.sources.hourly import MARGIN_HOURS, reduce_days, vapour_pressure

ROWS, COLS = 224, 464
CELL_DEGREE = 0.125
FIRST_LATITUDE, FIRST_LONGITUDE = 25.0625, -124.9375  # centre of the south-west cell
OFF_GRID = 0.02  # largest misfit of a coordinate [cell]: GRIB headers, and what is made of them, round to 0.001 degree

Array = NDArray[np.float32]


class NldasSettings(BaseModel, frozen=True, extra="forbid"):
    """How NLDAS-2 granules are found and turned into days."""

    pattern: str = Field("NLDAS_FORA0125_H*.nc*", description="file names of the granules, at any depth of the folder")
    day_window: Literal["utc_stamp", "utc_hour_ending", "local_standard"] = Field(
        "utc_stamp",
        description="the 24 hours of a day: stamps 00-23 UTC (as published), 01-24 UTC, or 01-24 local standard time",
    )
    max_missing_hours: int = Field(
        3, ge=0, le=23, description="missing hours of a day that are filled; a day that lacks more is missing"
    )


@dataclass(frozen=True)
class Window:
    """A rectangle of NLDAS-2 cells: `rows` x `cols` from `first_row` (south) and `first_col` (west)."""

    first_row: int
    first_col: int
    rows: int
    cols: int

    @classmethod
    def around(cls, longitude: NDArray[np.float64], latitude: NDArray[np.float64], *, margin: int = 0) -> Window:
        """Return the smallest window that holds the cells of all points [degree], and up to `margin` cells around it.

        Raises
        ------
        UserError
            If a point lies outside the grid (125-67 W, 25-53 N).
        """
        row = np.floor((np.asarray(latitude) - FIRST_LATITUDE) / CELL_DEGREE + 0.5).astype(int)
        col = np.floor((np.asarray(longitude) - FIRST_LONGITUDE) / CELL_DEGREE + 0.5).astype(int)
        if row.min() < 0 or col.min() < 0 or row.max() >= ROWS or col.max() >= COLS:
            raise UserError(
                f"longitudes {np.min(longitude):.3f} to {np.max(longitude):.3f}, latitudes {np.min(latitude):.3f} to "
                f"{np.max(latitude):.3f} leave NLDAS-2 (125-67 W, 25-53 N); choose a region inside it"
            )
        south, west = max(int(row.min()) - margin, 0), max(int(col.min()) - margin, 0)
        north, east = min(int(row.max()) + margin, ROWS - 1), min(int(col.max()) + margin, COLS - 1)
        return cls(south, west, north - south + 1, east - west + 1)

    @property
    def latitudes(self) -> NDArray[np.float64]:
        """Centres of the rows (rows,) [degree], south first."""
        return FIRST_LATITUDE + CELL_DEGREE * (self.first_row + np.arange(self.rows, dtype=np.float64))

    @property
    def longitudes(self) -> NDArray[np.float64]:
        """Centres of the columns (cols,) [degree]."""
        return FIRST_LONGITUDE + CELL_DEGREE * (self.first_col + np.arange(self.cols, dtype=np.float64))


@dataclass(frozen=True)
class HourIndex:
    """Which file holds which hour.

    Attributes
    ----------
    files
        Granules, sorted by path.
    hour_N
        Hours since 1970-01-01 00 UTC, ascending; a stamp that several files hold occurs several times.
    file_N, position_N
        Number of the file in `files` and position on its time axis.
    """

    files: tuple[Path, ...]
    hour_N: NDArray[np.int64]
    file_N: NDArray[np.int64]
    position_N: NDArray[np.int64]


@dataclass(frozen=True)
class DailyClimate:
    """Climate of consecutive days on a window.

    Attributes
    ----------
    climate_FTYX
        (7, days, rows, cols) float32, features and units of `model.features.CLIMATE_NAMES`; NaN where the day is
        missing or the cell undefined (water, outside the land mask). Latitude ascends.
    missing_hours_TYX
        (days, rows, cols) uint8: hours of the day with a missing value (24 at undefined cells); up to
        `max_missing_hours` of them are filled: states linearly in time, rain by the mean of the hours that are there.
    duplicate_hours
        Stamps that several files hold, with equal values.
    """

    first_day: dt.date
    window: Window
    climate_FTYX: NDArray[np.float32]
    missing_hours_TYX: NDArray[np.uint8]
    duplicate_hours: int


def index_archive(folder: Path, *, settings: NldasSettings) -> HourIndex:
    """Return the hours that the granules below `folder` hold; opens each once, some 5 ms, for its time axis alone.

    Raises
    ------
    UserError
        If no file matches the pattern, or one is truncated, an HTML page or not netCDF (named).
    """
    # The archive lays an XML description beside each granule.
    files = sorted(path for path in folder.rglob(settings.pattern) if path.suffix != ".xml")
    if not files:
        raise UserError(f"{folder}: no NLDAS-2 granule named {settings.pattern}; download them or change `pattern`")
    of_files = []
    for path in files:
        with _open(path) as granule:
            of_files.append(_stamps(granule))
    hour_N = np.concatenate(of_files)
    file_N = np.repeat(np.arange(len(files)), [len(hours) for hours in of_files])
    position_N = np.concatenate([np.arange(len(hours)) for hours in of_files])
    order = np.argsort(hour_N, kind="stable")
    return HourIndex(tuple(files), hour_N[order], file_N[order], position_N[order])


def read_days(
    index: HourIndex, *, first: dt.date, last: dt.date, window: Window, settings: NldasSettings
) -> DailyClimate:
    """Return the daily climate of `first` to `last` (inclusive); hourly values are held one month at a time.

    Raises
    ------
    UserError
        If a granule is off the grid, does not cover the window, lacks a variable, holds values outside their physical
        range (other units), or contradicts another granule of the same hour.
    """
    days = (last - first).days + 1
    climate_FTYX = np.empty((len(CLIMATE_NAMES), days, window.rows, window.cols), np.float32)
    missing_TYX = np.empty((days, window.rows, window.cols), np.uint8)
    start_X = _first_stamp(window.longitudes, settings.day_window)
    for month in _months(first, last):
        span = range(month.start + start_X.min() - MARGIN_HOURS, month.stop + start_X.max() + MARGIN_HOURS)
        hours_QHYX = _read_hours(index, span=span, window=window)
        there = slice(*((hour - _hour_of(first)) // 24 for hour in (month.start, month.stop)))
        for start in np.unique(start_X):
            cols = np.flatnonzero(start_X == start)
            skipped = start - start_X.min()
            of_start = hours_QHYX[:, skipped : skipped + len(month) + 2 * MARGIN_HOURS, :, cols[0] : cols[-1] + 1]
            daily = reduce_days(of_start, max_missing=settings.max_missing_hours)
            climate_FTYX[:, there, :, cols[0] : cols[-1] + 1] = daily.climate_FTYX
            missing_TYX[there, :, cols[0] : cols[-1] + 1] = daily.missing_TYX
    used = range(_hour_of(first) + start_X.min(), _hour_of(last) + 24 + start_X.max())
    hour_N = index.hour_N[_between(index, used)]
    return DailyClimate(first, window, climate_FTYX, missing_TYX, hour_N.size - np.unique(hour_N).size)


def _first_stamp(longitudes: NDArray[np.float64], day_window: str) -> NDArray[np.int64]:
    """Stamp of each column's first hour of a day [hours after 00 UTC]; radiation and rain of a stamp precede it."""
    if day_window == "local_standard":
        return 1 - np.rint(longitudes / 15).astype(np.int64)
    return np.full(longitudes.size, int(day_window == "utc_hour_ending"))


def _hour_of(day: dt.date) -> int:
    return 24 * (day - dt.date(1970, 1, 1)).days


def _months(first: dt.date, last: dt.date) -> Iterator[range]:
    """Hours of each calendar month between two days."""
    while first <= last:
        next_month = (first.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
        stop = min(next_month, last + dt.timedelta(days=1))
        yield range(_hour_of(first), _hour_of(stop))
        first = stop


def _between(index: HourIndex, span: range) -> slice:
    """Entries of the index in a span of hours."""
    return slice(*np.searchsorted(index.hour_N, (span.start, span.stop)))


@contextmanager
def _open(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a granule; reading it inside the block too raises `UserError` where the file is damaged."""
    try:
        with netCDF4.Dataset(path) as granule:
            yield granule
    except (OSError, RuntimeError) as error:
        with path.open("rb") as file:
            page = file.read(200).lstrip().startswith(b"<")
        what = "an HTML page (of a login?)" if page else f"truncated or not netCDF ({path.stat().st_size:,} bytes)"
        raise UserError(f"{path}: {what}; download it again") from error


def _stamps(granule: netCDF4.Dataset) -> NDArray[np.int64]:
    """Hours since 1970-01-01 00 UTC on the time axis."""
    path = granule.filepath()
    time = granule.variables.get("time")
    if time is None or "units" not in time.ncattrs():
        raise UserError(f"{path}: has no variable time with units, so that its hours are unknown; download it again")
    dates = netCDF4.num2date(time[:], time.units, getattr(time, "calendar", "standard"))
    hours = np.asarray(netCDF4.date2num(dates, "hours since 1970-01-01", "standard"), np.float64)
    if (np.abs(hours - hours.round()) > 1e-3).any():
        raise UserError(f"{path}: time ({time.units}) is not in whole hours; NLDAS-2 File A is hourly")
    return hours.round().astype(np.int64)


def _read_hours(index: HourIndex, *, span: range, window: Window) -> Array:
    """Hours of a span on the window as `hourly` takes them, (5, hours, rows, cols); NaN where no file holds one."""
    hours_QHYX = np.full((5, len(span), window.rows, window.cols), np.nan, np.float32)
    source_H = np.full(len(span), -1)
    entries = _between(index, span)
    hour_N, file_N, position_N = index.hour_N[entries], index.file_N[entries], index.position_N[entries]
    for number in np.unique(file_N):
        path, of_file = index.files[number], file_N == number
        with _open(path) as granule:
            block_QNYX = _read_granule(granule, positions=position_N[of_file], window=window)
        for hour, values in zip(hour_N[of_file] - span.start, np.moveaxis(block_QNYX, 1, 0), strict=True):
            if source_H[hour] >= 0 and not np.array_equal(hours_QHYX[:, hour], values, equal_nan=True):
                raise UserError(
                    f"{index.files[source_H[hour]]} and {path} hold {np.datetime64(int(span[hour]), 'h')} UTC with "
                    f"different values; keep the right one"
                )
            hours_QHYX[:, hour], source_H[hour] = values, number
    return hours_QHYX


def _read_granule(granule: netCDF4.Dataset, *, positions: NDArray[np.int64], window: Window) -> Array:
    """Hours at positions of the time axis on the window, (5, hours, rows, cols); NaN where a quantity is missing."""
    rows = _positions(granule, "lat", wanted=window.latitudes)
    cols = _positions(granule, "lon", wanted=window.longitudes)
    place = _Place(_Part.of(positions), _Part.of(rows), _Part.of(cols))
    tair, qair, psurf, wind_e, wind_n, swdown, rainf = (_read(granule, variable, place) for variable in _VARIABLES)
    quantities = (tair - np.float32(273.15), vapour_pressure(qair, psurf), np.hypot(wind_e, wind_n), swdown, rainf)
    values_QNYX = np.stack(quantities)
    values_QNYX[:, np.isnan(values_QNYX).any(axis=0)] = np.nan
    return values_QNYX


def _positions(granule: netCDF4.Dataset, name: str, *, wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the wanted cell centres [degree] on the granule's axis `name`."""
    path = granule.filepath()
    if name not in granule.variables:
        raise UserError(f"{path}: has no variable {name}; NLDAS-2 v2.0 files hold time, lat and lon")
    degrees = np.ma.filled(granule[name][:].astype(np.float64), np.nan)
    cells = (degrees - wanted[0]) / CELL_DEGREE
    if not (np.abs(cells - cells.round()) <= OFF_GRID).all():
        raise UserError(
            f"{path}: {name} {degrees[0]:.4f} ... {degrees[-1]:.4f} are not centres of the 0.125 degree grid of "
            f"NLDAS-2; use the product without regridding"
        )
    at = {int(cell): position for position, cell in enumerate(cells.round())}
    absent = [cell for cell in range(wanted.size) if cell not in at]
    if absent:
        raise UserError(
            f"{path}: {name} {degrees.min():.4f} to {degrees.max():.4f} lacks {wanted[absent[0]]:.4f} of the region; "
            f"use a larger subset"
        )
    return np.array([at[cell] for cell in range(wanted.size)])


class _Part(NamedTuple):
    """Part of an axis, in any order: a slice that holds it, and the places in that."""

    slice: slice
    places: NDArray[np.int64]

    @classmethod
    def of(cls, positions: NDArray[np.int64]) -> _Part:
        low = int(positions.min())
        return cls(slice(low, int(positions.max()) + 1), positions - low)


class _Place(NamedTuple):
    """Part of a granule: hours, rows, columns."""

    time: _Part
    lat: _Part
    lon: _Part


class _Variable(NamedTuple):
    """A variable of the granules: its range on Earth, and what a value outside it suggests."""

    name: str
    low: float
    high: float
    cause: str


_VARIABLES = (
    _Variable("Tair", 190.0, 335.0, "degC or degF, not K"),
    _Variable("Qair", 0.0, 0.05, "g kg-1, not kg kg-1"),
    _Variable("PSurf", 4e4, 1.1e5, "hPa or kPa, not Pa"),
    _Variable("Wind_E", -90.0, 90.0, "km h-1, not m s-1"),
    _Variable("Wind_N", -90.0, 90.0, "km h-1, not m s-1"),
    _Variable("SWdown", -1.0, 1500.0, "J m-2, not W m-2"),
    _Variable("Rainf", 0.0, 400.0, "not mm in the hour"),
)


def _read(granule: netCDF4.Dataset, variable: _Variable, place: _Place) -> Array:
    """Values of a variable, (hours, rows, cols), NaN where it has none."""
    path, name = granule.filepath(), variable.name
    if name not in granule.variables or granule[name].dimensions != ("time", "lat", "lon"):
        raise UserError(
            f"{path}: has no variable {name} (time, lat, lon); {', '.join(v.name for v in _VARIABLES)} are needed"
        )
    if name == "Rainf" and getattr(granule[name], "units", "").endswith(("s-1", "/s", "s^-1")):
        raise UserError(f"{path}: Rainf is a rate ({granule[name].units}); NLDAS-2 gives the sum over the hour, kg m-2")
    stored = granule[name][tuple(part.slice for part in place)]
    values = np.ma.filled(stored.astype(np.float32), np.nan)[np.ix_(*(part.places for part in place))]
    outside = values[(values < variable.low) | (values > variable.high)]
    if outside.size:
        raise UserError(
            f"{path}: {name} of {outside[0]:g} is outside {variable.low:g} to {variable.high:g}; "
            f"its unit may be {variable.cause}, or its missing value lacks a tag"
        )
    return values
