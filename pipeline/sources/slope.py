"""SLOPE gross primary production: daily GeoTIFFs of one MODIS tile -> [gC m-2 d-1] on the grid's cells.

References
----------
Jiang et al. (2021), Earth Syst. Sci. Data 13, 281-298, doi:10.5194/essd-13-281-2021. Product: SLOPE_GPP_CONUS_1786,
doi:10.3334/ORNLDAAC/1786.
"""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator
from pyproj import Proj
from rasterio.io import DatasetReader
from rasterio.windows import Window

from pipeline.errors import UserError
from pipeline.grid import CELL_M, SINUSOIDAL, Grid, sinusoidal
from pipeline.sources.raster import open_raster

MISSING_FROM = 32767  # stored values from here up are fill
PLAUSIBLE_GPP = 50.0  # gC m-2 d-1; twice what maize reaches
OFF_GRID = 0.02  # largest misfit of a pixel [pixel]: grids are printed with few digits, a resampled one is out by more

_PARTS = ("{YYYY}", "{MM}", "{DD}", "{tile}")  # of a file's name

Indices = NDArray[np.int64]


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

    @field_validator("pattern")
    @classmethod
    def _names_each_file(cls, pattern: str) -> str:
        """A pattern without the day would read one file for all days."""
        absent = [part for part in _PARTS if part not in pattern]
        if absent:
            raise ValueError(f"lacks {', '.join(absent)}")
        return pattern


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
        Days (uint16) set to 0 in the dormant season; interpolated in the growing season (0 where the year is missing).
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
    tile = _modis_tile(grid)
    days = [dt.date(year, 1, 1) + dt.timedelta(n) for n in range(365 + calendar.isleap(year))]
    paths = [folder / _file_name(settings.pattern, day=day, tile=tile) for day in days]
    present = [path.is_file() for path in paths]
    if not any(present):
        raise UserError(f"{folder}: no GPP of {tile} in {year}, such as {paths[0].relative_to(folder)}; see `pattern`")
    gpp_TYX = np.full((len(days), *grid.shape), np.nan, np.float32)
    for gpp_YX, path in compress(zip(gpp_TYX, paths, strict=True), present):
        gpp_YX[:] = _read_day(path, grid=grid, settings=settings)
    return YearGpp(gpp_TYX, tuple(day for day, there in zip(days, present, strict=True) if not there))


def _modis_tile(grid: Grid) -> str:
    names = {tile.modis for tile in grid.tiles()}
    assert len(names) == 1, "SLOPE is read by MODIS tile"
    return names.pop()


def _file_name(pattern: str, *, day: dt.date, tile: str) -> str:
    for part, value in zip(_PARTS, (f"{day:%Y}", f"{day:%m}", f"{day:%d}", tile), strict=True):
        pattern = pattern.replace(part, value)
    return pattern


def _read_day(path: Path, *, grid: Grid, settings: SlopeSettings) -> NDArray[np.float32]:
    with open_raster(path) as source:
        _check_plane(source, assumed=settings.crs)
        stored_YX: NDArray[Any] = source.read(1, window=_window(source, grid=grid))
        missing_values = [value for value in (source.nodata, settings.nodata) if value is not None]
    if stored_YX.dtype.kind == "f" and settings.scale != 1:
        raise UserError(
            f"{path}: holds {stored_YX.dtype}, but `scale` {settings.scale:g} is for SLOPE's integers; set it to 1 if "
            f"the file is in gC m-2 d-1 already"
        )
    valid_YX = (stored_YX >= 0) & (stored_YX < MISSING_FROM) & ~np.isin(stored_YX, missing_values)
    gpp_YX = np.where(valid_YX, stored_YX * np.float32(settings.scale), np.float32(np.nan))
    if (gpp_YX > PLAUSIBLE_GPP).any():
        raise UserError(
            f"{path}: GPP of {np.nanmax(gpp_YX):g} gC m-2 d-1 is above {PLAUSIBLE_GPP:g}; is `scale` "
            f"({settings.scale:g}) that of this product?"
        )
    return gpp_YX


def _check_plane(source: DatasetReader, *, assumed: str | None) -> None:
    crs = source.crs.to_wkt() if source.crs else assumed
    if crs is None:
        raise UserError(f"{source.name}: has no coordinate system; give the one of such files as `crs`")
    if not _is_modis_plane(crs):
        raise UserError(
            f"{source.name}: coordinate system {source.crs or crs} is not the MODIS sinusoidal one ({SINUSOIDAL}); use "
            f"the product as released"
        )


