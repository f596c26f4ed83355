"""What an ingest did to a cube: the tile-years that were done and that read something else now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.cube.ledger import Status
from pipeline.errors import UserError
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.prepare import plan_run
from pipeline.storage import repository
from pipeline.years import spans


@dataclass(frozen=True)
class MadeStale:
    """Years by tile that became stale, and the tile-years that were done before."""

    years_by_tile: dict[str, tuple[int, ...]]
    done_before: int

    @property
    def count(self) -> int:
        """Number of tile-years."""
        return sum(len(years) for years in self.years_by_tile.values())

    def sentences(self, most: int = 8) -> Iterator[str]:
        """Say how many tile-years of the cube are stale, and which; `most` tiles are named."""
        if not self.count:
            yield f"cube: none of its {self.done_before:,} finished tile-years reads anything that changed"
            return
        yield (
            f"cube: {self.count:,} of {self.done_before:,} finished tile-years became stale in "
            f"{len(self.years_by_tile):,} tiles; `agcarbon run` computes them again"
        )
        for tile, years in list(self.years_by_tile.items())[:most]:
            yield f"  {tile}: {spans(years)}"
        if len(self.years_by_tile) > most:
            yield f"  and {len(self.years_by_tile) - most:,} more tiles: `agcarbon status`"


def done_tile_years(job: Job) -> frozenset[tuple[str, int]]:
    """Return tile name and year of all that the cube holds up to date with the inputs store of now.

    None where no run could be planned: without either store, with an inputs store that lacks a product, with a cube of
    another region. `agcarbon run` says why; it must not keep an ingest from mending it.
    """
    location, inputs = job.run_file.stores.cube, job.run_file.stores.inputs
    if not (repository.exists(location) and repository.exists(inputs)):
        return frozenset()
    try:
        plan = plan_run(job, open_inputs(inputs), years=job.known_years())
    except UserError:
        return frozenset()
    return frozenset(key for key, state in plan.states.items() if state.status is Status.DONE)


def made_stale(job: Job, *, before: frozenset[tuple[str, int]]) -> MadeStale:
    """Compare what was done before an ingest with what is done after it."""
    years: defaultdict[str, list[int]] = defaultdict(list)
    for tile, year in sorted(before - done_tile_years(job)):
        years[tile].append(year)
    return MadeStale({tile: tuple(of_tile) for tile, of_tile in years.items()}, len(before))
