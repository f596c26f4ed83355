"""NLDAS-2 granules of version 002: GRIB-1, one hour of the full grid in a file, 11 messages.

A message is identified by its numbers in the local parameter table 130. The names that libraries derive from them are
misleading: "unknown", or "Adiabatic tendency of temperature" for potential evaporation.

GRIB-1 packs a field into integers of a common step, 2^E 10^-D: values are rounded to it, and a bitmap marks the missing
ones.

References
----------
WMO (1994), A Guide to the Code Form FM 92-IX Ext. GRIB, Technical Report 17. Product: doi:10.5067/6J5LHHOHZHN4.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
import pyproj  # noqa: F401  # eccodes loaded before the libraries of pyproj crashes Python at its exit

from pipeline.errors import UserError
from pipeline.sources.nldas2.product import (
    COLS,
    FIRST_LATITUDE,
    FIRST_LONGITUDE,
    ROWS,
    VARIABLES,
    Array,
    DamagedGranuleError,
    GribId,
    Hours,
    Variable,
    Window,
    check_range,
    damage_named,
)

# Value that the library is to put where the bitmap marks a missing one: its default, 9999, is a value that occurs.
MISSING = -9999.0
SUM = 4  # time range indicator of accumulations, code table 5
HEADER = {
    "edition": 1,
    "table2Version": 130,
    "dataRepresentationType": 0,  # latitude and longitude
    "Ni": COLS,
    "Nj": ROWS,
    "scanningMode": 64,  # west to east, south to north, rows in turn
    "iDirectionIncrement": 125,
    "jDirectionIncrement": 125,
    "unitOfTimeRange": 1,  # hours
}
ORIGIN = {"latitudeOfFirstGridPoint": FIRST_LATITUDE, "longitudeOfFirstGridPoint": FIRST_LONGITUDE}
ORIGIN_ERROR = 0.002  # largest misfit of the header's origin [degree], which is rounded to 0.001
ID_KEYS = ("indicatorOfParameter", "indicatorOfTypeOfLevel", "level")


@cache
def _library() -> ModuleType:
    """Return the package eccodes, which is an optional dependency."""
    try:
        return importlib.import_module("eccodes")
    except (ImportError, RuntimeError) as error:  # RuntimeError: the package is there without its C library
        raise UserError(
            f"GRIB-1 granules need the package eccodes ({error}); install it with pip install 'agcarbon[grib]', or use "
            f"the netCDF granules of version 2.0"
        ) from error


@contextmanager
def open_grib(path: Path) -> Iterator[GribGranule]:
    """Open a granule; raises `DamagedGranuleError` if it is truncated, `UserError` if eccodes is not installed."""
    library = _library()
    messages: list[int] = []
    try:
        with path.open("rb") as file, damage_named(path, library.CodesInternalError):
            while (message := library.codes_grib_new_from_file(file)) is not None:
                messages.append(message)
        yield GribGranule(path, tuple(messages))
    finally:
        for message in messages:
            library.codes_release(message)


@dataclass(frozen=True)
class GribGranule:
    """An open GRIB-1 granule; `messages` are handles of the library."""

    path: Path
    messages: tuple[int, ...]

    @cached_property
    def hour_N(self) -> Hours:
        """Hour since 1970-01-01 00 UTC for which the messages are valid, (1,)."""
        hours = {name: self._hour(name) for name in VARIABLES if VARIABLES[name].grib in self._message_of}
        if len(set(hours.values())) > 1:
            found = ", ".join(f"{name} of {np.datetime64(hour, 'h')}" for name, hour in hours.items())
            raise UserError(f"{self.path}: its messages are of different hours ({found}); use the files as released")
        if not hours:
            raise DamagedGranuleError(f"{self.path}: contains no variable of NLDAS-2 File A; download it again")
        return np.array([*set(hours.values())])

    def values(self, variable: Variable, *, position_N: Hours, window: Window) -> Array:
        """Return a variable on a window, once for each of `position_N`; see `product.Granule`."""
        message, library = self._message(variable.name), _library()
        with damage_named(self.path, library.CodesInternalError):
            library.codes_set(message, "missingValue", MISSING)
            stored_YX = library.codes_get_values(message).reshape(ROWS, COLS)  # from the south, as checked in HEADER
        rows = slice(window.first_row, window.first_row + window.rows)
        cols = slice(window.first_col, window.first_col + window.cols)
        values_YX = stored_YX[rows, cols].astype(np.float32)
        values_YX[values_YX == MISSING] = np.nan
        check_range(values_YX, variable, path=self.path)
        return np.repeat(values_YX[None], len(position_N), axis=0)

    def step(self, variable: Variable) -> float:
        """Return the step of a variable's packed values, 2^E 10^-D with the header's scale factors E and D."""
        message = self._message(variable.name)
        binary, decimal = (self._key(message, f"{base}ScaleFactor") for base in ("binary", "decimal"))
        return float(2.0**binary * 10.0**-decimal)

    @cached_property
    def _message_of(self) -> Mapping[GribId, int]:
        """Return the messages by the numbers that identify their variables, having checked their grids."""
        found: dict[GribId, int] = {}
        for message in self.messages:
            of = GribId(*(self._key(message, key) for key in ID_KEYS))
            if of in found:
                raise UserError(
                    f"{self.path}: contains parameter {of.parameter} twice; use the files as released, of one hour"
                )
            found[of] = message
            self._check_header(message)
        return found

    def _message(self, name: str) -> int:
        if VARIABLES[name].grib not in self._message_of:
            absent = [variable.name for variable in VARIABLES.values() if variable.grib not in self._message_of]
            raise DamagedGranuleError(
                f"{self.path}: incomplete, {len(self.messages)} messages without {', '.join(absent)}; download it again"
            )
        return self._message_of[VARIABLES[name].grib]

    def _key(self, message: int, key: str) -> int:
        library = _library()
        with damage_named(self.path, library.CodesInternalError):
            return int(library.codes_get_long(message, key))

    def _check_header(self, message: int) -> None:
        """Refuse another table, grid or order of rows: coordinates come from the product's constants, not files."""
        for key, due in HEADER.items():
            found = self._key(message, key)
            if found != due:
                raise UserError(
                    f"{self.path}: {key} is {found}, not {due} as in NLDAS-2 File A version 002; use the product as "
                    f"released"
                )
        for key, centre in ORIGIN.items():
            degree = self._key(message, key) / 1000
            if abs(degree - centre) > ORIGIN_ERROR:
                raise UserError(
                    f"{self.path}: {key} is {degree:.3f} degree, not within {ORIGIN_ERROR} of {centre} as in NLDAS-2; "
                    f"use the product without regridding"
                )

    def _hour(self, name: str) -> int:
        """Return the hour since 1970-01-01 00 UTC for which a variable is valid: for sums, the end of their hour.

        A sum's header has the beginning of its hour as its reference time. Taken for the stamp, it would shift rain by
        an hour against all other variables.
        """
        message, variable = self._message(name), VARIABLES[name]
        begin, end = self._key(message, "startStep"), self._key(message, "endStep")
        kind = self._key(message, "timeRangeIndicator")
        if end - begin != int(variable.hourly) or (variable.hourly and kind != SUM):
            due = "the sum over the hour that ends at its stamp" if variable.hourly else "a value at its stamp"
            raise UserError(
                f"{self.path}: {name} covers hours {begin} to {end} (time range indicator {kind}); in NLDAS-2 it is "
                f"{due}"
            )
        reference = dt.datetime.strptime(f"{self._key(message, 'dataDate')}", "%Y%m%d").replace(tzinfo=dt.UTC)
        return int(reference.timestamp()) // 3600 + self._key(message, "dataTime") // 100 + end
