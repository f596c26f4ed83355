"""SLOPE of the demo: daily GeoTIFFs of gross primary production with errors, clouds, snow and missing files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from scipy.ndimage import gaussian_filter, uniform_filter1d
from scipy.signal import lfilter

from model.synthetic.weather import Weather
from pipeline.demo.area import Bools, demo_grid
from pipeline.demo.gpp import Cube
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, SINUSOIDAL, Grid

SCALE = 0.001
NODATA = -9999
ERROR = 0.06
"""Relative standard deviation of the error: about 1 g C m-2 d-1 at the peak of the season."""
ERROR_PERSISTENCE = 0.5
LONGEST_CLOUD_DAYS, CLEAR_DAYS = 8, 2
"""Longest spell of cloud and shortest clear spell: with a missing file in between, gaps stay below the default limit of
interpolation, so that clouds alone make no year missing."""
SNOW_BELOW = -1.0
"""Weekly mean air temperature [degC] below which snow hides the ground: long gaps of winter, which ingest must fill."""
LOST_FILES = 3
"""Number of missing files of each year and MODIS tile; the days are drawn for each tile."""
LONG_GAP_YEAR, LONG_GAP_DAYS, LONG_GAP_CELLS = 2011, slice(199, 213), (slice(60, 65), slice(120, 125))
"""Two weeks of July without data in 25 cells of fields: too long to interpolate, the year of these cells is missing."""


def observed(rng: np.random.Generator, *, gpp: Cube) -> Cube:
    """Return production (days, rows, cols) with an error that persists for a few days."""
    # A relative error leaves winter at 0; production is never negative, hence the maximum.
    shocks = rng.standard_normal(gpp.shape, dtype=np.float32) * np.float32(np.sqrt(1 - ERROR_PERSISTENCE**2))
    error = lfilter(np.ones(1, np.float32), np.array([1, -ERROR_PERSISTENCE], np.float32), shocks, axis=0)
    return np.asarray(np.maximum(gpp * (1 + ERROR * error), 0), dtype=np.float32)


def hidden(rng: np.random.Generator, *, weather: Weather, year: int) -> Bools:
    """Return where clouds, snow or the long gap hide the ground in `year`, (days, rows, cols)."""
    of_year = weather.calendar_year == year
    weekly_mean = uniform_filter1d(weather.tmean_air.mean(axis=1), 7)[of_year]
    snowy_ground = _blobs(rng, shape=demo_grid().shape, share=0.85)
    missing = _clouds(rng, days=len(weekly_mean)) | ((weekly_mean < SNOW_BELOW)[:, None, None] & snowy_ground)
    if year == LONG_GAP_YEAR:
        missing[LONG_GAP_DAYS, *LONG_GAP_CELLS] = True
    return np.asarray(missing)


def _clouds(rng: np.random.Generator, *, days: int) -> Bools:
    """Return spells of cloud with clear days between them, (days, rows, cols)."""
    shape = demo_grid().shape
    clouds, first = np.zeros((days, *shape), dtype=bool), int(rng.integers(0, 4))
    while first < days:
        last = first + int(rng.integers(1, LONGEST_CLOUD_DAYS, endpoint=True))
        clouds[first:last] = _blobs(rng, shape=shape, share=rng.uniform(0.02, 0.35))
        first = last + CLEAR_DAYS + int(rng.geometric(0.25))
    return clouds


def _blobs(rng: np.random.Generator, *, shape: tuple[int, int], share: float) -> Bools:
    """Return a mask of rounded patches that cover `share` of the cells."""
    field = gaussian_filter(rng.standard_normal(shape), 9)
    return np.asarray(field > np.quantile(field, 1 - share))


def packed(gpp: Cube, *, missing: Bools) -> NDArray[np.int16]:
    """Return production as the scaled integers of the product, NODATA where missing."""
    return np.where(missing, NODATA, np.rint(gpp / SCALE)).astype(np.int16)


def write_year(rng: np.random.Generator, *, folder: Path, stored: NDArray[np.int16], year: int) -> Iterator[date]:
    """Write one file per day and MODIS tile, except a few missing ones; yield each day once it is written."""
    parts, thirds = _modis_parts(demo_grid()), np.array_split(np.arange(len(stored)), LOST_FILES)
    lost = {part.tile: {int(rng.choice(third)) for third in thirds} for part in parts}
    (folder / str(year)).mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(stored):
        day = date(year, 1, 1) + timedelta(days=number)
        for part in parts:
            path = folder / f"{year}/GPP.{day:%Y.%m.%d}.{part.tile}.tif"
            if number in lost[part.tile]:
                path.unlink(missing_ok=True)  # it may be there from an archive of another seed
                continue
            # Values are written into a copy of the empty file, which has the coordinate system already.
            path.write_bytes(part.blank)
            with rasterio.open(path, "r+") as raster:
                raster.write(image[part.rows], 1)
        yield day


class _Part(NamedTuple):
    """A MODIS tile, its rows of the demo's grid, and an empty GeoTIFF of these rows."""

    tile: str
    rows: slice
    blank: bytes


def _modis_parts(grid: Grid) -> list[_Part]:
    """Parts of the grid in each MODIS tile; it lies in one column of them."""
    end, parts = grid.first_row + grid.rows, []
    for v in range(grid.first_row // MODIS_TILE_CELLS, (end - 1) // MODIS_TILE_CELLS + 1):
        first, last = max(grid.first_row, v * MODIS_TILE_CELLS), min(end, (v + 1) * MODIS_TILE_CELLS)
        blank = _blank(Grid(first, grid.first_col, last - first, grid.cols, grid.tile_cells))
        tile = f"h{grid.first_col // MODIS_TILE_CELLS:02d}v{v:02d}"
        parts.append(_Part(tile, slice(first - grid.first_row, last - grid.first_row), blank))
    return parts


def _blank(grid: Grid) -> bytes:
    """Return an empty GeoTIFF: writing its coordinate system takes three times as long as the values of a day."""
    profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "nodata": NODATA, "crs": SINUSOIDAL, "sparse_ok": True}
    profile |= {"height": grid.rows, "width": grid.cols, "transform": grid.transform}
    profile |= {"compress": "deflate", "predictor": 2}
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.update_tags(TIFFTAG_IMAGEDESCRIPTION="synthetic gross primary production, agcarbon demo")
        return bytes(memory.read())
