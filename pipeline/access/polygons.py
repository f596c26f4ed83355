"""The share of every cell in each of some polygons.

Polygons may overlap, unlike the counties of a region: the shares of a cell can add up to more than 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.access.window import Window
from pipeline.grid.coverage import Outlined, coverage, outlines, shares
from pipeline.grid.sinusoidal import Grid, Tile


@dataclass(frozen=True, eq=False)
class TileShares:
    """Shares of the cells of a part of a tile in polygons.

    Attributes
    ----------
    tile, window
        The tile, and the smallest window of the cube's grid that holds all cells of the tile in some polygon.
    polygons_P
        Numbers of the polygons that meet it.
    shares_PN
        Share of each cell of the window inside each of them.
    """

    tile: Tile
    window: Window
    polygons_P: NDArray[np.intp]
    shares_PN: csr_array


def tile_shares(
    polygons: Sequence[Outlined], grid: Grid, *, disjoint: bool = False, tiles: Iterable[Tile] | None = None
) -> Iterator[TileShares]:
    """Yield the shares of the cells of each tile, of `grid` or of `tiles`, that some polygon meets, tile by tile.

    The shares of `disjoint` polygons, such as counties, add up to 1 at most, exactly as in the aggregates.
    """
    of_cells = coverage if disjoint else shares
    outlined = outlines(polygons)
    # In the plane of `outlines`: x is the column, -y the row of the whole grid.
    left, bottom, right, top = shapely.bounds(outlined).T
    first_row, first_col = np.floor(-top).astype(int) - grid.first_row, np.floor(left).astype(int) - grid.first_col
    end_row, end_col = np.ceil(-bottom).astype(int) - grid.first_row, np.ceil(right).astype(int) - grid.first_col
    for tile in grid.tiles() if tiles is None else tiles:
        rows, cols = grid.window(tile)
        meets = (first_row < rows.stop) & (end_row > rows.start) & (first_col < cols.stop) & (end_col > cols.start)
        if (of := np.flatnonzero(meets)).size:
            window = Window(
                slice(max(rows.start, int(first_row[of].min())), min(rows.stop, int(end_row[of].max()))),
                slice(max(cols.start, int(first_col[of].min())), min(cols.stop, int(end_col[of].max()))),
            )
            part = Grid(
                grid.first_row + window.rows.start, grid.first_col + window.cols.start, *window.shape, tile_cells=1
            )
            yield TileShares(tile, window, of, of_cells(outlined[of], part))
