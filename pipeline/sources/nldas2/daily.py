"""NLDAS-2 forcing, File A: hourly granules -> daily climate in the units of the network.

Granules of version 2.0 (netCDF-4) and 002 (GRIB-1) may lie in one folder; see `product` and `index`.

Rain of a stamp fell in the hour before it; temperature, humidity, wind and radiation are values at the stamp. A day of
the stamps 00 to 23 UTC therefore contains the rain from 23 UTC of the day before to 23 UTC. It is the default all the
same, because the published network was trained on such days; `utc_hour_ending`, the stamps 01 to 24, contains the rain
of the day itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.features import CLIMATE_NAMES
from pipeline.sources.nldas2.aggregation import MARGIN_HOURS, reduce_days, vapour_pressure
from pipeline.sources.nldas2.hours import gather_hours
from pipeline.sources.nldas2.index import HourIndex
from pipeline.sources.nldas2.product import Array, Hours, NldasSettings, Window

BAND_CELLS = 4096  # cells reduced to days at a time, about 150 MB for a month
KELVIN = np.float32(273.15)


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
        `max_missing_hours` of them are filled: states linearly in time, rain by the mean of the day's other hours.
    duplicate_hours
        Stamps that several files hold, with equal values, or in both formats with values that agree.
    damaged
        Files of these days, and of the day before and after, that could not be read in full, "path: reason; download it
        again" each; their hours are missing unless another file holds them.
    """

    first_day: dt.date
    window: Window
    climate_FTYX: NDArray[np.float32]
    missing_hours_TYX: NDArray[np.uint8]
    duplicate_hours: int
    damaged: tuple[str, ...] = ()


def read_days(
    index: HourIndex, *, first: dt.date, last: dt.date, window: Window, settings: NldasSettings
) -> DailyClimate:
    """Return the daily climate of `first` to `last` (inclusive).

    Hourly values are held in memory for one month at a time: 22 kB per cell, 0.5 GB for the 12 states of the Midwest,
    where memory peaks at 0.7 GB.

    Raises
    ------
    UserError
        If a granule contains another hour than its name gives, is off the grid, does not cover the window or have
        all variables, contains values outside their physical range (other units), or contradicts another granule of the
        same hour.
    """
    start_X = _first_stamp(window.longitudes, settings.day_window)
    days = (last - first).days + 1
    climate_FTYX = np.empty((len(CLIMATE_NAMES), days, window.rows, window.cols), np.float32)
    missing_TYX = np.empty((days, window.rows, window.cols), np.uint8)
    duplicates: dict[int, int] = {}
    damaged: set[str] = set()
    for month in _months(first, last):
        # A day before and after, to interpolate missing hours at the month's ends from their neighbours.
        span = range(month.start + start_X.min() - MARGIN_HOURS, month.stop + start_X.max() + MARGIN_HOURS)
        hours = gather_hours(index, span=span, window=window)
        there = slice(*((hour - _hour_of(first)) // 24 for hour in (month.start, month.stop)))
        for part in _parts(start_X, rows=window.rows):
            # The part's days with margins, within hours that begin at the earliest stamp of all parts.
            begin = month.start + part.start - MARGIN_HOURS - span.start
            of_part = hours.values_VHYX[:, begin : begin + len(month) + 2 * MARGIN_HOURS, part.rows, part.cols]
            daily = reduce_days(_quantities(of_part), max_missing=settings.max_missing_hours)
            climate_FTYX[:, there, part.rows, part.cols] = daily.climate_FTYX
            missing_TYX[there, part.rows, part.cols] = daily.missing_TYX
        # Months overlap by their margins: the union counts an hour once, whatever month it was read for.
        duplicates |= hours.duplicates
        damaged |= hours.damaged
    # Duplicates of the margins belong to the days before and after, which count them themselves.
    used = range(_hour_of(first) + start_X.min(), _hour_of(last) + 24 + start_X.max())
    of_days = sum(count for hour, count in duplicates.items() if hour in used)
    return DailyClimate(first, window, climate_FTYX, missing_TYX, of_days, tuple(sorted(damaged)))


def _first_stamp(longitudes: NDArray[np.float64], day_window: str) -> Hours:
    """Return the stamp of the first hour of a day in each column (cols,) [hours after 00 UTC].

    Local standard time is that of the column's own longitude, 15 degrees to the hour, not that of legal time zones: its
    days begin with the stamp 01, whose rain fell in the first hour after local midnight.

    Examples
    --------
    >>> _first_stamp(np.array([-90.0, -97.4]), "local_standard").tolist()
    [7, 7]
    >>> _first_stamp(np.array([-90.0, -97.4]), "utc_stamp").tolist()
    [0, 0]
    """
    if day_window == "local_standard":
        return 1 - np.rint(longitudes / 15).astype(np.int64)
    return np.full(longitudes.size, int(day_window == "utc_hour_ending"))


def _hour_of(day: dt.date) -> int:
    return 24 * (day - dt.date(1970, 1, 1)).days


def _months(first: dt.date, last: dt.date) -> Iterator[range]:
    """Yield the hours of each calendar month between two days [hours since 1970-01-01 00 UTC]."""
    while first <= last:
        next_month = (first.replace(day=1) + dt.timedelta(days=31)).replace(day=1)
        stop = min(next_month, last + dt.timedelta(days=1))
        yield range(_hour_of(first), _hour_of(stop))
        first = stop


class _Part(NamedTuple):
    """Part of a window in which days begin with the same stamp."""

    rows: slice
    cols: slice
    start: int


def _parts(start_X: Hours, *, rows: int) -> Iterator[_Part]:
    """Cut a window where the first stamp changes, and into bands of rows, so that working copies stay small."""
    for start in np.unique(start_X):
        cols = np.flatnonzero(start_X == start)
        height = max(1, BAND_CELLS // cols.size)
        for row in range(0, rows, height):
            yield _Part(slice(row, row + height), slice(cols[0], cols[-1] + 1), int(start))


def _quantities(values_VHYX: Array) -> Array:
    """Return the five hourly quantities of `aggregation` (5, hours, rows, cols) from the variables `USED`.

    An hour in which one variable is missing is missing in all, so that every daily value has the same hours.
    """
    tair, qair, psurf, wind_e, wind_n, swdown, rainf = values_VHYX
    quantities = (tair - KELVIN, vapour_pressure(qair, psurf), np.hypot(wind_e, wind_n), swdown, rainf)
    values_QHYX = np.stack(quantities)
    values_QHYX[:, np.isnan(values_VHYX).any(axis=0)] = np.nan
    return values_QHYX
