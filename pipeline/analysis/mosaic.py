"""Maps of a whole region at the resolution of a picture: area-weighted means over blocks of cells, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, TileCells
from pipeline.export.map_parts import MOST_CELLS
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
        rows, cols = (np.arange(part.start, part.stop) // self.factor for part in cells.window)
        row_N, col_N = (index[cells.mask] for index in np.meshgrid(rows, cols, indexing="ij"))
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


def _edges(of_cells: NDArray[np.floating], factor: int) -> Floats:
    return np.append(of_cells[:-1:factor], of_cells[-1])
