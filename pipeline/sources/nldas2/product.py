"""NLDAS-2 forcing, File A: its grid, its variables, the settings of its reader.

Cells are 0.125 degree wide; latitude ascends. Coordinates come from the constants here, never from a file: headers of
GRIB-1 round the origin to 0.001 degree.

References
----------
Xia et al. (2012), J. Geophys. Res. 117, D03109, doi:10.1029/2011JD016048. Products: NLDAS_FORA0125_H 2.0 (netCDF-4),
doi:10.5067/THUF4J1RLSYG, and 002 (GRIB-1 or subsets in netCDF-4, none after 2024-08-01), doi:10.5067/6J5LHHOHZHN4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pipeline.errors import UserError

ROWS, COLS = 224, 464
CELL_DEGREE = 0.125
FIRST_LATITUDE, FIRST_LONGITUDE = 25.0625, -124.9375  # centre of the south-west cell

Array = NDArray[np.float32]
Hours = NDArray[np.int64]


class NldasSettings(BaseModel, frozen=True, extra="forbid"):
    """How NLDAS-2 granules are found and turned into days."""

    pattern: str = Field(
        "NLDAS_FORA0125_H*.nc*", description="file names of the netCDF granules, at any depth of the folder"
    )
    grib_pattern: str = Field(
        "NLDAS_FORA0125_H*.grb", description="file names of the GRIB-1 granules, which may lie among the others"
    )
    day_window: Literal["utc_stamp", "utc_hour_ending", "local_standard"] = Field(
        "utc_stamp",
        description="the 24 hours of a day: stamps 00-23 UTC (as published; its rain fell from 23 UTC of the day "
        "before to 23 UTC), 01-24 UTC, or 01-24 local standard time",
    )
    max_missing_hours: int = Field(
        3, ge=0, le=23, description="missing hours of a day that are filled; a day with more missing hours is missing"
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

        Examples
        --------
        >>> Window.around(np.array([-89.5]), np.array([40.0]), margin=1)
        Window(first_row=119, first_col=283, rows=3, cols=3)
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


class GribId(NamedTuple):
    """Identity of a variable in GRIB-1: indicator of parameter (table 130), type of level, level."""

    parameter: int
    level_type: int
    level: int


@dataclass(frozen=True)
class Variable:
    """A variable of the granules.

    Attributes
    ----------
    name
        Name in version 2.0, which is netCDF.
    grib
        Identity in GRIB-1.
    low, high
        Range of values on Earth, in the product's units.
    cause
        Likely cause of a value outside it.
    hourly
        Whether it is a total or mean over the hour that ends at the stamp; all others are values at the stamp.
    name_002
        Name in netCDF subsets of version 002; empty if unknown.
    """

    name: str
    grib: GribId
    low: float
    high: float
    cause: str
    hourly: bool = False
    name_002: str = ""


# Ranges are wide enough for any weather of North America, and narrow enough to be left by values in a wrong unit.
_VARIABLES = (
    Variable("Tair", GribId(11, 105, 2), 190.0, 335.0, "degC or degF, not K", name_002="TMP"),
    Variable("Qair", GribId(51, 105, 2), 0.0, 0.05, "g kg-1, not kg kg-1", name_002="SPFH"),
    Variable("PSurf", GribId(1, 1, 0), 4e4, 1.1e5, "hPa or kPa, not Pa", name_002="PRES"),
    Variable("Wind_E", GribId(33, 105, 10), -90.0, 90.0, "km h-1, not m s-1", name_002="UGRD"),
    Variable("Wind_N", GribId(34, 105, 10), -90.0, 90.0, "km h-1, not m s-1", name_002="VGRD"),
    Variable("LWdown", GribId(205, 1, 0), 0.0, 800.0, "J m-2, not W m-2"),
    Variable("CRainf_frac", GribId(153, 1, 0), 0.0, 1.0, "%, not a fraction", hourly=True),
    Variable("CAPE", GribId(157, 116, 180), 0.0, 2e4, "not J kg-1"),
    Variable("PotEvap", GribId(228, 1, 0), -10.0, 10.0, "W m-2, not mm in the hour", hourly=True),
    Variable("Rainf", GribId(61, 1, 0), 0.0, 400.0, "not mm in the hour", hourly=True, name_002="APCP"),
    Variable("SWdown", GribId(204, 1, 0), -1.0, 1500.0, "J m-2, not W m-2", name_002="DSWRF"),
)
VARIABLES = {variable.name: variable for variable in _VARIABLES}
"""The 11 variables by name, in the order of the GRIB files."""


class DamagedGranuleError(UserError):
    """A file that is not a complete granule, such as a truncated download; the message names it and the reason."""


@contextmanager
def damage_named(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors of a library, which do not name the file, into `DamagedGranuleError`."""
    try:
        yield
    except errors as error:
        raise DamagedGranuleError(
            f"{path}: truncated ({path.stat().st_size:,} bytes, {error}); download it again"
        ) from error


class Granule(Protocol):
    """An open granule of either format."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def hour_N(self) -> Hours:
        """Hours since 1970-01-01 00 UTC that it holds, in its order."""

    def values(self, variable: Variable, *, position_N: Hours, window: Window) -> Array:
        """Return a variable at positions of its hours on a window, (N, rows, cols); NaN where missing.

        Raises
        ------
        DamagedGranuleError
            If the file is truncated.
        UserError
            If the variable is absent, a rate where a sum is expected, or outside its range; or if the file is off the
            grid or does not cover the window.
        """

    def step(self, variable: Variable) -> float:
        """Return the step to which values of a variable were rounded when they were packed; 0 if they were not."""


OpenGranule = AbstractContextManager[Granule]


def check_range(values: Array, variable: Variable, *, path: Path) -> None:
    """Refuse values outside the range of their variable: they are in another unit, or an untagged missing value."""
    outside = values[(values < variable.low) | (values > variable.high)]
    if outside.size:
        raise UserError(
            f"{path}: {variable.name} of {outside[0]:g} is outside {variable.low:g} to {variable.high:g}; "
            f"its unit may be {variable.cause}, or its missing value is not tagged"
        )
