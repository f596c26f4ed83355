"""The cube's layout: rounding of what is stored, cells on their tile, states packed to the modelled cells."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from pipeline.cube import layout
from pipeline.cube.layout import Identity, on_tile, rounded
from pipeline.grid.sinusoidal import Grid
from pipeline.simulate.tile_year import CellState


@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(-1000, 1000, width=32)))
def test_rounding_errs_by_at_most_half_a_step_and_keeps_what_is_rounded(values: np.ndarray) -> None:
    once = rounded(values)
    normal = np.abs(values) > np.finfo(np.float32).tiny
    assert (np.abs(once - values)[normal] <= np.abs(values[normal]) * 4.9e-4).all()
    np.testing.assert_array_equal(rounded(once), once)


def test_rounding_keeps_missing_values_and_leaves_its_input_alone() -> None:
    values = np.array([np.nan, 1.0001, -3.33333], np.float32)
    copy = values.copy()
    assert np.isnan(rounded(values)[0])
    np.testing.assert_array_equal(values, copy)


def test_values_of_cells_come_back_from_their_tile() -> None:
    mask = np.random.default_rng(0).random((6, 6)) < 0.5
    values = np.arange(3 * mask.sum(), dtype=np.float32).reshape(3, -1)
    tile = on_tile(values, mask, fill=np.nan)
    np.testing.assert_array_equal(tile[:, mask], values)
    assert np.isnan(tile[:, ~mask]).all()


GRID = Grid(first_row=4 * 4800, first_col=11 * 4800, rows=96, cols=144, tile_cells=48)
TILES = list(GRID.tiles())


def cube_with_states(memory: dict[str, Buffer], layers: int = 6) -> zarr.Group:
    root = zarr.open_group(MemoryStore(memory), mode="w")
    layout.create(root, Identity("a few tiles", "", GRID, 2010, (2010,), 0.5, "fp32", "numba"))
    layout.add_restart(root, 2010, layers=layers)
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
    layout.write_restart(root, TILES[4], 2010, random_state(1000))  # leaves nothing behind when it is written again
    layout.write_restart(root, TILES[4], 2010, state)
    found = layout.read_restart(root, TILES[4], 2010, cells=cells)
    np.testing.assert_array_equal(found.state_SNH, state.state_SNH)
    np.testing.assert_array_equal(found.fresh_N, state.fresh_N)
    np.testing.assert_array_equal(
        layout.read_state_layer(root, TILES[4], 2010, layer=3, cells=cells), state.state_SNH[3].T
    )
    assert state_bytes(memory) < 1.05 * state.state_SNH.nbytes + 20_000  # the empty part of a chunk of each layer


def test_the_states_of_neighbouring_tiles_are_their_own() -> None:
    root = cube_with_states({})
    states = {tile: random_state(100 + number) for number, tile in enumerate(TILES)}
    for tile, state in states.items():
        layout.write_restart(root, tile, 2010, state)
    for tile, state in states.items():
        found = layout.read_restart(root, tile, 2010, cells=state.fresh_N.size)
        np.testing.assert_array_equal(found.state_SNH, state.state_SNH)


def test_states_with_other_layers_replace_those_of_a_year() -> None:
    root = cube_with_states({})
    layout.write_restart(root, TILES[0], 2010, random_state(10))
    assert not layout.add_restart(root, 2010, layers=6)
    assert layout.add_restart(root, 2010, layers=18)
    assert layout.state_layers(root, 2010) == 18
    layout.write_restart(root, TILES[0], 2010, random_state(10, 18))
    np.testing.assert_array_equal(
        layout.read_restart(root, TILES[0], 2010, cells=10).state_SNH, random_state(10, 18).state_SNH
    )
