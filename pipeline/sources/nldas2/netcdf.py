"""NLDAS-2 granules in netCDF-4: version 2.0 as released, and subsets of versions 2.0 and 002.

A file may contain any number of hours and any rectangle of the grid, both given by its axes, in any order. Subsets of
version 002 name the variables otherwise and give those at 2 or 10 m an axis `height` of length 1.
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
        if time is None or time.dimensions != ("time",) or "units" not in time.ncattrs():
            raise UserError(
                f"{self.path}: has no axis `time` with units, so that its hours are unknown; download it again"
            )
        with damage_named(self.path, *_ERRORS):
            stored = time[:]
        if not stored.size or np.ma.is_masked(stored):
            raise DamagedGranuleError(f"{self.path}: has no hours on its time axis; download it again")
        hours = _hours_since_1970(np.asarray(stored), time.units, getattr(time, "calendar", "standard"))
        # Times in days or seconds are not exact hours in floating-point numbers.
        if (np.abs(hours - hours.round()) > 1e-3).any():
            raise UserError(f"{self.path}: time ({time.units}) is not in whole hours; NLDAS-2 File A is hourly")
        # A total is stamped at the end of its hour: by its header, the real GRIB granule named 08 UTC has the rain from
        # 07 to 08 UTC. The subset of version 002 in the tests has the hour of its name as `time` (`index.check_hours`
        # refuses another). Bounds of time are not read: those of the archive's own files could not be looked at.
        return hours.round().astype(np.int64)

    def values(self, variable: Variable, *, position_N: Hours, window: Window) -> Array:
        """Return a variable at positions of the time axis on a window; see `product.Granule`."""
        source = self._variable(variable)
        parts = {
            "time": _Part.of(position_N),
            "lat": _Part.of(self._positions("lat", wanted=window.latitudes)),
            "lon": _Part.of(self._positions("lon", wanted=window.longitudes)),
        }
        with damage_named(self.path, *_ERRORS):
            stored = source[tuple(parts[axis].slice if axis in parts else 0 for axis in source.dimensions)]
        order = [axis for axis in source.dimensions if axis in parts]
        stored = stored.transpose([order.index(axis) for axis in AXES])
        values: Array = np.ma.filled(stored.astype(np.float32, copy=False), np.nan)
        # Only axes in another direction need this copy: subsetters keep the product's.
        if not all(part.whole for part in parts.values()):
            values = values[np.ix_(*(part.places for part in parts.values()))]
        check_range(values, variable, path=self.path)
        return values

    def step(self, variable: Variable) -> float:  # noqa: ARG002
        """Return 0: netCDF stores values without rounding; those of version 002 keep that of GRIB, of unknown step."""
        return 0.0

    def _variable(self, variable: Variable) -> netCDF4.Variable[Any]:
        """Return the file's variable, under its name in either version; its axes are checked."""
        names = [name for name in (variable.name, variable.name_002) if name]
        name = next((name for name in names if name in self.dataset.variables), None)
        if name is None:
            raise UserError(f"{self.path}: has no variable {' or '.join(names)}; download all variables of NLDAS-2")
        source: netCDF4.Variable[Any] = self.dataset[name]
        others = [size for axis, size in zip(source.dimensions, source.shape, strict=True) if axis not in AXES]
        if set(AXES) - set(source.dimensions) or any(size != 1 for size in others):
            axes = ", ".join(f"{axis} ({size})" for axis, size in zip(source.dimensions, source.shape, strict=True))
            raise UserError(
                f"{self.path}: {name} has the axes {axes}, where NLDAS-2 has time, lat and lon, and others only of "
                f"length 1; use the product without conversion"
            )
        units = getattr(source, "units", "")
        if variable.hourly and units.endswith(("s-1", "/s", "s^-1")):
            raise UserError(f"{self.path}: {name} is a rate ({units}); NLDAS-2 has the sum over the hour, kg m-2")
        return source

    @cached_property
    def _centres(self) -> Mapping[str, NDArray[np.float64]]:
        """Centres of the cells on both axes [degree]; read once, and not for each variable."""
        return {name: self._axis(name) for name in ("lat", "lon")}

    def _axis(self, name: str) -> NDArray[np.float64]:
        if name not in self.dataset.variables or self.dataset[name].dimensions != (name,):
            raise UserError(f"{self.path}: has no axis {name} of degrees; files of NLDAS-2 have time, lat and lon")
        with damage_named(self.path, *_ERRORS):
            degrees: NDArray[np.float64] = np.ma.filled(self.dataset[name][:].astype(np.float64), np.nan)
        return degrees - 360 * (degrees > 180)  # longitudes may run from 0 to 360

    def _positions(self, name: str, *, wanted: NDArray[np.float64]) -> Hours:
        """Return the indices of the cell centres `wanted` on the axis `name`."""
        degrees = self._centres[name]
        cells = (degrees - wanted[0]) / CELL_DEGREE
        nearest = cells.round()
        # A coarser grid may have all its centres on this one.
        if not (np.abs(cells - nearest) <= OFF_GRID).all() or (np.diff(np.sort(nearest)) != 1).any():
            raise UserError(
                f"{self.path}: {name} {degrees[0]:.4f} ... {degrees[-1]:.4f} are not neighbouring centres of the "
                f"0.125 degree grid of NLDAS-2; use the product without regridding"
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
