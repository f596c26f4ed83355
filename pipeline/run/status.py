"""What is known of every tile-year of a run file, as far as it can be known with what is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.checkpoint import CheckpointError
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger, Status, TileYearState
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.storage import repository


@dataclass(frozen=True)
class Standing:
    """State of the tile-years.

    Attributes
    ----------
    snapshot
        Of the cube, None if there is none.
    inputs
        Snapshot of the inputs store that the cube was compared with, None if it could not be.
    states
        By tile name and year; none where it is not known yet which tiles have modelled cells.
    blocked
        Products that lack a year, or one before it, by year.
    notes
        What keeps the rest from being known.
    """

    years: tuple[int, ...]
    snapshot: str | None
    inputs: str | None
    states: Mapping[tuple[str, int], TileYearState]
    blocked: Mapping[int, tuple[str, ...]]
    notes: tuple[str, ...]

    def count(self, year: int | None = None) -> Counter[Status]:
        """Number of tile-years by status, of one year or of all."""
        return Counter(state.status for (_, of), state in self.states.items() if year in (None, of))


def standing(job: Job) -> Standing:
    """Compare the cube with what a run would make now; where that cannot be told, say what the cube holds, and why.

    Raises
    ------
    UserError
        If the cube is of something else than the run file.
    """
    years = job.known_years()
    there = repository.exists(job.run_file.stores.cube)
    snapshot = repository.tip(job.open_cube()) if there else None
    notes = () if there else (f"no cube yet at {job.run_file.stores.cube}: `agcarbon run {job.path}` makes it",)
    try:
        view = open_pinned_inputs(job)
        plan = plan_run(job, view, years=years)
    except (UserError, CheckpointError) as error:
        # Inputs and weights may not be there yet, or any more: what was computed is in the ledger all the same.
        return Standing(years, snapshot, None, _recorded(job, years), {}, (*notes, str(error)))
    held = _recorded(job, tuple(plan.blocked))
    known = {key: state for key, state in held.items() if state.status is Status.UNCHECKED}
    return Standing(years, snapshot, view.snapshot, {**plan.states, **known}, plan.blocked, notes)


def _recorded(job: Job, years: Sequence[int]) -> dict[tuple[str, int], TileYearState]:
    """Return what the ledger alone says."""
    root = repository.read(job.open_cube()) if repository.exists(job.run_file.stores.cube) else None
    tiles = layout.tiles(root) if root is not None else None
    if root is None or not tiles:
        return {}
    ledger = Ledger(root)
    names = [planned.tile.name for planned in tiles]
    return {(name, year): ledger.state(name, year, None) for name in names for year in years}
