"""One variable of one TRENDY-v9 model: its netCDF file, the months of its time axis, and a block of one year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sources.trendy.models import ModelQuirks, Variable
from pipeline.sources.trendy.regrid import Cells

PLAUSIBLE_FLUX = 50.0  # g C m-2 d-1 in the mean of a month; twice the uptake of maize on its best day
SECONDS_PER_DAY = 86400

_CALENDARS = (
    "standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "365_day", "all_leap", "366_day", "360_day",
)  # fmt: skip

Array = NDArray[np.float64]
Block = tuple[slice, slice]


@dataclass(frozen=True)
class Months:
    """Consecutive months of a time axis, beginning with a January: first year, number of months, and calendar."""

    first_year: int
    count: int
    calendar: str

    @property
    def years(self) -> range:
        """Years of which all months are present."""
        return range(self.first_year, self.first_year + self.count // 12)

    def days(self, year: int) -> Array:
        """Length of the 12 months of a year [d], by the file's calendar: February of a 360-day calendar has 30."""
        firsts = (f"days since {year}-{month:02}-01" for month in range(1, 13))
        dates = [np.asarray(netCDF4.num2date([0], first, self.calendar))[0] for first in firsts]
        return np.array([date.daysinmonth for date in dates], np.float64)


@dataclass(frozen=True, eq=False)
class FluxFile:
    """An open file: the values of one variable, its cells, its months, and the values that stand for missing."""

    path: Path
    values: netCDF4.Variable[Any]
    cells: Cells
    months: Months
    fill: tuple[float, ...]

    def read_year(self, year: int, *, block: Block) -> Array:
        """Return a block of rows and columns, (12, rows, cols) [g C m-2 month-1], NaN where a value is missing.

        Raises
        ------
        UserError
            If the year is not in the file, the file is damaged, or its values cannot be in kg m-2 s-1.
        """
        years = self.months.years
        if year not in years:
            raise UserError(f"{self.path}: holds {years[0]} to {years[-1]}, not {year}; choose years among them")
        start = 12 * (year - years[0])
        # Some models write axes of length 1 between time and latitude, such as a single level.
        levels = (0,) * (self.values.ndim - 3)
        with _damage_named(self.path):
            stored = self.values[slice(start, start + 12), *levels, *block]
        values = np.ma.filled(np.ma.masked_array(stored, dtype=np.float64), np.nan)
        # netCDF4 masks the declared fill value only; the others are compared with a tolerance, since a file of 32 bits
        # holds them rounded.
        for fill in self.fill:
            values[np.isclose(values, fill, rtol=1e-6, atol=0)] = np.nan
        daily = values * 1000 * SECONDS_PER_DAY
        if (beyond := np.abs(daily) > PLAUSIBLE_FLUX).any():
            raise UserError(
                f"{self.path}: {self.values.name} of {values[beyond][0]:g} in {year} is {daily[beyond][0]:g} g C m-2 "
                f"d-1, beyond {PLAUSIBLE_FLUX:g}; its unit is not kg m-2 s-1, or its missing value is not in `fill`"
            )
        return daily * self.months.days(year)[:, None, None]


def find_file(folder: Path, *, variable: Variable, quirks: ModelQuirks) -> Path:
    """Return the file of a variable at any depth of `folder`, ignoring case; raises `UserError` for none or several."""
    names = [quirks.file.format(name=name, variable=quirks.stored(variable)) for name in quirks.names]
    accepted = {name.lower() for name in names}
    found = sorted(path for path in folder.rglob("*") if path.name.lower() in accepted)
    if not found:
        remark = quirks.remarks.get(variable, "download it there")
        raise UserError(f"{folder}: {' or '.join(names)} is missing; {remark}")
    if len(found) > 1:
        raise UserError(f"{folder}: several of {' or '.join(names)} ({', '.join(map(str, found))}); keep one")
    return found[0]


@contextmanager
def open_flux(folder: Path, *, variable: Variable, quirks: ModelQuirks) -> Iterator[FluxFile]:
    """Open the file of a variable.

    Raises
    ------
    UserError
        If the file is absent, damaged, or has other axes, cells or months than `quirks` says.
    """
    path = find_file(folder, variable=variable, quirks=quirks)
    with _damage_named(path):
        dataset = netCDF4.Dataset(path)
    with dataset:
        values = _values(dataset, variable=variable, quirks=quirks)
        with _damage_named(path):
            cells = _cells(dataset, values=values, quirks=quirks)
            months = _months(dataset, quirks=quirks)
        yield FluxFile(path, values, cells, months, quirks.fill)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Name the file in errors of the netCDF library, whose messages do not."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        size = path.stat().st_size
        raise UserError(f"{path}: truncated or not netCDF ({size:,} bytes, {error}); download it again") from error


