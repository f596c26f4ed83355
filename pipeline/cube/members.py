"""Annual budgets of the members of an ensemble, by cell: what the spread over any area is computed from.

    members        ra, rh, nee, yield (year, member, y, x); `digest` (year, tile_row, tile_col) of each tile-year

The spread of a mean over cells is not the mean of their spreads, since errors of the members are correlated between
cells: each member is aggregated, and the spread taken afterwards. GPP, an input, is that of `annual`; all other fluxes
follow from these. A single network writes nothing here. A digest of zeros stands for a tile-year without members.

Shape legend: M members, V = 4 fluxes (`MEMBER_FLUXES`), F fluxes of `pipeline.variables.FLUXES`, N modelled cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube.layout import create_year_axis, extend_years, identity, on_tile
from pipeline.cube.parts import PART_BYTES, part_digest
from pipeline.errors import DamagedError
from pipeline.grid.sinusoidal import Tile
from pipeline.simulate.tile_year import MEMBER_FLUXES, budget
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.variables import FLUXES, Variable

GROUP = "members"
_LAYERS = tuple(
    replace(flux, long_name=f"{flux.long_name}, by member of the ensemble")
    for name in MEMBER_FLUXES
    for flux in FLUXES
    if flux.name == name
)
_DIGEST = Variable("digest", "1", "digest of the members' values at the modelled cells of a tile", dtype="uint8")

Floats = NDArray[np.float32]


def count(root: zarr.Group) -> int:
    """Return the number of members whose budgets the cube holds; 0 for the cube of a single network."""
    return int(store.array(root, f"{GROUP}/{_LAYERS[0].name}").shape[1]) if GROUP in root else 0


def add(root: zarr.Group, members: int, *, last: int) -> None:
    """Create the arrays for an ensemble of so many members, or extend them to the year `last`.

    Those of another number of members are replaced: they are of another checkpoint, as the states of `restart` are.
    """
    if GROUP in root and count(root) != members:
        del root[GROUP]
    found = identity(root)
    if GROUP not in root:
        group, grid = root.create_group(GROUP), found.grid
        cf.write_yx(group, grid)
        create_year_axis(group)
        edge = grid.tile_cells
        shape, chunk = (0, members, *grid.shape), (1, 1, edge, edge)
        for variable in _LAYERS:
            layer = cf.Layout(("year", "member", "y", "x"), shape, chunk, (1, members, edge, edge))
            cf.create(group, variable, layer)
        tiles = (grid.rows // edge, grid.cols // edge)
        dims = ("year", "tile_row", "tile_col", "part_byte")
        cf.create(group, _DIGEST, cf.Layout(dims, (0, *tiles, PART_BYTES), (1, 1, 1, PART_BYTES)))
    names = [variable.name for variable in (*_LAYERS, _DIGEST)]
    extend_years(store.subgroup(root, GROUP), names, first=found.first_year, last=last)


def write(root: zarr.Group, tile: Tile, year: int, members_MVN: Floats | None, *, mask: NDArray[np.bool_]) -> None:
    """Write the members of a tile-year; where a single network computed it (None), only remove what was there."""
    index, window = year - identity(root).first_year, identity(root).grid.window(tile)
    if index >= _years(root):
        return
    held, values_MVN = np.zeros(PART_BYTES, np.uint8), np.full((count(root), len(_LAYERS), mask.sum()), np.nan)
    if members_MVN is not None:
        held, values_MVN = np.frombuffer(bytes.fromhex(part_digest(members_MVN)), np.uint8), members_MVN
    for number, variable in enumerate(_LAYERS):
        of_tile = on_tile(values_MVN[:, number].astype(np.float32), mask, fill=np.nan)
        store.replace(root, f"{GROUP}/{variable.name}", (index, slice(None), *window), of_tile)
    store.replace(root, f"{GROUP}/{_DIGEST.name}", (index, *_place(root, tile), slice(None)), held)


def read(root: zarr.Group, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> Floats | None:
    """Return the members' budgets of a tile-year (M, V, N), or None where it has none.

    Raises
    ------
    DamagedError
        If the values are not those that were computed.
    """
    index = year - identity(root).first_year
    if index >= _years(root):
        return None
    digest = store.part(root, f"{GROUP}/{_DIGEST.name}", (index, *_place(root, tile)))
    if not digest.any():
        return None
    found_MVN = np.ascontiguousarray(_window(root, index, identity(root).grid.window(tile))[..., mask])
    if part_digest(found_MVN) != digest.tobytes().hex():
        raise DamagedError(
            f"tile {tile.name}, year {year}: members of the ensemble have other values than were computed; compute it "
            f"again with `agcarbon run --tile {tile.name}`"
        )
    return found_MVN


def read_window(root: zarr.Group, year: int, window: tuple[slice, slice]) -> Floats | None:
    """Return the members' budgets (M, V, rows, cols) of any window, NaN where there are none; None for no members."""
    index = year - identity(root).first_year
    if GROUP not in root:
        return None
    if index >= _years(root):
        rows, cols = (side.stop - side.start for side in window)
        return np.full((count(root), len(_LAYERS), rows, cols), np.nan, np.float32)
    return _window(root, index, window)


def fluxes(members_MVN: Floats, gpp_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return all annual fluxes of each member (M, F, N) [g C m-2 yr-1], given their budgets and annual GPP."""
    of_member = budget(gpp_N.astype(np.float64), np.moveaxis(members_MVN, 1, 0).astype(np.float64))
    shape = (len(members_MVN), *gpp_N.shape)
    return np.stack([np.broadcast_to(of_member[flux.name], shape) for flux in FLUXES], axis=1)


def _years(root: zarr.Group) -> int:
    """Return the number of years, from the cube's first, that have room here."""
    return int(store.array(root, f"{GROUP}/{_DIGEST.name}").shape[0]) if GROUP in root else 0


def _window(root: zarr.Group, index: int, window: tuple[slice, slice]) -> Floats:
    layers = [store.part(root, f"{GROUP}/{variable.name}", (index, slice(None), *window)) for variable in _LAYERS]
    return np.stack(layers, axis=1)


def _place(root: zarr.Group, tile: Tile) -> tuple[int, int]:
    rows, cols = identity(root).grid.window(tile)
    return rows.start // tile.cells, cols.start // tile.cells
