"""Changes between two states of a cube, by tile-year: the parts of the fingerprint that differ, and the carbon.

A tile-year counts under the set of all its parts that differ, such as GPP + weights: how much of a change is due to one
part of a set would need a third computation. Sets are disjoint, so that their changes add up to the total. The
fingerprint of a year covers the inputs of all years before it, whose effect the state carries: a part that changed in
one year differs in all later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from pipeline.aggregate.layout import CubeYear
from pipeline.aggregate.sums import AREA_TYPES, Array, cell_sums
from pipeline.aggregate.tables import county_labels
from pipeline.cube import layout
from pipeline.cube.entry import Fingerprint
from pipeline.cube.history import released_state, resolve
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.coverage import Polygons, coverage, outlines
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.storage import repository as store
from pipeline.variables import FLUXES
from regions import Zone, zones

PARTS = {
    "gpp": "GPP",
    "climate": "climate",
    "soil": "soil",
    "crop": "crops",
    "checkpoint": "weights",
    "science": "code",
    "mask": "mask of cells",
    "region": "region",
}
"""Components of the fingerprint, with the words for them, in the order of a set."""
NEW, REMOVED, UNEXPLAINED = "new", "removed", "same fingerprint"
GRAMS_PER_GG = 1e9


class Change(NamedTuple):
    """A tile-year whose results differ, and the set of its parts that differ, such as `GPP + weights`."""

    tile: Tile
    year: int
    parts: str


@dataclass(frozen=True)
class State:
    """One of the states compared: its name, its snapshot (of a release, the one `tag` printed), groups and ledger."""

    name: str
    snapshot: str
    root: zarr.Group
    ledger: Ledger

    @classmethod
    def of(cls, job: Job, name: str) -> State:
        """Open a release or snapshot; raises `UserError` if there is none, or it has no results."""
        repository = job.open_cube()
        snapshot = resolve(repository, name)
        root = store.read(repository, snapshot=snapshot)
        if "ledger" not in root:
            raise UserError(f"{name}: no results in this state of {job.stores.cube}; choose a later one")
        return cls(name, released_state(repository, snapshot), root, Ledger(root))

    def recorded(self, tile: str, year: int) -> Fingerprint | None:
        """Return the fingerprint of a tile-year, None without results."""
        return self.ledger.recorded(tile, year) if tile in self.ledger.tiles else None

    def checksum(self, tile: str, year: int) -> bytes:
        """Digest of the results of a recorded tile-year."""
        place = self.ledger.years.index(year), self.ledger.tiles.index(tile)
        return bytes(self.ledger.column("checksum")[place])


def changes(before: State, after: State, tiles: Sequence[Tile]) -> Iterator[Change]:
    """Yield the tile-years whose fingerprint or results differ."""
    years = sorted({*before.ledger.years, *after.ledger.years})
    for tile in tiles:
        for year in years:
            if parts := _parts(before, after, tile.name, year):
                yield Change(tile, year, parts)


def _parts(before: State, after: State, tile: str, year: int) -> str:
    old, new = before.recorded(tile, year), after.recorded(tile, year)
    if old is None or new is None:
        return "" if old is new else NEW if old is None else REMOVED
    if different := old.differs_in(new):
        return " + ".join(word for name, word in PARTS.items() if name in different)
    return "" if before.checksum(tile, year) == after.checksum(tile, year) else UNEXPLAINED


@dataclass(frozen=True, eq=False)
class Comparison:
    """The difference between two states, `after` minus `before`.

    Attributes
    ----------
    before, after
        The states.
    grid, zones
        Cells of the cube, and counties of the region.
    found
        Tile-years that differ.
    counties
        Change of each flux in each county by year and set of parts (columns `fips`, `county`, `state`, `year`,
        `changed`, and `FLUX_gg` [Gg C yr-1]), with the signs of `pipeline.variables`.
    maps
        Change of the drawn fluxes in each cell (rows, cols) [g C m-2 yr-1], mean over the years
        that differ and have results in both states.
    """

    before: State
    after: State
    grid: Grid
    zones: tuple[Zone, ...]
    found: tuple[Change, ...]
    counties: pd.DataFrame
    maps: dict[str, NDArray[np.float32]]

    @cached_property
    def terms(self) -> pd.DataFrame:
        """Tile-years and change of each flux [Gg C yr-1, summed over years] by set of parts, the largest set first."""
        number = pd.Series([change.parts for change in self.found], dtype=object).value_counts()
        fluxes = [f"{flux.name}_gg" for flux in FLUXES]
        summed = self.counties.groupby("changed")[fluxes].sum().reindex(number.index, fill_value=0.0)
        return summed.assign(tile_years=number)[["tile_years", *fluxes]]


def compare(job: Job, before: str, after: str, *, drawn: Sequence[str] = (), progress: Progress = silent) -> Comparison:
    """Return the difference between two states of the cube.

    Parameters
    ----------
    job
        The run file.
    before, after
        Releases, or snapshots of `agcarbon history`.
    drawn
        Fluxes whose change is mapped.
    progress
        Called after each tile-year that differs.

    Raises
    ------
    UserError
        If a state does not exist or has no results.
    """
    states = (State.of(job, before), State.of(job, after))
    grid, of_region = layout.identity(states[1].root).grid, zones(job.region)
    named = {name for state in states for name in state.ledger.tiles}
    tiles = sorted((Tile.parse(name, cells=grid.tile_cells) for name in named), key=lambda tile: tile.name)
    found = tuple(changes(*states, tiles))
    sums = _Sums(states, grid, outlines(of_region), {name: _Mean.over(grid) for name in drawn})
    for number, change in enumerate(found):
        progress("tile-years compared", number, len(found))
        sums.add(change)
    progress("tile-years compared", len(found), len(found))
    maps = {name: mean.values() for name, mean in sums.maps.items()}
    return Comparison(*states, grid, of_region, found, sums.table(of_region), maps)


@dataclass
class _Mean:
    """Sum and number of values in each cell (rows, cols)."""

    total: NDArray[np.float32]
    number: NDArray[np.uint16]

    @classmethod
    def over(cls, grid: Grid) -> _Mean:
        return cls(np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.uint16))

    def values(self) -> NDArray[np.float32]:
        """Return the means, NaN without a value."""
        empty = np.full(self.total.shape, np.nan, np.float32)
        return np.divide(self.total, self.number, out=empty, where=self.number > 0)


@dataclass
class _Sums:
    """Change in each county (counties, fluxes) [g C yr-1] by year and set of parts, and in each cell."""

    states: tuple[State, State]
    grid: Grid
    polygons: Polygons
    maps: dict[str, _Mean]
    counties: dict[tuple[int, str], Array] = field(default_factory=dict)

    def add(self, change: Change) -> None:
        """Add the change of a tile-year."""
        before, after = (self._of(state, change) for state in self.states)
        sums = self.counties.setdefault((change.year, change.parts), np.zeros((len(self.polygons), len(FLUXES))))
        sums += after.counties - before.counties
        for name, mean in self.maps.items():
            index = [flux.name for flux in FLUXES].index(name)
            difference = after.cells_FYX[index] - before.cells_FYX[index]
            known, window = np.isfinite(difference), self.grid.window(change.tile)
            mean.total[window][known] += difference[known]
            mean.number[window] += known

    def _of(self, state: State, change: Change) -> _TileYear:
        """Return the sums of a tile-year in a state, all zero where it has no results."""
        of_tile = self.grid.of(change.tile)
        empty = np.full((len(FLUXES), *of_tile.shape), np.nan, np.float32)
        if state.recorded(change.tile.name, change.year) is None:
            return _TileYear(np.zeros((len(self.polygons), len(FLUXES))), empty)
        results = CubeYear(state.root, change.year)
        mask = results.mask(change.tile)
        annual = results.annual(change.tile, mask)
        area_m2 = np.repeat(of_tile.cell_area_m2(), of_tile.cols)[mask.ravel()].astype(np.float64)
        sums = cell_sums(annual, area_m2, place=f"{change.tile.name}, year {change.year}")
        shares = coverage(self.polygons, of_tile)[:, mask.ravel()]
        empty[:, mask] = np.stack([annual[flux.name] for flux in FLUXES])
        return _TileYear(sums.onto(shares).totals_g[AREA_TYPES.index("cells")].T, empty)

    def table(self, of_region: Sequence[Zone]) -> pd.DataFrame:
        """Return one row for each county, year and set of parts with a change."""
        labels, columns = county_labels(of_region), [f"{flux.name}_gg" for flux in FLUXES]
        parts = [labels.assign(year=0, changed="", **dict.fromkeys(columns, 0.0)).head(0)]
        for (year, changed), sums in sorted(self.counties.items()):
            rows = labels.assign(year=year, changed=changed)
            rows[columns] = sums / GRAMS_PER_GG
            parts.append(rows[(sums != 0).any(axis=1)])
        return pd.concat(parts, ignore_index=True)


class _TileYear(NamedTuple):
    """Sums over counties (counties, fluxes) [g C yr-1], and the values of cells (fluxes, rows, cols)."""

    counties: Array
    cells_FYX: NDArray[np.float32]
