"""Maps of a whole region at the resolution of a picture: area-weighted means over blocks of cells, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, TileCells
from pipeline.basemap import MOST_CELLS
from pipeline.grid.sinusoidal import Grid


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Sums of area and of area x value of one quantity over square blocks of cells.

    Attributes
    ----------
    grid
        Cells of the cube.
    factor
        Cells along a block's edge: 1 for a grid that a picture can show.
    sums_2YX
        Area [m2] and area x value of the blocks.
    """

    grid: Grid
    factor: int
    sums_2YX: Floats

    @classmethod
    def of(cls, grid: Grid, *, most: int = MOST_CELLS) -> Mosaic:
        """Return the empty mosaic of a grid, with at most `most` blocks along a side."""
        factor = -(-max(grid.shape) // most)
        return cls(grid, factor, np.zeros((2, -(-grid.rows // factor), -(-grid.cols // factor))))

    def add(self, cells: TileCells, values_N: NDArray[np.floating]) -> None:
        """Add the values of a tile's cells; those that are NaN count in nothing."""
        row_N, col_N = blocks_of(cells, self.factor)
        present_N = np.isfinite(values_N)
        area_m2 = cells.area_m2_N[present_N]
        where = row_N[present_N], col_N[present_N]
        np.add.at(self.sums_2YX[0], where, area_m2)
        np.add.at(self.sums_2YX[1], where, area_m2 * values_N[present_N])

    @property
    def means_YX(self) -> Floats:
        """Means of the blocks, NaN where there is no cell."""
        area_m2, totals = self.sums_2YX
        return means(totals, area_m2)

    @property
    def x_edges_m(self) -> Floats:
        """Edges of the columns [m]."""
        return _edges(self.grid.x_edges_m, self.factor)

    @property
    def y_edges_m(self) -> Floats:
        """Edges of the rows [m], north first."""
        return _edges(self.grid.y_edges_m, self.factor)


@dataclass(frozen=True, eq=False)
class ClassMosaic:
    """Area of each of some classes in square blocks of cells.

    Attributes
    ----------
    blank
        A mosaic of the same blocks.
    area_m2_CYX
        Area of each class.
    """

    blank: Mosaic
    area_m2_CYX: Floats

    @classmethod
    def of(cls, grid: Grid, classes: int) -> ClassMosaic:
        """Return the empty mosaic of a grid and a number of classes."""
        blank = Mosaic.of(grid)
        return cls(blank, np.zeros((classes, *blank.sums_2YX.shape[1:])))

    def add(self, cells: TileCells, class_N: NDArray[np.intp]) -> None:
        """Add the classes of a tile's cells, numbered from 0."""
        np.add.at(self.area_m2_CYX, (class_N, *blocks_of(cells, self.blank.factor)), cells.area_m2_N)

    @property
    def largest_YX(self) -> Floats:
        """Class with the largest area in each block, NaN where there is no cell."""
        there_YX = self.area_m2_CYX.sum(axis=0) > 0
        return np.where(there_YX, self.area_m2_CYX.argmax(axis=0), np.nan)


def blocks_of(cells: TileCells, factor: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of the block that each cell of a tile lies in, each (N,)."""
    rows, cols = (np.arange(part.start, part.stop) // factor for part in cells.window)
    row_YX, col_YX = np.meshgrid(rows, cols, indexing="ij")
    return row_YX[cells.mask], col_YX[cells.mask]


def _edges(of_cells: NDArray[np.floating], factor: int) -> Floats:
    return np.append(of_cells[:-1:factor], of_cells[-1])
