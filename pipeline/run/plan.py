"""The plan of a run: a pure function of the masks, the current fingerprints and the ledger.

The years of a tile form a chain, since each begins with the state at the end of the year before. A chain is cut into
blocks of a few years. A block begins with a spin-up or with the stored state of an earlier block (a restart), and ends
by storing its own; blocks of different tiles are independent. The first blocks of all chains are the first wave of a
run, the second blocks the second wave, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from pipeline.config import RestartSettings
from pipeline.cube.entry import Fingerprint, Status, TileYearState
from pipeline.cube.layout import PlannedTile
from pipeline.cube.ledger import Ledger
from pipeline.grid.sinusoidal import Tile
from pipeline.years import spans


@dataclass(frozen=True)
class Block:
    """Consecutive years of one tile, computed in one task.

    Attributes
    ----------
    tile, cells
        The tile and the number of its modelled cells.
    first
        First year computed, from the stored state at the end of `first - 1` or from a spin-up.
    years
        Years whose results are stored. The other years between `first` and the last of these are computed only to
        carry the state through them.
    fingerprints
        Fingerprints of `years`, in order.
    restarts
        Years whose final state is stored.
    spin_up
        Whether the block begins with a spin-up.
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
        """Years that are computed, stored or not, in order and without the spin-up."""
        return range(self.first, self.years[-1] + 1)

    @property
    def cell_years(self) -> int:
        """Cell-years to compute, including the two years of a spin-up, which are not stored."""
        return self.cells * (len(self.computed) + 2 * self.spin_up)


@dataclass(frozen=True)
class Plan:
    """The work of one run.

    Attributes
    ----------
    tiles, years
        Tiles with modelled cells, and years that can be run.
    states
        Status of every tile-year before the run, by tile name and year.
    chains
        Blocks to compute of each tile, in order of time.
    blocked
        Products that are not ingested up to a year, by year.
    keep_stale
        Whether stale tile-years are left as they are.
    """

    tiles: tuple[PlannedTile, ...]
    years: tuple[int, ...]
    states: Mapping[tuple[str, int], TileYearState]
    chains: tuple[tuple[Block, ...], ...]
    blocked: Mapping[int, tuple[str, ...]]
    keep_stale: bool = False

    @property
    def blocks(self) -> list[Block]:
        """Blocks of all chains."""
        return [block for chain in self.chains for block in chain]

    def waves(self) -> Iterator[list[Block]]:
        """Yield the first blocks of all chains, then the second ones, and so on; in each, the largest first.

        A wave ends with its last block: were that a large one, begun late, the other workers would wait for it.
        """
        # Chains differ in length, since tiles differ in the years that they need: shorter ones leave later waves.
        for wave in zip_longest(*self.chains):
            yield sorted((block for block in wave if block), key=lambda block: -block.cell_years)

    @property
    def stored_years(self) -> list[int]:
        """Years with new results."""
        return sorted({year for block in self.blocks for year in block.years})

    @property
    def restart_years(self) -> list[int]:
        """Years whose final states are stored."""
        return sorted({year for block in self.blocks for year in block.restarts})

    @property
    def computed(self) -> set[tuple[str, int]]:
        """Tile names and years with new results."""
        return {(block.tile.name, year) for block in self.blocks for year in block.years}

    @property
    def kept_stale(self) -> dict[int, int]:
        """Number of tile-years by year that are stale and stay so, as chosen with `keep_stale`."""
        if not self.keep_stale:
            return {}
        stale = {key for key, state in self.states.items() if state.status is Status.STALE}
        # Stale tile-years of a tile to redo are computed all the same.
        return dict(sorted(Counter(year for _, year in stale - self.computed).items()))

    def count(self, status: Status) -> int:
        """Number of tile-years of this status."""
        return sum(state.status is status for state in self.states.values())

    @property
    def most_cells(self) -> int:
        """Modelled cells of the block with the most."""
        return max((block.cells for block in self.blocks), default=0)

    @property
    def cell_years(self) -> int:
        """Cell-years to compute, including the two spin-up years and years that only carry the state."""
        return sum(block.cell_years for block in self.blocks)


def blocked_years(
    years: Iterable[int], ingested: Mapping[str, frozenset[int]], *, first: int
) -> dict[int, tuple[str, ...]]:
    """Return the years that cannot be run, each with the products that block it.

    A product blocks a year if that year, or any between the region's `first` and it, is not ingested: the chain of a
    tile must be computed without a gap.
    """
    blocked = {}
    for year in sorted(set(years)):
        incomplete = [product for product, have in ingested.items() if not set(range(first, year + 1)) <= have]
        if incomplete:
            blocked[year] = tuple(sorted(incomplete))
    return blocked


