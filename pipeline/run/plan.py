"""What to do: a pure function of the mask, today's fingerprints and the ledger.

A tile's years are a chain: each needs the state at the end of the one before. A chain is cut into blocks, each of which
reads the state that an earlier one left, or spins up; the blocks of different tiles are independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, zip_longest

from pipeline.config import RestartSettings
from pipeline.cube.layout import PlannedTile
from pipeline.cube.ledger import SCIENCE_VERSION, Fingerprint, Ledger, Status, TileYearState
from pipeline.digests import json_digest
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import TileDigests


@dataclass(frozen=True)
class Science:
    """What decides a tile-year beside its inputs."""

    region: str  # digest of boundary, grid, threshold and mask years
    checkpoint: str  # digest of weights and scalers
    precision: str


@dataclass(frozen=True)
class Block:
    """Successive years of one tile, computed in one task.

    Attributes
    ----------
    first
        First year computed; before it the state at the end of `first - 1` is read, or the tile is spun up.
    years
        Years stored. Years between `first` and the last of these that are not named are only passed through.
    fingerprints
        Of `years`, in order.
    restarts
        Years whose final state is stored.
    spin_up
        Whether the block begins the chain.
    """

    tile: Tile
    cells: int
    first: int
    years: tuple[int, ...]
    fingerprints: tuple[Fingerprint, ...]
    restarts: tuple[int, ...]
    spin_up: bool

    @property
    def computed(self) -> range:
        """All years that are run, in order, without the spin-up."""
        return range(self.first, self.years[-1] + 1)


@dataclass(frozen=True)
class Plan:
    """The work of one run."""

    tiles: tuple[PlannedTile, ...]
    years: tuple[int, ...]
    states: Mapping[tuple[str, int], TileYearState]
    chains: tuple[tuple[Block, ...], ...]
    blocked: Mapping[int, tuple[str, ...]]  # year: products that lack it
    keep_stale: bool = False

    def waves(self) -> Iterator[list[Block]]:
        """Yield the first blocks of all chains, then the second ones, and so on."""
        for wave in zip_longest(*self.chains):
            yield [block for block in wave if block]

    @property
    def stored_years(self) -> list[int]:
        """Years that get new results."""
        return sorted({year for chain in self.chains for block in chain for year in block.years})

    @property
    def restart_years(self) -> list[int]:
        """Years whose final states are stored."""
        return sorted({year for chain in self.chains for block in chain for year in block.restarts})

    @property
    def kept_stale(self) -> dict[int, int]:
        """Tile-years by year that are stale and stay so, by choice."""
        if not self.keep_stale:
            return {}
        redone = {(block.tile.name, year) for chain in self.chains for block in chain for year in block.years}
        stale = (key for key, state in self.states.items() if state.status is Status.STALE)
        return dict(sorted(Counter(year for tile, year in stale if (tile, year) not in redone).items()))

    def count(self, status: Status) -> int:
        """Number of tile-years of this status."""
        return sum(state.status is status for state in self.states.values())

    @property
    def most_cells(self) -> int:
        """Modelled cells of the block that has most."""
        return max((block.cells for chain in self.chains for block in chain), default=0)

    @property
    def cell_years(self) -> int:
        """Cells x years to run, spin-up and passed years included."""
        blocks = [block for chain in self.chains for block in chain]
        return sum(block.cells * (len(block.computed) + 2 * block.spin_up) for block in blocks)


def fingerprints(
    planned: PlannedTile,
    years: Sequence[int],
    *,
    science: Science,
    digests: Callable[[Tile, int], TileDigests],
    spin_up: tuple[int, int],
) -> dict[int, Fingerprint]:
    """Return the fingerprint of every year of a tile.

    A year's covers what the tile reads in the spin-up years and in all years up to it, since the state carries them.

    Parameters
    ----------
    planned
        The tile and its mask.
    years
        All years from the region's first to the last one wanted, all ingested.
    science
        Region, weights, precision.
    digests
        Content digests of the inputs by tile and year.
    spin_up
        The region's two spin-up years.
    """
    found = {year: digests(planned.tile, year) for year in {*years, *spin_up}}
    constant = (
        science.region,
        planned.mask,
        json_digest([SCIENCE_VERSION, science.precision]),
        science.checkpoint,
    )

    def chained(product: str) -> list[str]:
        of_year = [getattr(found[year], product) for year in years]
        start = json_digest([[getattr(found[year], product) for year in spin_up]])
        return list(accumulate(of_year, lambda so_far, new: json_digest([so_far, new]), initial=start))[1:]

    climate, gpp, crop = (chained(product) for product in ("climate", "gpp", "crop"))
    soil = json_digest([found[years[0]].soil])
    return {
        year: Fingerprint(tuple(json_digest([part]) for part in (*constant, climate[i], gpp[i], soil, crop[i])))
        for i, year in enumerate(years)
    }


def runnable(years: Iterable[int], ingested: Mapping[str, frozenset[int]], *, first: int) -> Runnable:
    """Split the wanted years into those whose chain is ingested and those that a product blocks.

    A year is blocked by every product that lacks it or any year between the region's `first` and it.
    """
    blocked = {}
    for year in sorted(set(years)):
        lacking = [name for name, have in ingested.items() if not set(range(first, year + 1)) <= have]
        if lacking:
            blocked[year] = tuple(sorted(lacking))
    return Runnable(tuple(year for year in sorted(set(years)) if year not in blocked), blocked)


@dataclass(frozen=True)
class Runnable:
    """Years that can be run, and what blocks the others."""

    years: tuple[int, ...]
    blocked: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True)
class Choice:
    """What is chosen against the rule that everything stale, failed or missing is computed, and nothing else.

    Attributes
    ----------
    redo
        Names of tiles to run whether or not they are done; absent: all tiles that have something to do.
    keep_stale
        Leave stale tile-years as they are, those of `redo` excepted. Missing years are computed from states that are
        up to date all the same, never from stale ones.
    since
        The first year to redo, of tiles in `redo`: the years before are left as they are, whatever their status.
    """

    redo: frozenset[str] = frozenset()
    keep_stale: bool = False
    since: Mapping[str, int] = field(default_factory=dict)

    def wants(self, tile: str, year: int, status: Status) -> bool:
        """Say whether a tile-year of this status is to be computed."""
        if tile in self.redo:
            return year >= self.since.get(tile, year)
        return not (status is Status.DONE or (self.keep_stale and status is Status.STALE))


@dataclass(frozen=True)
class Wanted:
    """What a run is asked for.

    Attributes
    ----------
    years
        Years to bring up to date.
    first_year
        The region's first: where chains begin.
    block_years
        Longest block.
    choice
        What to redo and what to leave.
    """

    years: tuple[int, ...]
    first_year: int
    block_years: int
    restart: RestartSettings
    choice: Choice = Choice()


def kept_restarts(settings: RestartSettings, years: Iterable[int], *, latest: int) -> set[int]:
    """Return the years whose final state is kept when the cube reaches to `latest`."""
    return {year for year in years if year % settings.every == 0 or year > latest - settings.last}


def make_plan(
    tiles: Sequence[PlannedTile],
    *,
    wanted: Wanted,
    prints: Mapping[str, Mapping[int, Fingerprint]],
    ledger: Ledger | None,
    blocked: Mapping[int, tuple[str, ...]],
) -> Plan:
    """Compare what is wanted with what the ledger holds.

    Parameters
    ----------
    tiles
        Tiles with modelled cells.
    wanted
        Years, block length, restarts.
    prints
        Today's fingerprints by tile name and year, for all years from the first to the last wanted.
    ledger
        As it is now, or None before the first run.
    blocked
        Years that wait for a product.
    """
    states: dict[tuple[str, int], TileYearState] = {}
    chains = []
    for planned in tiles:
        name = planned.tile.name
        of_tile = _waiting({year: _state(ledger, name, year, prints[name][year]) for year in wanted.years})
        states |= {(name, year): state for year, state in of_tile.items()}
        todo = [year for year, state in of_tile.items() if wanted.choice.wants(name, year, state.status)]
        if todo:
            chains.append(tuple(_chain(planned, todo, wanted=wanted, prints=prints[name], ledger=ledger)))
    return Plan(tuple(tiles), wanted.years, states, tuple(chains), blocked, wanted.choice.keep_stale)


def _waiting(states: Mapping[int, TileYearState]) -> dict[int, TileYearState]:
    """Add to the years of a tile that follow a failed one, and are not done, that they wait for it."""
    failed = min((year for year, state in states.items() if state.status is Status.FAILED), default=None)

    def of_year(year: int, state: TileYearState) -> TileYearState:
        if failed is None or year <= failed or state.status in (Status.DONE, Status.FAILED):
            return state
        return replace(state, reason="; ".join(filter(None, (state.reason, f"waits for {failed}"))))

    return {year: of_year(year, state) for year, state in states.items()}


def _state(ledger: Ledger | None, tile: str, year: int, current: Fingerprint) -> TileYearState:
    return ledger.state(tile, year, current) if ledger else TileYearState(Status.MISSING)


def _chain(
    planned: PlannedTile,
    todo: Sequence[int],
    *,
    wanted: Wanted,
    prints: Mapping[int, Fingerprint],
    ledger: Ledger | None,
) -> Iterator[Block]:
    """Cut the years from the newest usable state to the last one to do into blocks that end at kept restarts."""
    first = _after_newest_restart(planned.tile.name, todo[0], wanted=wanted, prints=prints, ledger=ledger)
    latest = max(wanted.years[-1], ledger.years[-1] if ledger and ledger.years else 0)
    kept = kept_restarts(wanted.restart, range(first, latest + 1), latest=latest)
    stored: list[int] = []
    for year in todo:
        stored.append(year)
        if not (year == todo[-1] or year in kept or len(stored) >= wanted.block_years):
            continue
        yield Block(
            planned.tile,
            planned.cells,
            first=first,
            years=tuple(stored),
            fingerprints=tuple(prints[done] for done in stored),
            restarts=tuple(done for done in stored if done in kept or done == year),
            spin_up=first == wanted.first_year,
        )
        first, stored = year + 1, []


def _after_newest_restart(
    tile: str, year: int, *, wanted: Wanted, prints: Mapping[int, Fingerprint], ledger: Ledger | None
) -> int:
    """Return the year after the newest kept, up-to-date state before `year`, or the region's first year."""
    for before in range(year - 1, wanted.first_year - 1, -1):
        if ledger and ledger.has_restart(tile, before) and ledger.recorded(tile, before) == prints[before]:
            return before + 1
    return wanted.first_year
