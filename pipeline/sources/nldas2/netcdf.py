"""NLDAS-2 granules of version 2.0: netCDF-4, as released or as the archive's subsetters write them.

A file may contain any number of hours and any rectangle of the grid, both given by its axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sources.nldas2.product import (
    CELL_DEGREE,
    Array,
    DamagedGranuleError,
    Hours,
    Variable,
    Window,
    check_range,
    damage_named,
)

OFF_GRID = 0.02  # largest misfit of a coordinate [cell]: files converted from GRIB have its rounding to 0.001 degree
AXES = ("time", "lat", "lon")
_ERRORS = (OSError, RuntimeError)  # of the library, for truncated files


@contextmanager
def open_netcdf(path: Path) -> Iterator[NetcdfGranule]:
    """Open a granule; raises `DamagedGranuleError` if the file is truncated."""
    with damage_named(path, *_ERRORS):
        dataset = netCDF4.Dataset(path)
    try:
        yield NetcdfGranule(path, dataset)
    finally:
        dataset.close()


_HOURS_PER_UNIT = {"seconds": 1 / 3600, "minutes": 1 / 60, "hours": 1.0, "days": 24.0}
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


def _hours_since_1970(stored: NDArray[np.number[Any]], units: str, calendar: str) -> NDArray[np.float64]:
    """Return the hours since 1970 of a time axis.

    With units of constant length only the first value becomes a date, and the others are counted from it: making dates
    is slow.
    """
    length = _HOURS_PER_UNIT.get(units.split()[0].lower()) if calendar in _CALENDARS else None
    decoded = stored if length is None else stored[:1]
    dates = netCDF4.num2date(decoded, units, calendar)
    hours = np.asarray(netCDF4.date2num(dates, "hours since 1970-01-01", "standard"), np.float64)
    return hours if length is None else hours + (stored - stored[0]) * length


@dataclass(frozen=True)
class NetcdfGranule:
    """An open netCDF granule."""

    path: Path
    dataset: netCDF4.Dataset

    @cached_property
    def hour_N(self) -> Hours:
        """Hours since 1970-01-01 00 UTC on the time axis."""
        time = self.dataset.variables.get("time")
        if time is None or "units" not in time.ncattrs():
            raise UserError(
                f"{self.path}: has no variable `time` with units, so that its hours are unknown; download it again"
            )
        with damage_named(self.path, *_ERRORS):
            stored = time[:]
        if not stored.size or np.ma.is_masked(stored):
            raise DamagedGranuleError(f"{self.path}: has no hours on its time axis; download it again")
        hours = _hours_since_1970(np.asarray(stored), time.units, getattr(time, "calendar", "standard"))
        # Times in days or seconds are not exact hours in floating-point numbers.
        if (np.abs(hours - hours.round()) > 1e-3).any():
            raise UserError(f"{self.path}: time ({time.units}) is not in whole hours; NLDAS-2 File A is hourly")
        return hours.round().astype(np.int64)

    def values(self, variable: Variable, *, position_N: Hours, window: Window) -> Array:
        """Return a variable at positions of the time axis on a window; see `product.Granule`."""
        self._check_kind(variable)
        rows = self._positions("lat", wanted=window.latitudes)
        cols = self._positions("lon", wanted=window.longitudes)
        place = (_Part.of(position_N), _Part.of(rows), _Part.of(cols))
        with damage_named(self.path, *_ERRORS):
            stored = self.dataset[variable.name][tuple(part.slice for part in place)]
        values: Array = np.ma.filled(stored.astype(np.float32, copy=False), np.nan)
        # Only axes in another order or with gaps need this copy: subsetters keep the product's order.
        if not all(part.whole for part in place):
            values = values[np.ix_(*(part.places for part in place))]
        check_range(values, variable, path=self.path)
        return values

    def step(self, variable: Variable) -> float:  # noqa: ARG002
        """Return 0: values are not rounded when they are stored."""
        return 0.0

    def _check_kind(self, variable: Variable) -> None:
        name, there = variable.name, self.dataset.variables
        if name not in there or there[name].dimensions != AXES:
            raise UserError(
                f"{self.path}: has no variable {name} ({', '.join(AXES)}); download all variables of NLDAS-2 v2.0"
            )
        units = getattr(there[name], "units", "")
        if variable.hourly and units.endswith(("s-1", "/s", "s^-1")):
            raise UserError(f"{self.path}: {name} is a rate ({units}); NLDAS-2 has the sum over the hour, kg m-2")

    @cached_property
    def _centres(self) -> Mapping[str, NDArray[np.float64]]:
        """Centres of the cells on both axes [degree]; read once, and not for each variable."""
        return {name: self._axis(name) for name in ("lat", "lon")}

    def _axis(self, name: str) -> NDArray[np.float64]:
        if name not in self.dataset.variables:
            raise UserError(f"{self.path}: has no variable {name}; files of NLDAS-2 v2.0 have time, lat and lon")
        with damage_named(self.path, *_ERRORS):
            return np.ma.filled(self.dataset[name][:].astype(np.float64), np.nan)

    def _positions(self, name: str, *, wanted: NDArray[np.float64]) -> Hours:
        """Return the indices of the cell centres `wanted` on the axis `name`."""
        degrees = self._centres[name]
        cells = (degrees - wanted[0]) / CELL_DEGREE
        nearest = cells.round()
        if not (np.abs(cells - nearest) <= OFF_GRID).all():
            raise UserError(
                f"{self.path}: {name} {degrees[0]:.4f} ... {degrees[-1]:.4f} are not centres of the 0.125 degree grid "
                f"of NLDAS-2; use the product without regridding"
            )
        inside = np.flatnonzero((nearest >= 0) & (nearest < wanted.size))
        # By value and not by index, so that subsets and axes from north to south are read alike.
        positions = np.full(wanted.size, -1)
        positions[nearest[inside].astype(int)] = inside
        if positions.min() < 0:
            raise UserError(
                f"{self.path}: {name} {degrees.min():.4f} to {degrees.max():.4f} does not include "
                f"{wanted[positions.argmin()]:.4f} of the region; use a larger subset"
            )
        return positions


class _Part(NamedTuple):
    """Part of an axis, in any order: the smallest slice around it, and the indices in that slice."""

    slice: slice
    places: Hours

    @classmethod
    def of(cls, positions: Hours) -> _Part:
        low = int(positions.min())
        return cls(slice(low, int(positions.max()) + 1), positions - low)

    @property
    def whole(self) -> bool:
        """Return whether the part is the full slice, in its order."""
        return bool((self.places == np.arange(self.slice.stop - self.slice.start)).all())
