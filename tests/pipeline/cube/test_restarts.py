"""Carried states, packed to the modelled cells of their tiles."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from pipeline.cube import layout, restarts
from pipeline.cube.layout import Identity
from pipeline.grid.sinusoidal import Grid
from pipeline.simulate.tile_year import CellState

GRID = Grid(first_row=4 * 4800, first_col=11 * 4800, rows=96, cols=144, tile_cells=48)
TILES = list(GRID.tiles())


def cube_with_states(memory: dict[str, Buffer], layers: int = 6) -> zarr.Group:
    root = zarr.open_group(MemoryStore(memory), mode="w")
    layout.create(root, Identity("a few tiles", "", GRID, 2010, (2010,), 0.5, "fp32", "numba"))
    restarts.add_restart(root, 2010, layers=layers)
    return root


def random_state(cells: int, layers: int = 6) -> CellState:
    rng = np.random.default_rng(cells)
    return CellState(rng.uniform(-1, 1, (layers, cells, 64)).astype(np.float32), rng.random(cells) < 0.5)


def state_bytes(memory: dict[str, Buffer]) -> int:
    return sum(len(value) for name, value in memory.items() if name.startswith("restart/2010/state/c/"))


@pytest.mark.parametrize("cells", [1, 500, 768, 48 * 48])
def test_a_state_comes_back_from_its_tile_and_takes_the_room_of_its_cells(cells: int) -> None:
    memory: dict[str, Buffer] = {}
    root, state = cube_with_states(memory), random_state(cells)
    restarts.write_restart(root, TILES[4], 2010, random_state(1000))  # leaves nothing behind when it is written again
    restarts.write_restart(root, TILES[4], 2010, state)
    found = restarts.read_restart(root, TILES[4], 2010, cells=cells)
    np.testing.assert_array_equal(found.state_SNH, state.state_SNH)
    np.testing.assert_array_equal(found.fresh_N, state.fresh_N)
    np.testing.assert_array_equal(
        restarts.read_state_layer(root, TILES[4], 2010, layer=3, cells=cells), state.state_SNH[3].T
    )
    assert state_bytes(memory) < 1.05 * state.state_SNH.nbytes + 20_000  # the empty part of a chunk of each layer


def test_the_states_of_neighbouring_tiles_are_their_own() -> None:
    root = cube_with_states({})
    states = {tile: random_state(100 + number) for number, tile in enumerate(TILES)}
    for tile, state in states.items():
        restarts.write_restart(root, tile, 2010, state)
    for tile, state in states.items():
        found = restarts.read_restart(root, tile, 2010, cells=state.fresh_N.size)
        np.testing.assert_array_equal(found.state_SNH, state.state_SNH)


def test_states_with_other_layers_replace_those_of_a_year() -> None:
    root = cube_with_states({})
    restarts.write_restart(root, TILES[0], 2010, random_state(10))
    assert not restarts.add_restart(root, 2010, layers=6)
    assert restarts.add_restart(root, 2010, layers=18)
    assert restarts.state_layers(root, 2010) == 18
    restarts.write_restart(root, TILES[0], 2010, random_state(10, 18))
    np.testing.assert_array_equal(
        restarts.read_restart(root, TILES[0], 2010, cells=10).state_SNH, random_state(10, 18).state_SNH
    )
