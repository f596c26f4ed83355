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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

ROWS, COLS = 224, 464
CELL_DEGREE = 0.125
FIRST_LATITUDE, FIRST_LONGITUDE = 25.0625, -124.9375  # centres of the south-west cell


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
        """Return the smallest window that holds the cells of all points [degree], and `margin` cells around it.

        Raises
        ------
        UserError
            If a point lies outside the grid (125-67 W, 25-53 N).
        """
        raise NotImplementedError

    @property
    def latitudes(self) -> NDArray[np.float64]:
        """Centres of the rows (rows,) [degree], south first."""
        raise NotImplementedError

    @property
    def longitudes(self) -> NDArray[np.float64]:
        """Centres of the columns (cols,) [degree]."""
        raise NotImplementedError


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
        (7, days, rows, cols) float32, features and units of `model.features.CLIMATE_NAMES`; NaN where the day is missing
        or the cell undefined (water, outside the land mask). Latitude ascends.
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
    """Return the hours that the granules below `folder` hold; opens each once, reads its time axis only.

    Raises
    ------
    UserError
        If no file matches the pattern, or one is truncated, an HTML page or not netCDF (named).
    """
    raise NotImplementedError


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
    raise NotImplementedError
