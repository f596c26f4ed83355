"""Strips of tiles: each tile once, side by side, within one MODIS tile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, Grid, Tile
from pipeline.ingest.strips import STRIP_CELLS, strips


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(96, 104)), min_size=1), st.sampled_from([48, 240, 4800]))
def test_strips_hold_every_tile_once_and_are_unbroken(places: set[tuple[int, int]], edge: int) -> None:
    tiles = [Tile.holding(row * edge, col * 48 // edge * edge, cells=edge) for row, col in places]
    tiles = sorted(set(tiles))
    found = list(strips(tiles))
    assert sorted(tile for strip in found for tile in strip) == tiles
    for strip in found:
        first = strip[0]
        assert [tile.first_col for tile in strip] == [first.first_col + edge * n for n in range(len(strip))]
        assert {(tile.modis, tile.first_row) for tile in strip} == {(first.modis, first.first_row)}
        assert len(strip) == 1 or len(strip) * edge**2 <= STRIP_CELLS


def test_a_strip_does_not_cross_modis_tiles() -> None:
    grid = Grid(0, MODIS_TILE_CELLS - 96, 48, 192, 48)
    assert [len(strip) for strip in strips(list(grid.tiles()))] == [2, 2]
