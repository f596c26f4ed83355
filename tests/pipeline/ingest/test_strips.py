"""Strips of tiles: each tile once, side by side, within one MODIS tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.grid.sinusoidal import MODIS_TILE_CELLS, Grid, Tile
from pipeline.ingest.strips import STRIP_CELLS, Summary, strips

ROW = MODIS_TILE_CELLS**2  # more cells than any row of tiles has


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(96, 104)), min_size=1), st.sampled_from([48, 240, 4800]))
def test_strips_hold_every_tile_once_and_are_unbroken(places: set[tuple[int, int]], edge: int) -> None:
    tiles = [Tile.holding(row * edge, col * 48 // edge * edge, cells=edge) for row, col in places]
    tiles = sorted(set(tiles))
    found = list(strips(tiles, most_cells=STRIP_CELLS))
    assert sorted(tile for strip in found for tile in strip) == tiles
    for strip in found:
        first = strip[0]
        assert [tile.first_col for tile in strip] == [first.first_col + edge * n for n in range(len(strip))]
        assert {(tile.modis, tile.first_row) for tile in strip} == {(first.modis, first.first_row)}
        assert len(strip) == 1 or len(strip) * edge**2 <= STRIP_CELLS


def test_a_strip_does_not_cross_modis_tiles() -> None:
    grid = Grid(0, MODIS_TILE_CELLS - 96, 48, 192, 48)
    assert [len(strip) for strip in strips(grid.tiles(), most_cells=ROW)] == [2, 2]


def test_a_strip_may_be_a_whole_row_of_a_modis_tile() -> None:
    tiles = [Tile(11, 4, row, col, 240) for row in (3, 4) for col in range(20)]
    assert [len(strip) for strip in strips(tiles, most_cells=ROW)] == [20, 20]
    assert [len(strip) for strip in strips(tiles, most_cells=STRIP_CELLS)] == [4] * 10


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("tsand", 10.0, "tsand: mean 10 is outside 15 to 985 g kg-1"),
        ("tsoc", 1.7, "tsoc: mean 1.7 is outside 3 to 300 g kg-1"),
        ("tbkds", 0.0013, "tbkds: mean 0.0013 is outside 0.6 to 1.9 Mg m-3"),
        ("tcec", 0.2, "tcec: mean 0.2 is outside 1 to 150 cmol kg-1"),
    ],
)
def test_soil_in_smaller_units_shows_in_the_mean_of_the_region(variable: str, value: float, said: str) -> None:
    def part(values: list[float]) -> Summary:
        arrays = {"tsoc": np.full(3, 20, np.float32), variable: np.array(values, np.float32)}
        return Summary.of("soil", arrays, missing=np.zeros(3, bool), counts={})

    little = part([value, np.nan, value])
    assert [fault.split(" (")[0] for fault in little.mean_faults("soil")] == [said]
    plenty = {"tsand": 150.0, "tsoc": 25.0, "tbkds": 1.4, "tcec": 20.0}[variable]
    assert (little + part([plenty] * 3)).mean_faults("soil") == []
    assert Summary().mean_faults("soil") == []
