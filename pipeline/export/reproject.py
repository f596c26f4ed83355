"""Maps of 250 m cells in another projection: area-weighted means of real values, codes and flags of the nearest cell.

A cell is divided into 4 x 4 parts of equal area. Each part belongs to the pixel in which its centre lies: every part
of every cell is counted once, so that the sum of value x area over the pixels is that over the cells. A pixel at the
border, or beside cells without a value, holds the mean of the parts that have one; the area of these is beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from pipeline.export.cog import Sheet
from pipeline.grid.sinusoidal import CELL_M, NORTH_M, SINUSOIDAL_WKT, WEST_M, Grid

CrsName: TypeAlias = Literal["native", "EPSG:5070", "EPSG:4326"]
NATIVE: CrsName = "native"
PIXEL: Mapping[CrsName, float] = {"EPSG:5070": 250.0, "EPSG:4326": 0.0025}
"""Edge of a pixel [m, degree] in each projection; edges are multiples of it, so that maps of all regions fit."""

_PARTS = 4  # along each edge of a cell
_SQUARE = 512  # pixels along the edge of the squares that are made one by one
_MARGIN = 3  # pixels, or cells: bounds of curved outlines are found from points along them
_OUTLINE_POINTS = 101
# Cells: every fifth row of pixels of 0.0025 degree has its centres on an edge of cells. The southern cell is taken
# there, where rounding would choose.
_NUDGE = 1e-6


@dataclass(frozen=True)
class Reprojection:
    """From the cells of a grid to pixels in a projection."""

    grid: Grid
    crs: CrsName

    @property
    def sheet(self) -> Sheet:
        """Pixels that cover the grid."""
        forward, step = Transformer.from_crs(SINUSOIDAL_WKT, self.crs, always_xy=True), PIXEL[self.crs]
        x_m, y_m = self.grid.x_edges_m[[0, -1]], self.grid.y_edges_m[[-1, 0]]
        bounds = forward.transform_bounds(x_m[0], y_m[0], x_m[1], y_m[1], densify_pts=_OUTLINE_POINTS)
        west, south = (int(np.floor(bound / step)) - _MARGIN for bound in bounds[:2])
        east, north = (int(np.ceil(bound / step)) + _MARGIN for bound in bounds[2:])
        transform = Affine(step, 0.0, west * step, 0.0, -step, north * step)
        return Sheet((north - south, east - west), transform, self.crs, _SQUARE)

    def write(self, cells: DatasetReader, pixels: DatasetWriter) -> None:
        """Write a map of the grid's cells as pixels of `sheet`, square by square.

        `pixels` has a second band if values are real: the area [m2] of the cells with a value in each pixel.
        """
        nearest = pixels.count == 1
        for square in self._squares():
            rows, cols = self._cells_around(square)
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            values_YX = cells.read(1, window=Window.from_slices(rows, cols))
            of_square = Window.from_slices(*square)
            if nearest:
                pixels.write(self._nearest(values_YX, (rows, cols), square, pixels.nodata), 1, window=of_square)
            else:
                pixels.write(self._means(values_YX, (rows, cols), square), window=of_square)

    def _squares(self) -> Iterator[tuple[slice, slice]]:
        rows, cols = self.sheet.shape
        for row in range(0, rows, _SQUARE):
            for col in range(0, cols, _SQUARE):
                yield slice(row, min(row + _SQUARE, rows)), slice(col, min(col + _SQUARE, cols))

    def _cells_around(self, square: tuple[slice, slice]) -> tuple[slice, slice]:
        """Return rows and columns of the cells that reach into a square of pixels, and some more."""
        back = Transformer.from_crs(self.crs, SINUSOIDAL_WKT, always_xy=True)
        (rows, cols), transform = square, self.sheet.transform
        west, north = transform @ (cols.start, rows.start)
        east, south = transform @ (cols.stop, rows.stop)
        bounds = back.transform_bounds(west, south, east, north, densify_pts=_OUTLINE_POINTS)
        first_col, last_col = ((bound - self.grid.x_edges_m[0]) / CELL_M for bound in (bounds[0], bounds[2]))
        first_row, last_row = ((self.grid.y_edges_m[0] - bound) / CELL_M for bound in (bounds[3], bounds[1]))
        return _within(first_row, last_row, self.grid.rows), _within(first_col, last_col, self.grid.cols)

    def _means(
        self, values_YX: NDArray[Any], place: tuple[slice, slice], square: tuple[slice, slice]
    ) -> NDArray[np.float64]:
        """Return means and areas [m2] (2, rows, cols) of a square of pixels; NaN where no cell has a value."""
        (rows, cols), (down, across) = place, square
        shape = down.stop - down.start, across.stop - across.start
        area_YX = np.broadcast_to(self.grid.cell_area_m2()[rows, None] / _PARTS**2, values_YX.shape)
        sums, areas = np.zeros(shape[0] * shape[1]), np.zeros(shape[0] * shape[1])
        there = np.isfinite(values_YX)
        for row_YX, col_YX in self._parts(rows, cols):
            row, col = row_YX[there] - down.start, col_YX[there] - across.start
            inside = (row >= 0) & (row < shape[0]) & (col >= 0) & (col < shape[1])
            pixel, area = row[inside] * shape[1] + col[inside], area_YX[there][inside]
            areas += np.bincount(pixel, area, areas.size)
            sums += np.bincount(pixel, area * values_YX[there][inside], sums.size)
        areas[areas == 0] = np.nan
        return np.stack([sums / areas, areas]).reshape(2, *shape)

    def _parts(self, rows: slice, cols: slice) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the row and column (rows, cols) of the pixel in which each part of the cells lies."""
        forward, edges = Transformer.from_crs(SINUSOIDAL_WKT, self.crs, always_xy=True), self.grid
        x_m, y_m = edges.x_edges_m[cols.start : cols.stop + 1], edges.y_edges_m[rows.start : rows.stop + 1]
        corners = np.stack(forward.transform(*np.meshgrid(x_m, y_m)))
        col_row = np.stack(~self.sheet.transform @ (corners[0], corners[1]))
        # Halfway between corners of a cell its sides are straight to millimetres.
        shares = (np.arange(_PARTS) + 0.5) / _PARTS
        for down in shares:
            edge = (1 - down) * col_row[:, :-1] + down * col_row[:, 1:]
            for across in shares:
                col, row = np.floor((1 - across) * edge[..., :-1] + across * edge[..., 1:]).astype(np.int64)
                yield row, col

    def _nearest(
        self, values_YX: NDArray[Any], place: tuple[slice, slice], square: tuple[slice, slice], nodata: float
    ) -> NDArray[Any]:
        """Return the values of the cells in which the centres of a square's pixels lie."""
        back = Transformer.from_crs(self.crs, SINUSOIDAL_WKT, always_xy=True)
        (rows, cols), (down, across) = place, square
        centres: Any = np.meshgrid(np.arange(across.start, across.stop) + 0.5, np.arange(down.start, down.stop) + 0.5)
        x_m, y_m = back.transform(*(self.sheet.transform @ (centres[0], centres[1])))
        row = np.floor((NORTH_M - y_m) / CELL_M + _NUDGE).astype(np.int64) - self.grid.first_row - rows.start
        col = np.floor((x_m - WEST_M) / CELL_M + _NUDGE).astype(np.int64) - self.grid.first_col - cols.start
        inside = (row >= 0) & (row < values_YX.shape[0]) & (col >= 0) & (col < values_YX.shape[1])
        found = np.full(row.shape, nodata, values_YX.dtype)
        found[inside] = values_YX[row[inside], col[inside]]
        return found


def _within(first: float, last: float, size: int) -> slice:
    """Return the whole cells from `first` to `last` and a margin, as far as there are some."""
    return slice(max(int(np.floor(first)) - _MARGIN, 0), min(int(np.ceil(last)) + _MARGIN, size))
