"""The cell of a point, and the shares of cells as polygons."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.access.points import Cell, cell_shares, parse_point
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid


def test_each_cell_is_held_in_full_once_on_the_tile_that_has_it() -> None:
    grid = Grid(100, 200, 8, 12, tile_cells=4)
    cells = [Cell("a", 1, 1), Cell("b", 6, 11), Cell("c", 3, 0), Cell("a again", 1, 1)]
    found = np.zeros((len(cells), *grid.shape))
    for each in cell_shares(cells, grid):
        rows, cols = grid.window(each.tile)
        assert rows.start <= each.window.rows.start < each.window.rows.stop <= rows.stop
        assert cols.start <= each.window.cols.start < each.window.cols.stop <= cols.stop
        for number, share in zip(each.polygons_P, each.shares_PN.toarray(), strict=True):
            found[number, each.window.rows, each.window.cols] += share.reshape(each.window.shape)
    for number, cell in enumerate(cells):
        assert found[number, cell.row, cell.col] == found[number].sum() == 1


@pytest.mark.parametrize("text", ["40.05", "40.05,x", "91,0", "40,181", "40,-88,3", "nan,1"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--point '{text}': not a latitude"):
        parse_point(text)
