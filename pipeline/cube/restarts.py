"""The carried state of the network at the end of a year, packed to the modelled cells of each tile.

Shape legend: S layers of state, H hidden units, N modelled cells of a tile.
"""

from __future__ import annotations

import numpy as np
import zarr
from numpy.typing import NDArray

from model.arrays import HIDDEN, STATE_LAYERS
from pipeline.cube.layout import identity
from pipeline.digests import content_digest
from pipeline.grid.sinusoidal import Tile
from pipeline.simulate.tile_year import CellState
from pipeline.storage import cf
from pipeline.storage.repository import array, part, replace, subgroup
from pipeline.variables import Variable

_STATE_CELLS = 1024  # of a chunk at the most: one layer of them is a quarter of a megabyte
_STATE = Variable("state", "1", "hidden states of the four GRUs at the end of the year, at the tile's modelled cells")
_FRESH = Variable("fresh", "1", "the state is of this year: 1; of an earlier one: 0", dtype="uint8")


def add_restart(root: zarr.Group, year: int, *, layers: int = STATE_LAYERS) -> bool:
    """Create the arrays of the state at the end of `year`; return whether they replace ones with other layers.

    Another number of layers comes from a checkpoint with another number of members, which cannot continue from it.
    """
    replaced = f"restart/{year}" in root
    if replaced:
        if state_layers(root, year) == layers:
            return False
        del root[f"restart/{year}"]
    grid = identity(root).grid
    tiles_yx, cells = (grid.rows // grid.tile_cells, grid.cols // grid.tile_cells), grid.tile_cells**2
    group = root.create_group(f"restart/{year}")
    shard = (1, 1, layers, HIDDEN, cells)
    chunk = (1, 1, 1, HIDDEN, cf.largest_divisor(cells, most=_STATE_CELLS))
    dims = ("tile_row", "tile_col", "layer", "unit", "cell")
    cf.create(group, _STATE, cf.Layout(dims, (*tiles_yx, *shard[2:]), chunk, shard))
    cf.create(group, _FRESH, cf.Layout((*dims[:2], "cell"), (*tiles_yx, cells), (1, 1, cells)))
    return replaced


def state_digest(state: CellState) -> str:
    """Return the digest of the state of the modelled cells; it does not depend on how states are stored."""
    return content_digest(state.state_SNH, state.fresh_N)


def _tile_index(root: zarr.Group, tile: Tile) -> tuple[int, int]:
    """Return the row and column of a tile among those of the grid."""
    rows, cols = identity(root).grid.window(tile)
    return rows.start // tile.cells, cols.start // tile.cells


def state_layers(root: zarr.Group, year: int) -> int:
    """Return the number of layers of the states at the end of `year`."""
    return int(array(root, f"restart/{year}/state").shape[2])


def write_restart(root: zarr.Group, tile: Tile, year: int, state: CellState) -> None:
    """Write the carried state of a tile's modelled cells at the end of `year`."""
    group, index, cells = subgroup(root, f"restart/{year}"), _tile_index(root, tile), slice(0, state.fresh_N.size)
    state_SHN = state.state_SNH.transpose(0, 2, 1)
    replace(group, "state", (*index, slice(None), slice(None), cells), state_SHN, in_part=True)
    replace(group, "fresh", (*index, cells), state.fresh_N.astype(np.uint8), in_part=True)


def read_restart(root: zarr.Group, tile: Tile, year: int, *, cells: int) -> CellState:
    """Return the carried state of a tile's modelled cells, N = `cells`, at the end of `year`."""
    layers = (read_state_layer(root, tile, year, layer=n, cells=cells) for n in range(state_layers(root, year)))
    state_SNH = np.stack([np.ascontiguousarray(layer_HN.T) for layer_HN in layers])
    fresh_N = part(root, f"restart/{year}/fresh", (*_tile_index(root, tile), slice(0, cells))).astype(bool)
    return CellState(state_SNH, fresh_N)


def read_state_layer(root: zarr.Group, tile: Tile, year: int, *, layer: int, cells: int) -> NDArray[np.float32]:
    """Return one layer (H, N) of the carried state of a tile at the end of `year`."""
    selection = (*_tile_index(root, tile), layer, slice(None), slice(0, cells))
    return part(root, f"restart/{year}/state", selection)
