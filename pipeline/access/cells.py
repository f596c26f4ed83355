"""Values of a cube's cells as they are read: tile by tile, compared with what the ledger has of each tile-year.

An annual layer of a tile is one chunk, and is compared with its digest. Days are compared with the digests of their
parts, which are of all cells of the tile. Where that would read more than twice as much as the year of the cells asked
for, such as for the series of one cell, only theirs is read, and its sums are compared with the annual layer.

Shape legend: N modelled cells in a box of a tile, T days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube import layout
from pipeline.cube.parts import PART_DAYS
from pipeline.cube.results import WHOLE, Box, CheckedYear, Mask, within
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.variables import Variable

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CheckedCells:
    """The cells of a state of a cube; what reads them raises `DamagedError` with the remedy.

    Masks that were read are kept: 58 kB for a tile of 240 x 240 cells.
    """

    root: zarr.Group
    _masks: dict[Tile, Mask] = field(default_factory=dict)
    _years: dict[int, CheckedYear] = field(default_factory=dict)

    def mask(self, tile: Tile) -> Mask:
        """Return the modelled cells of a tile (rows, cols)."""
        if tile not in self._masks:
            self._masks[tile] = layout.read_mask(self.root, tile).mask
        return self._masks[tile]

    def year(self, year: int) -> CheckedYear:
        """Return the results of a year, with its digests once they are read."""
        return self._years.setdefault(year, CheckedYear(self.root, year))

    def annual(self, variable: Variable, year: int, tile: Tile, *, box: Box = WHOLE) -> NDArray[Any]:
        """Return an annual layer (N,); the fill value where the tile has no result."""
        mask, results = self.mask(tile), self.year(year)
        if not results.computed(tile):
            return np.full(mask[box].sum(), variable.fill_value, variable.dtype)
        return results.layer(tile, variable.name, mask)[within(mask, box)]

    def daily(
        self, name: str, year: int, tile: Tile, *, box: Box = WHOLE, days: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return a daily flux (T, N) [g C m-2 d-1] on some days; NaN where the tile has no result."""
        mask, results = self.mask(tile), self.year(year)
        if not results.computed(tile):
            return np.full((len(range(results.days)[days]), mask[box].sum()), np.nan, np.float32)
        if 2 * mask[box].size * results.days >= mask.size * _days_read(results, days):
            found_TN = results.flux(tile, name, mask, days=days)
            return found_TN if mask[box].size == mask.size else found_TN[:, within(mask, box)]
        return results.flux_in(tile, name, mask, box=box)[days]

    def on_box(self, values_XN: NDArray[np.generic], tile: Tile, box: Box, *, fill: float) -> NDArray[np.generic]:
        """Spread values (..., N) over a box (..., rows, cols)."""
        return layout.on_tile(values_XN, self.mask(tile)[box], fill=fill)


def _days_read(results: CheckedYear, days: slice) -> int:
    """Return the number of days in the parts that some days lie in."""
    first, last, _ = days.indices(results.days)
    return min(PART_DAYS * (-(-last // PART_DAYS) - first // PART_DAYS), results.days)


def mosaic(
    grid: Grid, read: Callable[[Tile, Box], NDArray[np.generic]], into: NDArray[np.generic], at: tuple[Indices, Indices]
) -> None:
    """Write what `read` returns (..., rows, cols) for boxes of tiles into an array.

    Parameters
    ----------
    grid
        The cube's grid.
    read
        Given a tile and a box of it.
    into
        Array (..., rows, cols), one for each of the indices `at`.
    at
        Rows and columns of the grid, in any order.
    """
    edge = grid.tile_cells
    owners = [indices // edge for indices in at]
    for row in np.unique(owners[0]):
        for col in np.unique(owners[1]):
            tile = Tile.holding(grid.first_row + int(row) * edge, grid.first_col + int(col) * edge, cells=edge)
            places = np.flatnonzero(owners[0] == row), np.flatnonzero(owners[1] == col)
            rows, cols = at[0][places[0]] - row * edge, at[1][places[1]] - col * edge
            found = read(tile, (_around(rows), _around(cols)))
            into[..., places[0][:, None], places[1]] = found[..., (rows - rows.min())[:, None], cols - cols.min()]


def _around(indices: Indices) -> slice:
    return slice(int(indices.min()), int(indices.max()) + 1)
