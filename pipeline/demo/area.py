"""Place and years of the demo: the region's grid, and the 30 m pixels and NLDAS-2 cells around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.grid.sinusoidal import Grid, lonlat, sinusoidal
from pipeline.sources.nldas2.product import CELL_DEGREE, Window
from regions import load_region

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]

CENTRE_LONGITUDE, CENTRE_LATITUDE = -89.5, 40.0
ALBERS = "EPSG:5070"
PIXEL_M, PIXEL_EDGE_M = 30.0, 15.0
"""Size of a pixel, and the position of its edges modulo its size, which is not 0 in the national rasters either."""
MARGIN_M = 1500.0
"""Margin of the clip around the grid, as a user clips a state: readers must cope with rasters that end nearby."""


@cache
def demo_grid() -> Grid:
    """Return the smallest rectangle of tiles around the bounding box of the demo region."""
    region = load_region("demo")
    assert region.bbox is not None
    west, south, east, north = region.bbox
    longitude, latitude = np.array([west, east, west, east]), np.array([south, south, north, north])
    return Grid.around(*sinusoidal(longitude, latitude), tile_cells=region.tile_cells)


def demo_years() -> tuple[int, ...]:
    """Return the demo region's years."""
    return load_region("demo").years


@dataclass(frozen=True)
class Pixels:
    """The pixels of an Albers raster on the demo's grid or within its margin.

    Attributes
    ----------
    inside : (rows, cols) True for those pixels.
    transform : transform of the raster [m].
    longitude, latitude : (n,) centres of the pixels inside, row by row [degree].
    """

    inside: Bools
    transform: Affine
    longitude: Array
    latitude: Array

    def paint(self, values: NDArray[np.generic], *, outside: int) -> NDArray[np.generic]:
        """Return the raster (rows, cols) of `values` (n,), with `outside` beyond the clip."""
        raster = np.full(self.inside.shape, outside, dtype=values.dtype)
        raster[self.inside] = values
        return raster


def albers_pixels() -> Pixels:
    """Return the pixels of the Cropland Data Layer and of gSSURGO around the demo's grid."""
    grid, to_albers = demo_grid(), Transformer.from_crs("EPSG:4326", ALBERS, always_xy=True)
    x, y = to_albers.transform(*_corners(grid))
    x_edges, y_edges = _pixel_edges(x), _pixel_edges(y)[::-1]
    centres = np.meshgrid((x_edges[:-1] + x_edges[1:]) / 2, (y_edges[:-1] + y_edges[1:]) / 2)
    # The grid is slanted in the Albers plane: the raster has corners without data, as clips of real products do.
    longitude, latitude = to_albers.transform(*centres, direction="INVERSE")
    inside = _within_margin(grid, longitude, latitude)
    transform = Affine(PIXEL_M, 0, x_edges[0], 0, -PIXEL_M, y_edges[0])
    return Pixels(inside, transform, longitude[inside], latitude[inside])


def _corners(grid: Grid) -> tuple[Array, Array]:
    """Longitude and latitude [degree] of the corners of all cells."""
    longitude, latitude = lonlat(*np.meshgrid(grid.x_edges_m, grid.y_edges_m))
    return np.asarray(longitude, np.float64), np.asarray(latitude, np.float64)


def _pixel_edges(values_m: Array) -> Array:
    """Edges of the pixels from below the lowest to above the highest value, with the margin."""
    first, last = (
        (limit - PIXEL_EDGE_M) // PIXEL_M for limit in (values_m.min() - MARGIN_M, values_m.max() + MARGIN_M)
    )
    return np.arange(first, last + 2) * PIXEL_M + PIXEL_EDGE_M


def _within_margin(grid: Grid, longitude: Array, latitude: Array) -> Bools:
    x, y = sinusoidal(longitude, latitude)
    inside_x = (x > grid.x_edges_m[0] - MARGIN_M) & (x < grid.x_edges_m[-1] + MARGIN_M)
    return np.asarray(inside_x & (y < grid.y_edges_m[0] + MARGIN_M) & (y > grid.y_edges_m[-1] - MARGIN_M))


@dataclass(frozen=True)
class NldasCells:
    """The demo's window of the NLDAS-2 grid; cells are numbered row by row from the south-west.

    Attributes
    ----------
    row_latitude : (rows,) centres, ascending [degree].
    col_longitude : (cols,) centres, ascending [degree].
    """

    row_latitude: Array
    col_longitude: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row_latitude.size, self.col_longitude.size

    @property
    def latitude(self) -> Array:
        """Centres of the cells (cells,) [degree]."""
        return np.repeat(self.row_latitude, self.col_longitude.size)

    @property
    def longitude(self) -> Array:
        """Centres of the cells (cells,) [degree]."""
        return np.tile(self.col_longitude, self.row_latitude.size)

    def holding(self, longitude: Array, latitude: Array) -> Integers:
        """Return the number of the cell of each point."""
        row = np.floor((latitude - self.row_latitude[0]) / CELL_DEGREE + 0.5)
        col = np.floor((longitude - self.col_longitude[0]) / CELL_DEGREE + 0.5)
        return np.asarray(row * self.col_longitude.size + col, dtype=np.int64)


@cache
def nldas_cells() -> NldasCells:
    """Return the NLDAS-2 cells that meet the demo's grid and one more on every side, as in a user's subset."""
    window = Window.around(*_corners(demo_grid()), margin=1)
    return NldasCells(window.latitudes, window.longitudes)