def _values(dataset: netCDF4.Dataset, *, variable: Variable, quirks: ModelQuirks) -> netCDF4.Variable[Any]:
    """The variable, by its name in any case, with axes of time, latitude and longitude."""
    path, accepted = dataset.filepath(), (quirks.stored(variable), variable)
    by_name = {name.lower(): dataset[name] for name in dataset.variables}
    present = [by_name[name.lower()] for name in accepted if name.lower() in by_name]
    if not present:
        raise UserError(
            f"{path}: has no variable {accepted[0]}, only {', '.join(dataset.variables)}; correct `variables` of the "
            f"model's table"
        )
    values: netCDF4.Variable[Any] = present[0]
    axes, levels = values.dimensions, values.shape[1:-2]
    expected = len(axes) >= 3 and axes[0] == quirks.time and axes[-2] in quirks.lat and axes[-1] in quirks.lon
    if not expected or any(level != 1 for level in levels):
        raise UserError(
            f"{path}: {values.name} has axes {values.dimensions} of {values.shape}, not {quirks.time}, "
            f"{' or '.join(quirks.lat)}, {' or '.join(quirks.lon)}; correct the model's table"
        )
    return values


def _cells(dataset: netCDF4.Dataset, *, values: netCDF4.Variable[Any], quirks: ModelQuirks) -> Cells:
    path = dataset.filepath()
    lat, lon = (_axis(dataset, name) for name in values.dimensions[-2:])
    if (np.abs(lat) > 90).any() and not quirks.rows_beyond_pole:
        raise UserError(
            f"{path}: latitudes run from {lat.min():g} to {lat.max():g}, beyond a pole; set `rows_beyond_pole` if the "
            f"other rows are right"
        )
    return Cells.around(lat, lon=lon, place=path)


def _axis(dataset: netCDF4.Dataset, name: str) -> Array:
    """Values of a coordinate (n,), NaN where missing."""
    if name not in dataset.variables:
        raise UserError(f"{dataset.filepath()}: axis {name} has no values; download the file again")
    return np.ma.filled(np.ma.masked_array(dataset[name][:], dtype=np.float64), np.nan)


def _months(dataset: netCDF4.Dataset, *, quirks: ModelQuirks) -> Months:
    time = dataset.variables.get(quirks.time)
    own = str(getattr(time, "calendar", "standard")).lower()
    if own not in _CALENDARS:
        raise UserError(f"{dataset.filepath()}: calendar {own!r} is none of {', '.join(_CALENDARS)}; correct the file")
    calendar = quirks.calendar or own
    # The calendar is needed even where the unit is unusable: it gives the lengths of the months.
    if quirks.months == "counted":
        return _counted(dataset, quirks=quirks, calendar=calendar)
    number = _decoded(dataset, quirks=quirks, calendar=own)
    months = [f"{month // 12}-{month % 12 + 1:02}" for month in number]
    if number[0] % 12 or number.size < 12 or (np.diff(number) != 1).any():
        raise UserError(
            f"{dataset.filepath()}: {quirks.time} lies in {', '.join(months[:3])} ... {months[-1]}, not in consecutive "
            f'months from a January; if stamps are at the end of their months, set `stamp` to "end"'
        )
    return Months(int(number[0]) // 12, number.size, calendar)


def _counted(dataset: netCDF4.Dataset, *, quirks: ModelQuirks, calendar: str) -> Months:
    """Months counted from the January with which they end in the last year of the simulations."""
    count = dataset.dimensions[quirks.time].size
    first = [year for year in quirks.first_years if 12 * (quirks.last_year + 1 - year) == count]
    if not first:
        years = " or ".join(map(str, quirks.first_years))
        raise UserError(
            f"{dataset.filepath()}: {count} months from January {years} do not end in December {quirks.last_year}, and "
            f"the unit of {quirks.time} gives no dates; use the complete file, or correct the model's table"
        )
    return Months(first[0], count, calendar)


def _decoded(dataset: netCDF4.Dataset, *, quirks: ModelQuirks, calendar: str) -> NDArray[np.int64]:
    """Months since January of year 0, from the stamps or bounds of the time axis."""
    path, time = dataset.filepath(), _axis(dataset, quirks.time)
    attributes = dataset[quirks.time]
    bounds = getattr(attributes, "bounds", "")
    # The middle of the bounds lies in the month, wherever in it the stamp is.
    stamps = _axis(dataset, bounds).mean(axis=-1) if bounds in dataset.variables else time
    if not (stamps.size and np.isfinite(stamps).all()):
        raise UserError(f"{path}: {quirks.time} has no or missing values; download the file again")
    unit = getattr(attributes, "units", "")
    try:
        dates = np.asarray(netCDF4.num2date(stamps, unit, calendar))
    except ValueError as error:
        raise UserError(
            f"{path}: {quirks.time} in {unit!r} cannot be decoded ({error}); if it holds months in order, set `months` "
            f'to "counted" and give `first_years`'
        ) from error
    if quirks.stamp == "end" and stamps is time:
        # One day earlier: some models stamp the last day of the month, others the midnight that ends it.
        dates = dates - dt.timedelta(days=1)
    return np.array([12 * date.year + date.month - 1 for date in dates], np.int64)
