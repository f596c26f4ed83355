"""Annual budgets of the members of an ensemble, by cell: what the spread over any area is computed from.

    members        ra, rh, nee, yield (year, member, y, x), and gpp where it is drawn; digests are in the ledger

The spread of a mean over cells is not the mean of their spreads, since errors of the members are correlated between
cells: each member is aggregated, and the spread taken afterwards. GPP, unless drawn, is that of `annual`; all
other fluxes follow from these. A single network writes nothing here. `pipeline.cube.results` compares what is read.

Shape legend: M members, V = 4 or 5 fluxes (`MEMBER_FLUXES`), F fluxes of `pipeline.variables.FLUXES`, N modelled cells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube import ledger
from pipeline.cube.layout import create_year_axis, extend_years, identity, on_tile
from pipeline.cube.parts import part_digest
from pipeline.grid.sinusoidal import Tile
from pipeline.simulate.tile_year import MEMBER_FLUXES, budget_of_members
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.variables import FLUXES

GROUP = "members"
_LAYERS = tuple(
    replace(flux, long_name=f"{flux.long_name}, by member of the ensemble")
    for name in MEMBER_FLUXES
    for flux in FLUXES
    if flux.name == name
)

Floats = NDArray[np.float32]


def count(root: zarr.Group) -> int:
    """Return the number of members whose budgets the cube holds; 0 for the cube of a single network."""
    return int(store.array(root, f"{GROUP}/{_LAYERS[0].name}").shape[1]) if GROUP in root else 0


def _layers(root: zarr.Group) -> list[str]:
    """Return the names of the arrays that the cube has."""
    return [variable.name for variable in _LAYERS if f"{GROUP}/{variable.name}" in root]


def add(root: zarr.Group, members: int, *, last: int, drawn: bool = False) -> None:
    """Create the arrays for an ensemble of so many members, or extend them to the year `last`.

    With `drawn` each member has its own GPP.

    Those of another number of members are replaced: they are of another checkpoint, as the states of `restart` are.
    """
    if GROUP in root and count(root) != members:
        del root[GROUP]
        ledger.forget_members(root)
    found = identity(root)
    if GROUP not in root:
        group, grid = root.create_group(GROUP), found.grid
        cf.write_yx(group, grid)
        create_year_axis(group)
        edge = grid.tile_cells
        shape, chunk = (0, members, *grid.shape), (1, 1, edge, edge)
        for variable in _LAYERS if drawn else _LAYERS[:-1]:
            layer = cf.Layout(("year", "member", "y", "x"), shape, chunk, (1, members, edge, edge))
            cf.create(group, variable, layer)
    extend_years(store.subgroup(root, GROUP), _layers(root), first=found.first_year, last=last)
    ledger.add_members(root)


def write(root: zarr.Group, tile: Tile, year: int, members_MVN: Floats | None, *, mask: NDArray[np.bool_]) -> None:
    """Write the members of a tile-year; where a single network computed it (None), only remove what was there."""
    index, window = year - identity(root).first_year, identity(root).grid.window(tile)
    if index >= _years(root):
        return
    names = _layers(root)
    values_MVN = np.full((count(root), len(names), mask.sum()), np.nan) if members_MVN is None else members_MVN
    for number, name in enumerate(names):
        of_tile = on_tile(values_MVN[:, number].astype(np.float32), mask, fill=np.nan)
        store.replace(root, f"{GROUP}/{name}", (index, slice(None), *window), of_tile)


def digests(members_MVN: Floats | None) -> tuple[str, ...]:
    """Return the digest of each flux, all members together, in hexadecimal digits; none where there are no members."""
    return () if members_MVN is None else tuple(map(part_digest, np.moveaxis(members_MVN, 1, 0)))


def read(root: zarr.Group, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> Floats:
    """Return the members' budgets of a tile-year as they are stored (M, V, N), NaN where it has none; not compared."""
    index, window = year - identity(root).first_year, identity(root).grid.window(tile)
    if index >= _years(root):
        return np.full((count(root), len(_layers(root)), mask.sum()), np.nan, np.float32)
    places = (f"{GROUP}/{name}" for name in _layers(root))
    return np.stack([store.part(root, path, (index, slice(None), *window))[:, mask] for path in places], axis=1)


def fluxes(members_MVN: Floats, gpp_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return all annual fluxes of each member (M, F, N) [g C m-2 yr-1], given their budgets and annual GPP."""
    of_member = budget_of_members(gpp_N.astype(np.float64), members_MVN.astype(np.float64))
    shape = (len(members_MVN), *gpp_N.shape)
    return np.stack([np.broadcast_to(of_member[flux.name], shape) for flux in FLUXES], axis=1)


def _years(root: zarr.Group) -> int:
    """Return the number of years, from the cube's first, that have room here."""
    return int(store.array(root, f"{GROUP}/{_LAYERS[0].name}").shape[0]) if GROUP in root else 0
