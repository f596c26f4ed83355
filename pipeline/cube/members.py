"""Sums of the members of an ensemble, by cell: what the spread over any area is computed from.

    members          ra, rh, nee, yield (year, member, y, x), and gpp where it is drawn
    members/monthly  ra, rh, nee less their mean over the members (year, member, month, y, x), rounded as daily fluxes

The spread of a mean over cells is not the mean of their spreads, since errors of the members are correlated between
cells: each member is aggregated, and the spread taken afterwards. GPP, unless drawn, is that of `annual`; all
other fluxes follow from these. A single network writes nothing here. Digests are in the ledger;
`pipeline.cube.results` compares what is read.

Shape legend: M members, V = 4 or 5 fluxes (`MEMBER_FLUXES`), F fluxes of `pipeline.variables.FLUXES`, K = 12 months, N
modelled cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import zarr
from numpy.typing import NDArray

from model.arrays import MONTHS, MemberSums
from pipeline.cube import ledger
from pipeline.cube.layout import create_year_axis, extend_years, identity, on_tile, rounded
from pipeline.cube.parts import MonthPart, part_digest
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.simulate.tile_year import MEMBER_FLUXES, budget_of_members
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.variables import FLUXES
from pipeline.variables import MONTHLY as MONTHLY_FLUXES

GROUP, MONTHLY = "members", "members/monthly"
_LAYERS = tuple(
    replace(flux, long_name=f"{flux.long_name}, by member of the ensemble")
    for name in MEMBER_FLUXES
    for flux in FLUXES
    if flux.name == name
)
_MONTHLY_LAYERS = tuple(
    replace(flux, long_name=f"{flux.long_name}, by member of the ensemble, less the mean over the members")
    for flux in MONTHLY_FLUXES
)

Floats = NDArray[np.float32]


def count(root: zarr.Group) -> int:
    """Return the number of members whose budgets the cube holds; 0 for the cube of a single network."""
    return int(store.array(root, f"{GROUP}/{_LAYERS[0].name}").shape[1]) if GROUP in root else 0


def _layers(root: zarr.Group) -> list[str]:
    """Return the names of the annual arrays that the cube has."""
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
        _create(root.create_group(GROUP), found.grid, members, drawn=drawn)
    if MONTHLY not in root:  # of an earlier version
        _create_monthly(root.create_group(MONTHLY), found.grid, members)
    extend_years(store.subgroup(root, GROUP), _layers(root), first=found.first_year, last=last)
    months = [variable.name for variable in _MONTHLY_LAYERS]
    extend_years(store.subgroup(root, MONTHLY), months, first=found.first_year, last=last)
    ledger.add_members(root)


def _create(group: zarr.Group, grid: Grid, members: int, *, drawn: bool) -> None:
    cf.write_yx(group, grid)
    create_year_axis(group)
    edge = grid.tile_cells
    shape, chunk = (0, members, *grid.shape), (1, 1, edge, edge)
    for variable in _LAYERS if drawn else _LAYERS[:-1]:
        layer = cf.Layout(("year", "member", "y", "x"), shape, chunk, (1, members, edge, edge))
        cf.create(group, variable, layer)


def _create_monthly(group: zarr.Group, grid: Grid, members: int) -> None:
    cf.write_yx(group, grid)
    create_year_axis(group)
    cf.write_months(group)
    edge = grid.tile_cells
    shape, dims = (0, members, MONTHS, *grid.shape), ("year", "member", "month", "y", "x")
    # Whoever reads a month needs all members of it.
    chunks, shards = ((1, members, months, edge, edge) for months in (1, MONTHS))
    for variable in _MONTHLY_LAYERS:
        cf.create(group, variable, cf.Layout(dims, shape, chunks, shards))


def stored(sums: MemberSums | None) -> MemberSums | None:
    """Return the members of a tile-year as they are stored: months rounded."""
    return sums and MemberSums(sums.annual_MVN, rounded(sums.months_M3KN))


def write(root: zarr.Group, tile: Tile, year: int, sums: MemberSums | None, *, mask: NDArray[np.bool_]) -> None:
    """Write the stored members of a tile-year; where a single network computed it (None), remove what was there."""
    index, window = year - identity(root).first_year, identity(root).grid.window(tile)
    if index >= _years(root, GROUP):
        return
    names, members, cells = _layers(root), count(root), int(mask.sum())
    if sums is None:
        empty = MemberSums.empty(members, len(names), cells)
        sums = MemberSums(np.full_like(empty.annual_MVN, np.nan), np.full_like(empty.months_M3KN, np.nan))
    layers = {f"{GROUP}/{name}": sums.annual_MVN[:, number] for number, name in enumerate(names)}
    if index < _years(root, MONTHLY):
        layers |= {f"{MONTHLY}/{flux.name}": sums.months_M3KN[:, number] for number, flux in enumerate(_MONTHLY_LAYERS)}
    for path, values in layers.items():
        of_tile = on_tile(values.astype(np.float32), mask, fill=np.nan)
        store.replace(root, path, (index, *[slice(None)] * (values.ndim - 1), *window), of_tile)


def digests(sums: MemberSums | None) -> tuple[str, ...]:
    """Return the digest of each annual flux, all members together, in hexadecimal digits; none without members."""
    return tuple(map(part_digest, np.moveaxis(sums.annual_MVN, 1, 0))) if sums else ()


def month_digests(sums: MemberSums | None) -> tuple[str, ...]:
    """Return the same of each month of each flux, in the order of `parts.MONTH_PARTS`."""
    places = np.ndindex(len(_MONTHLY_LAYERS), MONTHS)
    return tuple(part_digest(sums.months_M3KN[:, *place]) for place in places) if sums else ()


def read(root: zarr.Group, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> Floats:
    """Return the members' budgets of a tile-year as they are stored (M, V, N), NaN where it has none; not compared."""
    names = _layers(root)
    if year - identity(root).first_year >= _years(root, GROUP):
        return np.full((count(root), len(names), mask.sum()), np.nan, np.float32)
    return np.stack([_read(root, f"{GROUP}/{name}", tile, year)[:, mask] for name in names], axis=1)


