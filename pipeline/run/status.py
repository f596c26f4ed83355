"""Status of every tile-year of a run file, as a value, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from model.checkpoint import CheckpointError
from pipeline.config import StoreSettings
from pipeline.cube import layout
from pipeline.cube.entry import Status, TileYearState
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.storage import repository

_MOST_REASONS = 3  # of a year, in the table


@dataclass(frozen=True)
class TileYearStatus:
    """Status of the tile-years.

    Attributes
    ----------
    years
        Years of the region, and those that the cube holds beyond them.
    snapshot
        Snapshot of the cube; None if there is no cube.
    inputs
        Snapshot of the inputs store that the cube was compared with; None if a comparison was not possible.
    states
        Status and reason by tile name and year; empty while it is unknown which tiles have modelled cells.
    blocked
        Products that are not ingested up to a year, by year.
    notes
        Reasons why parts of the status are unknown.
    """

    years: tuple[int, ...]
    snapshot: str | None
    inputs: str | None
    states: Mapping[tuple[str, int], TileYearState]
    blocked: Mapping[int, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Exit code of `agcarbon status`: 0 done, 1 missing or stale tile-years, 3 failed ones, 4 unknown."""
        count = self.count()
        if self.inputs is None:
            return 4
        if count[Status.FAILED]:
            return 3
        return int(bool(self.blocked) or count[Status.DONE] < count.total())

    def count(self, year: int | None = None) -> Counter[Status]:
        """Number of tile-years by status, of one year or of all."""
        return Counter(state.status for (_, of), state in self.states.items() if year in (None, of))


def read_status(job: Job) -> TileYearStatus:
    """Compare the cube with the current inputs, weights and code, or report the ledger alone where that is impossible.

    Raises
    ------
    UserError
        If the cube was made for something else than the run file.
    """
    years = job.known_years()
    snapshot = repository.tip(job.open_cube()) if job.has_cube else None
    notes = () if job.has_cube else (f"no cube yet at {job.stores.cube}: `agcarbon run {job.path}` creates it",)
    try:
        view = open_pinned_inputs(job)
        plan = plan_run(job, view, years=years)
    except (UserError, CheckpointError) as error:
        # Inputs or weights may not exist yet, or no longer: the ledger still records what was computed.
        return TileYearStatus(years, snapshot, None, _recorded(job, years), {}, (*notes, str(error)))
    # Years that are not fully ingested have no fingerprint to compare with, but the cube may hold results of them.
    blocked = _recorded(job, tuple(plan.blocked))
    unchecked = {key: state for key, state in blocked.items() if state.status is Status.UNCHECKED}
    return TileYearStatus(years, snapshot, view.snapshot, {**plan.states, **unchecked}, plan.blocked, notes)


def _recorded(job: Job, years: Sequence[int]) -> dict[tuple[str, int], TileYearState]:
    """Return the status of tile-years as far as the ledger alone knows it."""
    root = repository.read(job.open_cube()) if job.has_cube else None
    tiles = layout.tiles(root) if root is not None else None
    if root is None or not tiles:
        return {}
    ledger = Ledger(root)
    names = [planned.tile.name for planned in tiles]
    return {(name, year): ledger.state(name, year, None) for name in names for year in years}


def status_table(found: TileYearStatus, *, title: str) -> Table:
    """Return the number of tile-years of each year by status, with the reasons why some are not done."""
    # A column of unchecked tile-years, which are rare, is shown only if there are any.
    shown = [status for status in Status if status is not Status.UNCHECKED or found.count()[status]]
    table = Table("year", *(status.value for status in shown), "reasons", title=f"Status: {title}")
    for year in found.years:
        count = found.count(year)
        reasons = _reasons(found, year)
        if year in found.blocked:
            reasons.append(f"not ingested up to that year: {', '.join(found.blocked[year])}")
        table.add_row(str(year), *(str(count[status] or "-") for status in shown), "; ".join(reasons))
    return table


def _reasons(found: TileYearStatus, year: int) -> list[str]:
    """Return the most frequent reasons of a year with their numbers, and the number of all others."""
    reasons = Counter(state.reason for (_, of), state in found.states.items() if of == year and state.reason)
    named = reasons.most_common(_MOST_REASONS)
    others = reasons.total() - sum(number for _, number in named)
    return [f"{number} {reason}" for reason, number in named] + ([f"{others} others"] if others else [])


def status_json(found: TileYearStatus, *, region: str, stores: StoreSettings) -> dict[str, Any]:
    """Return the status as JSON values.

    Its keys: `region`; `cube` with `store` and `snapshot` (null: no cube yet); `inputs` with `store` and the `snapshot`
    compared with (null: no comparison possible); `years`; `tiles`; `counts` of tile-years by status, and `by_year`;
    `open`, every tile-year that is not done with tile, year, status and reason; `blocked`, the products that keep a
    year from being run; `notes`, the reasons why parts of the status are unknown.
    """
    tiles = {tile for tile, _ in found.states}
    return {
        "region": region,
        "cube": {"store": stores.cube, "snapshot": found.snapshot},
        "inputs": {"store": stores.inputs, "snapshot": found.inputs},
        "years": list(found.years),
        "tiles": len(tiles),
        "counts": _counts(found.count()),
        "by_year": {str(year): _counts(found.count(year)) for year in found.years},
        "open": [
            {"tile": tile, "year": year, "status": state.status.value, "reason": state.reason}
            for (tile, year), state in found.states.items()
            if state.status is not Status.DONE
        ],
        "blocked": {str(year): list(products) for year, products in found.blocked.items()},
        "notes": list(found.notes),
    }


def _counts(count: Counter[Status]) -> dict[str, int]:
    return {status.value: count[status] for status in Status}