@lru_cache
def _is_modis_plane(crs: str) -> bool:
    """Whether a point of the Midwest lies where the MODIS plane, which is spelled in many ways, has it."""
    return np.allclose(Proj(crs)(-90.0, 45.0), sinusoidal(np.array(-90.0), np.array(45.0)), rtol=0, atol=1.0)


def _window(source: DatasetReader, *, grid: Grid) -> Window:
    """Place of the grid in the file, whose pixels must be the grid's cells."""
    to_pixels = ~source.transform @ grid.transform
    corners = np.array([to_pixels @ (0, 0), to_pixels @ (grid.cols, grid.rows)])
    (left, top), (right, bottom) = corners.round().astype(int)
    if np.abs(corners - corners.round()).max() > OFF_GRID or (bottom - top, right - left) != grid.shape:
        raise UserError(
            f"{source.name}: pixels of {source.res[0]:.3f} m from ({source.transform.c:.1f}, {source.transform.f:.1f}) "
            f"are not cells of the MODIS grid ({CELL_M:.3f} m); use the product without resampling"
        )
    if left < 0 or top < 0 or right > source.width or bottom > source.height:
        raise UserError(
            f"{source.name}: {source.height} x {source.width} pixels do not hold rows {top} to {bottom} and columns "
            f"{left} to {right} of the region; use a larger clip"
        )
    return Window(left, top, grid.cols, grid.rows)


def fill_gaps(gpp_TYX: NDArray[np.float32], *, settings: SlopeSettings) -> FilledGpp:
    """Return GPP with its gaps filled; the first axis holds the 365 or 366 days of one year.

    Missing days of the dormant season become 0. Gaps of the growing season up to `max_gap_days` are linear between the
    days around them; a longer one makes the cell's whole year missing.
    """
    gpp_TYX = gpp_TYX.copy()
    dormant_TYX = np.isnan(gpp_TYX) & _dormant(len(gpp_TYX), settings)[:, None, None]
    gpp_TYX[dormant_TYX] = 0.0
    interpolated_YX, longest_YX = np.zeros((2, *gpp_TYX.shape[1:]), np.uint16)
    for row in range(gpp_TYX.shape[1]):  # all at once, the list of missing days could exceed the data many times
        gpp_TX = gpp_TYX[:, row]
        gaps = _Gaps.of(gpp_TX)
        gpp_TX[gaps.day, gaps.cell] = gaps.interpolate(gpp_TX)
        interpolated_YX[row] = np.bincount(gaps.cell, minlength=gpp_TX.shape[1])
        np.maximum.at(longest_YX[row], gaps.cell, gaps.after - gaps.before - 1)
    missing_YX = longest_YX > settings.max_gap_days
    gpp_TYX[:, missing_YX] = np.nan
    interpolated_YX[missing_YX] = 0
    return FilledGpp(gpp_TYX, dormant_TYX.sum(axis=0, dtype=np.uint16), interpolated_YX, longest_YX)


def _dormant(days: int, settings: SlopeSettings) -> NDArray[np.bool_]:
    """Which days lie in the dormant season; the first and the last always do, so that every gap has two ends."""
    day_of_year = np.arange(1, days + 1)
    return (day_of_year >= settings.dormant_from) | (day_of_year <= settings.dormant_to)


class _Gaps(NamedTuple):
    """Missing days, one an entry: cell, day, and the days with a value before and after the gap that it lies in."""

    cell: Indices
    day: Indices
    before: Indices
    after: Indices

    @classmethod
    def of(cls, gpp_TX: NDArray[np.float32]) -> _Gaps:
        cell, day = np.nonzero(np.isnan(gpp_TX.T))
        begins = np.ones(day.size, bool)
        begins[1:] = (np.diff(cell) != 0) | (np.diff(day) != 1)
        gap = np.cumsum(begins) - 1
        before = day[begins][gap] - 1
        return cls(cell, day, before, before + np.bincount(gap)[gap] + 1)

    def interpolate(self, gpp_TX: NDArray[np.float32]) -> NDArray[np.float64]:
        """Values of the missing days, linear between the days around the gap."""
        weight = (self.day - self.before) / (self.after - self.before)
        return (1 - weight) * gpp_TX[self.before, self.cell] + weight * gpp_TX[self.after, self.cell]
