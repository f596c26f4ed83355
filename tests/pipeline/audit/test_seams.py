"""Seams are found where a step follows the borders of tiles, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from pipeline.audit.seams import CLIMATE_ROWS, LAYERS, compare_borders, next_tiles, steps_of
from pipeline.cube import layout
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.storage import repository

YEAR = 2011
GRID = Grid(24000, 53280, 240, 240, 120)  # four tiles; a cell of the climate has 60 rows
TILES = {tile.name: tile for tile in GRID.tiles()}
SECOND, THIRD = list(TILES)[1:3]


def root_of(layer: NDArray[np.floating]) -> zarr.Group:
    """A cube in memory whose `ra` is this layer (rows, cols)."""
    identity = layout.Identity("x", "0" * 32, GRID, YEAR, (YEAR,), 0.5, "fp32", "numba")
    root = zarr.group()
    layout.create(root, identity)
    layout.add_years(root, last=YEAR, with_daily=())
    for name in LAYERS:
        repository.array(root, f"annual/{name}")[0] = layer if name == "ra" else noise(1)
    return root


def noise(seed: int) -> NDArray[np.float64]:
    """Fields of another value each, a fifth of them not modelled."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(GRID.shape) < 0.2, np.nan, rng.normal(0, 10, GRID.shape))


def failing(layer: NDArray[np.floating]) -> set[str]:
    """Tiles that fail by the seams of a layer."""
    root = root_of(layer)
    steps = [steps_of(root, tile, YEAR, beside=list(next_tiles(tile, GRID))) for tile in TILES.values()]
    found = list(compare_borders(steps))
    assert len({measured.why for _, _, measured in found}) == 4, "the borders of four tiles"
    return {tile for tile, year, measured in found if not measured.passes and year == YEAR}


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_no_seams(seed: int) -> None:
    assert failing(noise(seed)) == set()


def test_a_gradient_has_no_seams() -> None:
    rows, cols = np.indices(GRID.shape)
    assert failing(noise(0) + 0.5 * rows - cols) == set()


def test_borders_of_tiles_with_few_modelled_cells_are_not_compared_with_these_alone() -> None:
    """Eleven lines inside are no measure of a further one: a part of the tiles, or a sample, may have no more."""
    layer = noise(0)
    first = TILES[next(iter(TILES))]
    rows, cols = GRID.window(first)
    layer[rows, cols.start : cols.stop - 12] = np.nan
    layer[rows, cols.stop - 12 : cols.stop] *= 0.1  # a strip of fields that differ little
    root = root_of(layer)
    for name in LAYERS:
        repository.array(root, f"annual/{name}")[0] = layer
    alone = steps_of(root, first, YEAR, beside=[TILES[SECOND]])
    assert list(compare_borders([alone])) == []
    both = [alone, steps_of(root, TILES[SECOND], YEAR, beside=[])]
    assert [measured.passes for _, _, measured in compare_borders(both)] == [True]


@pytest.mark.parametrize("name", [SECOND, THIRD])
def test_a_shifted_tile_fails_and_its_neighbours_do_not(name: str) -> None:
    layer = noise(0)
    layer[GRID.window(TILES[name])] += 15
    assert failing(layer) == {name}


def test_steps_along_all_cells_of_the_climate_are_no_seams_of_the_tiles_that_end_there() -> None:
    belts = np.arange(GRID.first_row, GRID.first_row + GRID.rows) // CLIMATE_ROWS % 2
    assert failing(noise(0) + 40 * belts[:, None]) == set()


def test_steps_at_the_ends_of_tiles_alone_are_seams() -> None:
    belts = np.arange(GRID.first_row, GRID.first_row + GRID.rows) // GRID.tile_cells % 2
    assert failing(noise(0) + 40 * belts[:, None])


def test_a_tile_whose_rows_are_displaced_is_found_though_its_steps_cancel() -> None:
    waves = 30 * np.sin(2 * np.pi * np.arange(GRID.rows) / 40)[:, None]
    layer = 0.1 * noise(0) + waves
    assert failing(layer) == set()
    window = GRID.window(TILES[SECOND])
    layer[window] = np.roll(layer[window], 20, axis=0)
    assert SECOND in failing(layer)


def test_the_last_tile_has_no_next_one() -> None:
    first, *_, last = TILES.values()
    assert list(next_tiles(last, GRID)) == []
    assert {tile.name for tile in next_tiles(first, GRID)} == {SECOND, THIRD}
    assert all(isinstance(tile, Tile) for tile in next_tiles(first, GRID))
