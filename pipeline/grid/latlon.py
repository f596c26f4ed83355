"""Regular grids in longitude and latitude, and the exact overlap of sinusoidal cells with their cells.

A row of the sinusoidal grid is a band of 1/480 degree of latitude, so that edges of rows and of degrees coincide in
integers. Within a band a meridian is a slanted line, straight to a millimetre. The area of a cell west of such a line
has a closed form, and the shares of a cell are differences of successive areas: they add up to 1 despite rounding.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, Grid

BANDS_PER_DEGREE = MODIS_TILE_CELLS // 10
_CENTRAL_COLUMN = 180 * BANDS_PER_DEGREE  # where the meridian of Greenwich crosses every row

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LatLonGrid:
    """A rectangle of cells of 1 / `per_degree` degree; rows count south from 90 N, columns east from 180 W.

    Examples
    --------
    >>> half_degree = LatLonGrid(per_degree=2, first_row=99, first_col=180, rows=2, cols=3)
    >>> half_degree.lat.tolist(), half_degree.lon.tolist()
    ([40.25, 39.75], [-89.75, -89.25, -88.75])
    >>> half_degree.refine(2).shape
    (4, 6)
    >>> half_degree.window(LatLonGrid(per_degree=2, first_row=100, first_col=181, rows=1, cols=2))
    (slice(1, 2, None), slice(1, 3, None))
    """

    per_degree: int
    first_row: int
    first_col: int
    rows: int
    cols: int

    @classmethod
    def covering(cls, grid: Grid, *, per_degree: int) -> LatLonGrid:
        """Return the smallest rectangle around all cells of a sinusoidal grid on one side of the equator."""
        rows = np.array([grid.first_row, grid.first_row + grid.rows])
        cols = np.array([grid.first_col, grid.first_col + grid.cols])
        # lon = x / cos(lat): the sides of the grid reach farthest east or west in its uppermost or lowermost row.
        lon = (cols - _CENTRAL_COLUMN) / (BANDS_PER_DEGREE * _cosine(rows[:, None] / BANDS_PER_DEGREE))
        west, east = math.floor((lon.min() + 180) * per_degree), math.ceil((lon.max() + 180) * per_degree)
        north, south = rows[0] * per_degree // BANDS_PER_DEGREE, -(-rows[1] * per_degree // BANDS_PER_DEGREE)
        return cls(per_degree, int(north), west, int(south - north), east - west)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.cols

    @property
    def lat(self) -> Array:
        """Latitude of the cell centres (rows,) [degree], north first."""
        return 90 - (self.first_row + np.arange(self.rows) + 0.5) / self.per_degree

    @property
    def lon(self) -> Array:
        """Longitude of the cell centres (cols,) [degree]."""
        return (self.first_col + np.arange(self.cols) + 0.5) / self.per_degree - 180

    def window(self, part: LatLonGrid) -> tuple[slice, slice]:
        """Return the rows and columns of `part`, a rectangle of the same cells, in arrays on this grid."""
        row, col = part.first_row - self.first_row, part.first_col - self.first_col
        return slice(row, row + part.rows), slice(col, col + part.cols)

    def meet(self, other: LatLonGrid) -> LatLonGrid:
        """Return the rectangle of the cells in both grids, which must have the same step."""
        row, col = max(self.first_row, other.first_row), max(self.first_col, other.first_col)
        rows = min(self.first_row + self.rows, other.first_row + other.rows) - row
        cols = min(self.first_col + self.cols, other.first_col + other.cols) - col
        return LatLonGrid(self.per_degree, row, col, max(rows, 0), max(cols, 0))

    def refine(self, factor: int) -> LatLonGrid:
        """Return the grid with each cell divided into `factor` x `factor` cells."""
        return LatLonGrid(*(number * factor for number in astuple(self)))

    def coarsen(self, factor: int) -> LatLonGrid:
        """Return the grid of blocks of `factor` x `factor` cells; edges must coincide with edges of blocks."""
        assert not any(number % factor for number in astuple(self))
        return LatLonGrid(*(number // factor for number in astuple(self)))


@dataclass(frozen=True)
class _Strips:
    """Strips of latitude, each inside one band of the source and one row of the target.

    Attributes
    ----------
    band, row
        Row of the source and of the target, counted from 90 N, (S,).
    share
        Height as a share of the band's, (S,).
    north, south
        Cosine of the latitude of the two edges, (S,).
    """

    band: Integers
    row: Integers
    share: Array
    north: Array
    south: Array

    @classmethod
    def of(cls, grid: Grid, *, per_degree: int) -> _Strips:
        """Return the bands of a grid, cut at the rows of a target."""
        units = math.lcm(
            BANDS_PER_DEGREE, per_degree
        )  # in a degree of latitude: all edges are integers, none is rounded
        a_band, a_row = units // BANDS_PER_DEGREE, units // per_degree
        top, bottom = grid.first_row * a_band, (grid.first_row + grid.rows) * a_band
        bands, rows = np.arange(top, bottom + 1, a_band), np.arange(-(-top // a_row) * a_row, bottom, a_row)
        edges = np.union1d(bands, rows)
        cosine = _cosine(edges / units)
        share = np.diff(edges) / a_band
        return cls(edges[:-1] // a_band, edges[:-1] // a_row, share, cosine[:-1], cosine[1:])


def overlaps(grid: Grid, target: LatLonGrid) -> csr_array:
    """Return the share of each cell of `grid` in each cell of `target`, both row by row: (target cells, grid cells).

    The shares of a cell inside the target add up to 1, to rounding; shares outside the target are left out.
    Shape suffixes: S strips, C columns of the grid, K columns of the target that a cell meets, E their K + 1 edges.
    """
    strips = _Strips.of(grid, per_degree=target.per_degree)
    column_C = grid.first_col + np.arange(grid.cols)
    first_SC, share_SCK = _shares(column_C, strips, per_degree=target.per_degree)
    row_SCK = np.broadcast_to((strips.row - target.first_row)[:, None, None], share_SCK.shape)
    col_SCK = (first_SC - target.first_col)[..., None] + np.arange(share_SCK.shape[-1])
    cell_SC = (strips.band - grid.first_row)[:, None] * grid.cols + np.arange(grid.cols)
    cell_SCK = np.broadcast_to(cell_SC[..., None], share_SCK.shape)
    inside = (row_SCK >= 0) & (row_SCK < target.rows) & (col_SCK >= 0) & (col_SCK < target.cols) & (share_SCK > 0)
    places = (row_SCK[inside] * target.cols + col_SCK[inside], cell_SCK[inside])
    shape = (target.rows * target.cols, grid.rows * grid.cols)
    return coo_array((share_SCK[inside], places), shape=shape).tocsr()


def _shares(column_C: Integers, strips: _Strips, *, per_degree: int) -> tuple[Integers, Array]:
    """Return the first target column that each cell meets in each strip, and its shares in that and the next ones."""
    west, east = (column_C - _CENTRAL_COLUMN) / BANDS_PER_DEGREE, (column_C + 1 - _CENTRAL_COLUMN) / BANDS_PER_DEGREE
    # A cell is a parallelogram in longitude: its first and last target column lie at one of the edges of its strip.
    cosines = np.stack([strips.north, strips.south])[..., None]
    first_SC = np.floor((west / cosines + 180).min(axis=0) * per_degree).astype(np.int64)
    last_SC = np.ceil((east / cosines + 180).max(axis=0) * per_degree).astype(np.int64)
    meridian_SCE = first_SC[..., None] + np.arange((last_SC - first_SC).max() + 1)
    lon_SCE = meridian_SCE / per_degree - 180
    # Position of each meridian across the cell, 0 at its west and 1 at its east side, on both edges of the strip.
    north, south = (
        lon_SCE * BANDS_PER_DEGREE * cosine[:, None, None] + (_CENTRAL_COLUMN - column_C)[:, None]
        for cosine in (strips.north, strips.south)
    )
    west_SCE = _mean_within(north, south)
    west_SCE[..., 0], west_SCE[..., -1] = 0, 1  # exactly, so that the shares add up to 1
    return first_SC, np.diff(west_SCE, axis=-1) * strips.share[:, None, None]


def _mean_within(start: Array, stop: Array) -> Array:
    """Mean of x, clipped to 0 ... 1, along a straight line from `start` to `stop`: the share of a cell west of it."""
    # Integral of the clipped x from low to high: a triangle or trapezium inside 0 ... 1, and 1 beyond.
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    inside_low, inside_high = np.clip(low, 0, 1), np.clip(high, 0, 1)
    slope = (inside_high - inside_low) * (inside_high + inside_low) / 2
    beyond = np.maximum(high, 1) - np.maximum(low, 1)
    length = high - low
    return np.where(length > 0, (slope + beyond) / np.where(length > 0, length, 1), inside_low)


def _cosine(degrees_from_pole: Array) -> Array:
    """Cosine of a latitude given as degrees from 90 N."""
    return np.sin(np.radians(degrees_from_pole))
