"""SLOPE gross primary production: daily GeoTIFFs of one MODIS tile -> [gC m-2 d-1] on the grid's cells.

References
----------
Jiang et al. (2021), Earth Syst. Sci. Data 13, 281-298, doi:10.5194/essd-13-281-2021. Product: doi:10.3334/ORNLDAAC/1786.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from pipeline.grid import Grid


class SlopeSettings(BaseModel, frozen=True, extra="forbid"):
    """How SLOPE files are named, decoded and their gaps filled."""

    pattern: str = Field(
        "GPP250m/{YYYY}/GPP.{YYYY}.{MM}.{DD}.{tile}.tif",
        description="path below the folder; {YYYY}, {MM}, {DD}: the day, {tile}: the MODIS tile, such as h11v04",
    )
    scale: float = Field(0.001, gt=0, description="gC m-2 d-1 per unit of the stored integers")
    nodata: int | None = Field(
        None, description="missing value beside negative ones, those from 32767 up and the file's own"
    )
    crs: str | None = Field(None, description="coordinate system of files that carry none; without it they are refused")
    dormant_from: int = Field(305, ge=245, le=365, description="first day of year at which missing GPP is 0")
    dormant_to: int = Field(106, ge=1, le=180, description="last day of year at which missing GPP is 0")
    max_gap_days: int = Field(
        10, ge=0, description="longest gap in the growing season that is interpolated; beyond, the year is missing"
    )


@dataclass(frozen=True)
class YearGpp:
    """Observed GPP of one year: `gpp_TYX` (days, rows, cols) [gC m-2 d-1], NaN missing; days without a file."""

    gpp_TYX: NDArray[np.float32]
    absent_days: tuple[dt.date, ...]


@dataclass(frozen=True)
class FilledGpp:
    """GPP of one year without gaps.

    Attributes
    ----------
    gpp_TYX
        (days, rows, cols) float32 [gC m-2 d-1]; a cell whose year is missing is NaN on all days.
    dormant_YX, interpolated_YX
        Days (uint16) set to 0 in the dormant season; interpolated in the growing season.
    longest_gap_YX
        Longest growing-season gap [days] (uint16); above `max_gap_days` the cell's year is missing.
    """

    gpp_TYX: NDArray[np.float32]
    dormant_YX: NDArray[np.uint16]
    interpolated_YX: NDArray[np.uint16]
    longest_gap_YX: NDArray[np.uint16]


def read_year(folder: Path, *, year: int, grid: Grid, settings: SlopeSettings) -> YearGpp:
    """Return the GPP of every day of `year` on `grid`, a rectangle inside one MODIS tile.

    Raises
    ------
    UserError
        If no day has a file, or a file is truncated, off the grid, in another coordinate system, smaller than `grid`
        or outside the plausible range (scale).
    """
    raise NotImplementedError


def fill_gaps(gpp_TYX: NDArray[np.float32], *, settings: SlopeSettings) -> FilledGpp:
    """Return GPP with its gaps filled; the first axis holds the 365 or 366 days of one year.

    Missing days of the dormant season become 0. Gaps of the growing season up to `max_gap_days` are linear between the
    days around them; a longer one makes the cell's whole year missing.
    """
    raise NotImplementedError