def read_month(root: zarr.Group, tile: Tile, year: int, part: MonthPart, *, mask: NDArray[np.bool_]) -> Floats:
    """Return a month of a flux of the members less their mean as it is stored (M, N); not compared."""
    flux, month = part
    return _read(root, f"{MONTHLY}/{flux}", tile, year, month)[:, mask]


def _read(root: zarr.Group, path: str, tile: Tile, year: int, *month: int) -> Floats:
    """Return the members of one array on a tile (M, rows, cols)."""
    found = identity(root)
    values: Floats = store.part(root, path, (year - found.first_year, slice(None), *month, *found.grid.window(tile)))
    return values


def without_months(root: zarr.Group, years: Iterable[int]) -> str | None:
    """Return a sentence on the tile-years in a cube of an ensemble that have no months; None if there are none."""
    if not count(root):
        return None
    known = ledger.Ledger(root)
    tile_years = ((tile, year) for year in years for tile in known.tiles if known.recorded(tile, year))
    absent = [f"{tile}, {year}" for tile, year in tile_years if not known.members(tile, year, ledger.MEMBER_MONTHS)]
    if not absent:
        return None
    others = f" and {len(absent) - 1} more tile-years" if len(absent) > 1 else ""
    return (
        f"{absent[0]}{others}: a single network or an earlier version computed them, so that months of the members are "
        "absent; what they lie in has no spread by month until `agcarbon run --tile` computes them again"
    )


def fluxes(members_MVN: Floats, gpp_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return all annual fluxes of each member (M, F, N) [g C m-2 yr-1], given their budgets and annual GPP."""
    of_member = budget_of_members(gpp_N.astype(np.float64), members_MVN.astype(np.float64))
    shape = (len(members_MVN), *gpp_N.shape)
    return np.stack([np.broadcast_to(of_member[flux.name], shape) for flux in FLUXES], axis=1)


def _years(root: zarr.Group, path: str) -> int:
    """Return the number of years, from the cube's first, that have room in a group."""
    return int(store.array(root, f"{path}/year").shape[0]) if path in root else 0
