"""Exact integrals of a raster over the cells of a grid that is bent in the raster's plane.

By Green's theorem the integral of f over a polygon is the contour integral of F dy, F(x, y) being the integral of f from
the raster's left edge to x. A raster is constant in each pixel, so F is linear in x along a pixel row: an edge, cut where
it crosses rows and columns of pixels, needs only the midpoints of its pieces, and the result is exact. Each edge is
integrated once and enters its two cells with opposite signs, so that sums over cells are conserved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Overlap:
    """Contour integrals of a mesh of quadrilaterals over a raster of `height` x `width` pixels; `of` builds it."""

    height: int
    width: int
    rows: csr_array
    cols: csr_array

    @classmethod
    def of(cls, x_px: Array, y_px: Array, *, shape: tuple[int, int]) -> Overlap:
        """Return the overlaps of a mesh with a raster of `shape` pixels (height, width).

        Parameters
        ----------
        x_px, y_px
            Corners of the cells (rows + 1, cols + 1) in pixels from the raster's upper left corner, y downwards; they may
            lie outside the raster, where it counts as 0. Edges are straight.
        """
        raise NotImplementedError

    def integrate(self, layers_LYX: Array) -> Array:
        """Return the integral of each layer (L, height, width) over each cell (L, rows, cols) [value x pixel]."""
        raise NotImplementedError


def cell_areas(x_px: Array, y_px: Array) -> Array:
    """Area of every cell (rows, cols) [pixel], positive where corners run clockwise on the screen."""
    raise NotImplementedError
