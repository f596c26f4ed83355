"""The effect of an ingest on a cube: tile-years that were done and whose inputs have changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.cube.entry import Status
from pipeline.errors import UserError
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.prepare import plan_run
from pipeline.storage import repository
from pipeline.years import spans


@dataclass(frozen=True)
class NewlyStale:
    """Tile-years that an ingest made stale.

    Attributes
    ----------
    years_by_tile
        Their years by tile name.
    done_before
        Number of tile-years that were done before the ingest.
    """

    years_by_tile: dict[str, tuple[int, ...]]
    done_before: int

    @property
    def count(self) -> int:
        """Number of tile-years."""
        return sum(len(years) for years in self.years_by_tile.values())

    def sentences(self, most: int = 8) -> Iterator[str]:
        """Report how many tile-years of the cube became stale, and which, with the years of at most `most` tiles."""
        if not self.count:
            yield f"cube: no input of its {self.done_before:,} finished tile-years has changed"
            return
        yield (
            f"cube: {self.count:,} of {self.done_before:,} finished tile-years became stale in "
            f"{len(self.years_by_tile):,} tiles; `agcarbon run` computes them again"
        )
        for tile, years in list(self.years_by_tile.items())[:most]:
            yield f"  {tile}: {spans(years)}"
        if len(self.years_by_tile) > most:
            yield f"  and {len(self.years_by_tile) - most:,} more tiles: see `agcarbon status`"


def done_tile_years(job: Job) -> frozenset[tuple[str, int]]:
    """Return tile name and year of all results that are up to date with the current inputs store.

    None if no run can be planned: without one of the stores, with an incomplete inputs store, with a cube of another
    region. `agcarbon run` reports these; here they must not keep an ingest from completing the inputs.
    """
    if not (job.has_cube and repository.exists(job.stores.inputs)):
        return frozenset()
    try:
        plan = plan_run(job, open_inputs(job.stores.inputs), years=job.known_years())
    except UserError:
        return frozenset()
    return frozenset(key for key, state in plan.states.items() if state.status is Status.DONE)


def newly_stale(job: Job, *, before: frozenset[tuple[str, int]]) -> NewlyStale:
    """Return the tile-years that were done before an ingest and are no longer after it."""
    years: defaultdict[str, list[int]] = defaultdict(list)
    for tile, year in sorted(before - done_tile_years(job)):
        years[tile].append(year)
    return NewlyStale({tile: tuple(of_tile) for tile, of_tile in years.items()}, len(before))
