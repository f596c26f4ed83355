"""Exact integrals of a raster over the cells of a grid that is curved in the plane of the raster.

By Green's theorem the integral of f over a polygon is the contour integral of F dy, where F(x, y) is the integral of f
from the raster's left edge to x. A raster is constant in each pixel, so F is linear in x along a row of pixels: an
edge, cut where it crosses rows and columns of pixels, needs only the midpoints of its pieces, and the result is exact.
Each edge is integrated once and enters its two cells with opposite signs, so that sums over cells are conserved.

References
----------
Jones (1999), Mon. Weather Rev. 127, 2204-2210, doi:10.1175/1520-0493(1999)127<2204:FASOCR>2.0.CO;2 (contour integrals
for conservative remapping).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]


class _Edges(NamedTuple):
    """Straight edges from start to stop, arrays (E,) [pixel]."""

    x_start: Array
    y_start: Array
    x_stop: Array
    y_stop: Array


@dataclass(frozen=True)
class Overlap:
    """Contour integrals of a raster along all edges of a mesh of quadrilaterals, as rows of weights.

    Attributes
    ----------
    shape
        Rows and columns of the mesh in cells.
    across, down
        Edges from left to right, (rows + 1) x cols, and from top to bottom, rows x (cols + 1), as matrices whose
        columns are the running row sums of the raster, height x (width + 1).
    """

    shape: tuple[int, int]
    across: csr_array
    down: csr_array

    @classmethod
    def of(cls, x_px: Array, y_px: Array, *, shape: tuple[int, int]) -> Overlap:
        """Return the overlap of a mesh with a raster of `shape` pixels (height, width).

        Parameters
        ----------
        x_px, y_px
            Corners of the cells (rows + 1, cols + 1) in pixels from the raster's upper left corner, y downwards; they
            may lie outside the raster, where it counts as 0. Edges between corners are straight.
        """
        rows, cols = x_px.shape[0] - 1, x_px.shape[1] - 1
        left, right = np.s_[:, :-1], np.s_[:, 1:]
        top, bottom = np.s_[:-1, :], np.s_[1:, :]
        across = _Edges(*(a[side].ravel() for side in (left, right) for a in (x_px, y_px)))
        down = _Edges(*(a[side].ravel() for side in (top, bottom) for a in (x_px, y_px)))
        return cls((rows, cols), _contour_weights(across, shape=shape), _contour_weights(down, shape=shape))

    def integrate(self, layers_LYX: NDArray[np.generic]) -> Array:
        """Return the integral of each layer (L, height, width) over each cell: (L, rows, cols) [value x pixel]."""
        rows, cols = self.shape
        sums_ZL = _running_row_sums(layers_LYX)
        across = (self.across @ sums_ZL).reshape(rows + 1, cols, -1)
        down = (self.down @ sums_ZL).reshape(rows, cols + 1, -1)
        # Clockwise on the screen: top edge, right edge, bottom edge backwards, left edge upwards.
        return np.moveaxis(across[:-1] - across[1:] + down[:, 1:] - down[:, :-1], -1, 0)


def cell_areas(x_px: Array, y_px: Array) -> Array:
    """Return the area of every cell (rows, cols) [pixel] of a mesh with corners (rows + 1, cols + 1), y downwards.

    Examples
    --------
    >>> x, y = np.meshgrid([0.0, 2.0, 5.0], [0.0, 1.0])
    >>> cell_areas(x, y).tolist()
    [[2.0, 3.0]]
    """
    # Half the cross product of the diagonals.
    falling_x, falling_y = x_px[1:, 1:] - x_px[:-1, :-1], y_px[1:, 1:] - y_px[:-1, :-1]
    rising_x, rising_y = x_px[1:, :-1] - x_px[:-1, 1:], y_px[1:, :-1] - y_px[:-1, 1:]
    return (falling_x * rising_y - falling_y * rising_x) / 2


def _running_row_sums(layers_LYX: NDArray[np.generic]) -> Array:
    """Sum of all pixels to the left of each pixel edge, (height x (width + 1), L)."""
    count, height, width = layers_LYX.shape
    sums_YXL = np.zeros((height, width + 1, count))
    np.cumsum(np.moveaxis(layers_LYX, 0, -1), axis=1, out=sums_YXL[:, 1:], dtype=np.float64)
    return sums_YXL.reshape(-1, count)


def _crossings(start: Array, stop: Array) -> Array:
    """Positions along edges of their crossings with integers, 0 to 1, (E, most crossings); padded with 0 or 1."""
    low, high = np.minimum(start, stop), np.maximum(start, stop)
    most = max(int((np.ceil(high) - np.floor(low)).max(initial=1)) - 1, 0)
    lines = np.floor(low)[:, None] + 1 + np.arange(most)
    length = np.where(start == stop, np.inf, stop - start)  # an edge parallel to the lines crosses none
    return np.clip((lines - start[:, None]) / length[:, None], 0, 1)


def _contour_weights(edges: _Edges, *, shape: tuple[int, int]) -> csr_array:
    """Integral of F dy along each edge, as weights of the running row sums (E, height x (width + 1))."""
    height, width = shape
    x0, y0, x1, y1 = (a[:, None] for a in edges)
    ends = np.broadcast_to([0.0, 1.0], (x0.size, 2))
    cuts = (_crossings(edges.x_start, edges.x_stop), _crossings(edges.y_start, edges.y_stop))
    # Pieces between successive cuts lie in one pixel each; padding gives pieces of no length.
    t = np.sort(np.concatenate([ends, *cuts], axis=1), axis=1)
    middle = (t[:, 1:] + t[:, :-1]) / 2  # F is linear along a piece: its mean is its value there
    dy = (y1 - y0) * np.diff(t, axis=1)
    x, row = np.clip(x0 + (x1 - x0) * middle, 0, width), np.floor(y0 + (y1 - y0) * middle).astype(np.int64)

    used = (dy != 0) & (row >= 0) & (row < height)
    x, row, dy = x[used], row[used], dy[used]
    col = np.minimum(x.astype(np.int64), width - 1)
    right = x - col  # F at x is interpolated between the running sums at both sides of the pixel
    weights = np.stack([(1 - right) * dy, right * dy], axis=1)
    columns = (row * (width + 1) + col)[:, None] + np.arange(2)
    starts = np.concatenate([[0], np.cumsum(2 * used.sum(axis=1))])
    return csr_array((weights.ravel(), columns.ravel(), starts), shape=(x0.size, height * (width + 1)))