def blocked_spans(blocked: Mapping[int, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Yield ranges of blocked years and the products that block them: years with the same products together.

    Examples
    --------
    >>> list(blocked_spans({2019: ("crop",), 2020: ("crop", "gpp"), 2021: ("crop", "gpp")}))
    [('2019', 'crop'), ('2020-2021', 'crop, gpp')]
    """
    for products in dict.fromkeys(blocked.values()):
        yield spans(sorted(year for year in blocked if blocked[year] == products)), ", ".join(products)


@dataclass(frozen=True)
class Choice:
    """Exceptions from the rule, which is to compute all tile-years that are stale, failed or missing, and no others.

    Attributes
    ----------
    redo
        Names of tiles to compute again even if they are done, and then no other tiles; empty: all tiles by the rule.
    keep_stale
        Leave stale tile-years as they are, except those of `redo`. Missing years are still computed from up-to-date
        states only, never from stale ones.
    since
        First year to compute again, by names of tiles in `redo`; their earlier years are left as they are.
    """

    redo: frozenset[str] = frozenset()
    keep_stale: bool = False
    since: Mapping[str, int] = field(default_factory=dict)

    def selects(self, tile: str, year: int, status: Status) -> bool:
        """Return whether a tile-year of this status is to be computed."""
        # A tile to redo without an entry in `since` is computed in all years of the request.
        if tile in self.redo:
            return year >= self.since.get(tile, year)
        return not (status is Status.DONE or (self.keep_stale and status is Status.STALE))


BY_RULE = Choice()


@dataclass(frozen=True)
class Request:
    """The request to a run.

    Attributes
    ----------
    years
        Years to bring up to date.
    first_year
        First year of the region, at which all chains begin.
    block_years
        Most years stored by one block.
    restart
        Year ends whose state is kept.
    choice
        Exceptions from the rule.
    """

    years: tuple[int, ...]
    first_year: int
    block_years: int
    restart: RestartSettings
    choice: Choice = BY_RULE


def kept_restarts(settings: RestartSettings, years: Iterable[int], *, latest: int) -> set[int]:
    """Return the years whose final state is kept when `latest` is the newest year of the cube."""
    # The newest states serve the next year to append; the others limit the years to run again when older inputs change.
    return {year for year in years if year % settings.every == 0 or year > latest - settings.last}


def make_plan(
    tiles: Sequence[PlannedTile],
    *,
    request: Request,
    prints: Mapping[str, Mapping[int, Fingerprint]],
    ledger: Ledger | None,
    blocked: Mapping[int, tuple[str, ...]],
) -> Plan:
    """Return the plan that brings the ledger's tile-years up to date.

    Parameters
    ----------
    tiles
        Tiles with modelled cells.
    request
        Years, length of blocks, kept states, exceptions.
    prints
        Current fingerprints by tile name and year, from the region's first year to the last to run.
    ledger
        The ledger of the cube; None before the first run.
    blocked
        Years that cannot be run, with the products that block them.
    """
    states: dict[tuple[str, int], TileYearState] = {}
    chains = []
    for planned in tiles:
        name = planned.tile.name
        # The whole request has a status, also where nothing is to be computed: reports count all tile-years.
        of_tile = _waiting({year: _state(ledger, name, year, prints[name][year]) for year in request.years})
        states |= {(name, year): state for year, state in of_tile.items()}
        # Years to compute need not be consecutive: a block passes through done or kept years between them.
        todo = [year for year, state in of_tile.items() if request.choice.selects(name, year, state.status)]
        if todo:
            chains.append(tuple(_chain(planned, todo, request=request, prints=prints[name], ledger=ledger)))
    return Plan(tuple(tiles), request.years, states, tuple(chains), blocked, request.choice.keep_stale)


def _waiting(states: Mapping[int, TileYearState]) -> dict[int, TileYearState]:
    """Add to the reasons of a tile's open years after a failed one that they wait for it."""
    # A failed block has left no state, so that no later year of the tile could begin.
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
    request: Request,
    prints: Mapping[int, Fingerprint],
    ledger: Ledger | None,
) -> Iterator[Block]:
    """Cut a tile's years into blocks, from the newest usable state to the last year of `todo`.

    A block ends at its largest length and at each kept year end. States that the run file does not keep are dropped
    when the run has ended.
    """
    first = _after_newest_restart(planned.tile.name, todo[0], request=request, prints=prints, ledger=ledger)
    # Which year ends are kept depends on the newest year of the cube, which may lie beyond the years of this run.
    latest = max(request.years[-1], ledger.years[-1] if ledger and ledger.years else 0)
    kept = kept_restarts(request.restart, range(first, latest + 1), latest=latest)
    for years in _cut(todo, ends=kept, longest=request.block_years):
        yield Block(
            planned.tile,
            planned.cells,
            first=first,
            years=years,
            fingerprints=tuple(prints[year] for year in years),
            restarts=years[-1:],  # for the next block, even if the run file does not keep the state
            spin_up=first == request.first_year,
        )
        first = years[-1] + 1


def _cut(years: Iterable[int], *, ends: Set[int], longest: int) -> Iterator[tuple[int, ...]]:
    """Cut years into pieces, each of which ends at a year of `ends`, at its `longest` length, or with the last year.

    Examples
    --------
    >>> list(_cut(range(2000, 2009), ends={2000, 2005}, longest=3))
    [(2000,), (2001, 2002, 2003), (2004, 2005), (2006, 2007, 2008)]
    """
    piece: tuple[int, ...] = ()
    for year in years:
        piece += (year,)
        if year in ends or len(piece) == longest:
            yield piece
            piece = ()
    if piece:
        yield piece


def _after_newest_restart(
    tile: str, year: int, *, request: Request, prints: Mapping[int, Fingerprint], ledger: Ledger | None
) -> int:
    """Return the year after the newest stored state before `year` that is up to date, or the region's first year.

    A state is usable only if the fingerprint of its year is the current one, which covers all inputs up to that year:
    results never build on stale states.
    """
    # Newest first, since every year between that state and the first one to compute must be run through once more.
    for before in range(year - 1, request.first_year - 1, -1):
        if ledger and ledger.has_restart(tile, before) and ledger.recorded(tile, before) == prints[before]:
            return before + 1
    return request.first_year
