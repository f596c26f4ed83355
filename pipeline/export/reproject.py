"""Maps of 250 m cells in another projection: area-weighted means of real values, codes and flags of the nearest cell.

A cell is divided into 4 x 4 parts of equal area. Each part belongs to the pixel in which its centre lies: every part
of every cell is counted once, so that the sum of value x area over the pixels is that over the cells. A pixel at the
border, or beside cells without a value, holds the mean of the parts that have one; the area of these is beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from pipeline.export.clip import Area, Clip
from pipeline.export.cog import Rectangle, Sheet
from pipeline.grid.sinusoidal import CELL_M, NORTH_M, SINUSOIDAL_WKT, WEST_M, Grid
from pipeline.variables import Variable

CrsName: TypeAlias = Literal["native", "EPSG:5070", "EPSG:4326"]
NATIVE: CrsName = "native"
PIXEL: Mapping[CrsName, float] = {"EPSG:5070": 250.0, "EPSG:4326": 0.0025}
"""Edge of a pixel [m, degree] in each projection; edges are multiples of it, so that maps of all regions fit."""

_AREA = Variable("area", "m2", "area of the cells with a value in the pixel")
_PARTS = 4  # along each edge of a cell
_SQUARE = 512  # pixels along the edge of the squares that are made one by one
_MARGIN = 3  # pixels, or cells: bounds of curved outlines are found from points along them
_OUTLINE_POINTS = 101
# Cells: every fifth row of pixels of 0.0025 degree has its centres on an edge of cells. The southern cell is taken
# there, where rounding would choose.
_NUDGE = 1e-6


@dataclass(frozen=True)
class Reprojection:
    """From the cells of a grid to pixels in a projection, or to those of them in an area."""

    grid: Grid
    crs: CrsName
    clip: Clip | None = None

    @classmethod
    def of(cls, grid: Grid, crs: CrsName, area: Area | None = None) -> tuple[Reprojection, Rectangle]:
        """Return a reprojection, to an area if one is given, and the rectangle of the cells of `grid` that it takes."""
        whole = cls(grid, crs)
        if area is None:
            return whole, (slice(0, grid.rows), slice(0, grid.cols))
        clip = Clip.of(whole.sheet, area)
        rows, cols = whole._cells_around(clip.place)
        shape = rows.stop - rows.start, cols.stop - cols.start
        part = Grid(grid.first_row + rows.start, grid.first_col + cols.start, *shape, tile_cells=1)
        return cls(part, crs, clip), (rows, cols)

    @property
    def sheet(self) -> Sheet:
        """Pixels that cover the grid, or the area."""
        if self.clip:
            return self.clip.sheet
        forward, step = Transformer.from_crs(SINUSOIDAL_WKT, self.crs, always_xy=True), PIXEL[self.crs]
        x_m, y_m = self.grid.x_edges_m[[0, -1]], self.grid.y_edges_m[[-1, 0]]
        bounds = forward.transform_bounds(x_m[0], y_m[0], x_m[1], y_m[1], densify_pts=_OUTLINE_POINTS)
        west, south = (int(np.floor(bound / step)) - _MARGIN for bound in bounds[:2])
        east, north = (int(np.ceil(bound / step)) + _MARGIN for bound in bounds[2:])
        transform = Affine(step, 0.0, west * step, 0.0, -step, north * step)
        return Sheet((north - south, east - west), transform, self.crs, _SQUARE)

    @staticmethod
    def bands(of_cells: Sequence[Variable]) -> tuple[Variable, ...]:
        """Return the bands of the pixels from those of the cells: real values, with the area that they apply to."""
        return (*of_cells, _AREA) if np.issubdtype(of_cells[0].dtype, np.floating) else tuple(of_cells)

    def write(self, cells: DatasetReader, pixels: DatasetWriter) -> None:
        """Write a map of the grid's cells as pixels of `sheet`, square by square; `pixels` has the bands of `bands`."""
        for square in self.sheet.squares():
            rows, cols = self._cells_around(square)
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            values_BYX = cells.read(window=Window.from_slices(rows, cols))
            if pixels.count == cells.count:
                found_BYX = self._nearest(values_BYX[0], (rows, cols), square, pixels.nodata)[None]
            else:
                found_BYX = self._means(values_BYX, (rows, cols), square)
            if self.clip:
                found_BYX[:, ~self.clip.shown(square)] = pixels.nodata
            pixels.write(found_BYX, window=Window.from_slices(*square))

    def _cells_around(self, square: Rectangle) -> Rectangle:
        """Return rows and columns of the cells that reach into a square of pixels, and some more."""
        back = Transformer.from_crs(self.crs, SINUSOIDAL_WKT, always_xy=True)
        (rows, cols), transform = square, self.sheet.transform
        west, north = transform @ (cols.start, rows.start)
        east, south = transform @ (cols.stop, rows.stop)
        bounds = back.transform_bounds(west, south, east, north, densify_pts=_OUTLINE_POINTS)
        first_col, last_col = ((bound - self.grid.x_edges_m[0]) / CELL_M for bound in (bounds[0], bounds[2]))
        first_row, last_row = ((self.grid.y_edges_m[0] - bound) / CELL_M for bound in (bounds[3], bounds[1]))
        return _within(first_row, last_row, self.grid.rows), _within(first_col, last_col, self.grid.cols)

    def _means(self, values_BYX: NDArray[Any], place: Rectangle, square: Rectangle) -> NDArray[np.float64]:
        """Return means, and the area of those of the first band [m2], (B + 1, rows, cols) of a square of pixels.

        All are NaN where no cell has a value.
        """
        (rows, cols), (down, across) = place, square
        shape = down.stop - down.start, across.stop - across.start
        area_YX = np.broadcast_to(self.grid.cell_area_m2()[rows, None] / _PARTS**2, values_BYX.shape[1:])
        sums, areas = np.zeros((2, len(values_BYX), shape[0] * shape[1]))
        there_BYX = np.isfinite(values_BYX)
        for row_YX, col_YX in self._parts(rows, cols):
            row_YX, col_YX = row_YX - down.start, col_YX - across.start
            inside_YX = (row_YX >= 0) & (row_YX < shape[0]) & (col_YX >= 0) & (col_YX < shape[1])
            for band, values_YX in enumerate(values_BYX):
                chosen = inside_YX & there_BYX[band]
                pixel, area = row_YX[chosen] * shape[1] + col_YX[chosen], area_YX[chosen]
                areas[band] += np.bincount(pixel, area, areas.shape[1])
                sums[band] += np.bincount(pixel, area * values_YX[chosen], areas.shape[1])
        areas[areas == 0] = np.nan
        return np.concatenate([sums / areas, areas[:1]]).reshape(-1, *shape)

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

    def _nearest(self, values_YX: NDArray[Any], place: Rectangle, square: Rectangle, nodata: float) -> NDArray[Any]:
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
