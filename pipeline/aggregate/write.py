"""Aggregation of a cube: the maps are written into it, and the tables beside the exports.

A year is aggregated once all its tiles have results, and again, band by band, where any of them changed. Workers
compute bands of years; each year is committed as its last band ends, together with its name in `sources` (see
`pipeline.aggregate.layout`). Whoever reads the cube in between, or after a process was killed, finds no year named
that is not complete, and the next call computes the other years only. The tables are made from the cube alone, in the
end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import icechunk
import pandas as pd
import zarr

from pipeline.aggregate import layout, memory, room, tables
from pipeline.aggregate.frame import Band, Frame, frame_of
from pipeline.cluster.dask import worker_memory
from pipeline.cluster.executor import Executor, until_fatal
from pipeline.cube import members
from pipeline.cube.layout import identity
from pipeline.cube.layout import tiles as planned_tiles
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer, committing
from pipeline.storage.retry import RetryPolicy, retried
from pipeline.years import spans
from regions import Region


@dataclass(frozen=True)
class AggregateReport:
    """Years that were aggregated, and the regional table.

    Attributes
    ----------
    done, kept
        Years aggregated now, and those that were up to date.
    incomplete
        Years left out since tiles are missing, with the number of these.
    failures
        Years that could not be aggregated, with the reasons.
    region
        The regional table of all aggregated years.
    disagreement
        Largest relative difference of a regional total by its routes, over the years done now.
    stopped
        Whether the aggregation ended early, because a stop was requested.
    """

    done: tuple[int, ...]
    kept: tuple[int, ...]
    incomplete: Mapping[int, int]
    failures: Mapping[int, str]
    region: pd.DataFrame
    disagreement: float
    stopped: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; docs/json.md lists their keys."""
        return {
            "done": self.done,
            "up_to_date": self.kept,
            "incomplete": self.incomplete,
            "failures": self.failures,
            "region": self.region.to_dict("records"),
            "disagreement": self.disagreement if self.done else None,
            "stopped": self.stopped,
        }


def aggregate_cube(
    job: Job,
    executor: Executor,
    *,
    years: Sequence[int] | None = None,
    again: bool = False,
    progress: Progress = silent,
) -> AggregateReport:
    """Aggregate the years of the cube that are complete and new or changed.

    Parameters
    ----------
    job
        The run file.
    executor
        Computes the bands.
    years
        Only these; all that the cube has if None.
    again
        Compute also what is up to date, to repair it; if that is all years, in new arrays.
    progress
        Called after each band of a year.

    Raises
    ------
    UserError
        If there is no cube, another process writes it, its storage fails, a year in `years` is incomplete, or a worker
        cannot hold the sums of all members.
    """
    policy, exports, frame = RetryPolicy(job.execution.retries), job.stores.exports, frame_of(job.region)
    with committing(job.stores.cube, job.open_cube, policy) as committer:
        choice = retried(lambda: _choose(committer, frame, years, again=again), policy)
        work = _Aggregation(committer, executor, Context(job.region, policy), exports)
        if choice.todo and not executor.stop.asked:
            root = store.read(committer.repository, snapshot=committer.base)
            retried(lambda: _check_memory(root, worker_memory(job.execution)), policy)
            work.run(choice, progress)
        root = store.read(committer.repository, snapshot=committer.base)
        region = retried(lambda: _write_tables(root, exports, frame), policy)
        routes = [retried(partial(layout.route_sums, root, year), policy) for year in work.done]
    return AggregateReport(
        done=tuple(sorted(work.done)),
        kept=choice.kept,
        incomplete=choice.incomplete,
        failures=work.failures,
        region=region,
        disagreement=max(map(tables.disagreement, routes), default=0.0),
        stopped=executor.stop.asked,
    )


def _check_memory(root: zarr.Group, limit: int | None) -> None:
    cells = max((planned.cells for planned in planned_tiles(root) or ()), default=0)
    memory.check(identity(root).grid.tile_cells, cells, members=members.count(root), limit=limit)


@dataclass(frozen=True)
class Context:
    """What is the same for all bands."""

    region: Region
    policy: RetryPolicy


@dataclass(frozen=True)
class BandTask:
    """A band and year to compute, the digest of the results that it is made of, and the fork to write it into."""

    year: int
    band: int
    made_of: str
    fork: icechunk.ForkSession


def aggregate_band(context: Context, task: BandTask) -> icechunk.ForkSession:
    """Compute a band of a year from the cube that the fork shows, write it into the fork, and return that.

    Reads and writes are tried again after transient errors; writing a part once more replaces the same chunks.
    """
    frame, policy = frame_of(context.region), context.policy
    band = frame.bands[task.band]
    root = retried(lambda: store.writable(task.fork), policy)
    results = layout.CubeYear(root, task.year, policy)
    digests = layout.BandDigests()
    for part in layout.band_parts(results, frame, band, first_year=identity(root).first_year):
        retried(partial(layout.write, root, part), policy)
        digests.add(part)
    retried(lambda: digests.write(root, task.year, band), policy)
    retried(lambda: layout.write_made_of(root, task.year, band, task.made_of), policy)
    return task.fork


@dataclass(frozen=True)
class _Choice:
    """What there is to do.

    Attributes
    ----------
    todo
        The bands to compute by year, each with the digest of its results.
    digests
        Digest of the results of each of these years.
    kept, incomplete
        Years that are up to date, and the number of tiles that others miss.
    anew
        Whether the arrays are made anew.
    """

    todo: Mapping[int, Mapping[Band, str]]
    digests: Mapping[int, str]
    kept: tuple[int, ...]
    incomplete: Mapping[int, int]
    anew: bool = False


def _choose(committer: Committer, frame: Frame, years: Sequence[int] | None, *, again: bool) -> _Choice:
    """Compare the ledger with the aggregates; raises `UserError` if a year of `years` is incomplete."""
    # At the committer's base: results that someone commits after it are not aggregated, and the commit is refused.
    root = store.read(committer.repository, snapshot=committer.base)
    known = Ledger(root) if "ledger" in root else None
    missing = _missing_tiles(known) if known else {}
    for year in years or ():
        if missing.get(year, 1):  # a year that the ledger does not have has no results at all
            count = f"{missing[year]} of its tiles have" if year in missing else "all of its tiles have"
            raise UserError(f"{year}: {count} no result in the cube; run `agcarbon run --years {year}` first")
    if not known:
        return _Choice({}, {}, (), {})
    wanted = [year for year in known.years if years is None or year in years]
    anew = layout.outdated(root)
    made_of = {year: [] if again or anew else layout.made_of(root, year) for year in wanted}
    bands = {year: _changed_bands(known, frame, year, made_of[year]) for year in wanted if not missing[year]}
    todo = {year: changed for year, changed in bands.items() if changed}
    return _Choice(
        todo=todo,
        digests={year: known.year_digest(year) for year in todo},
        kept=tuple(year for year in bands if year not in todo),
        incomplete={year: missing[year] for year in wanted if missing[year]},
        anew=anew or (again and years is None),
    )


def _missing_tiles(known: Ledger) -> dict[int, int]:
    """Return the number of tiles without a result by year."""
    # The checksum of a tile-year without a result is still zero.
    without_result = ~known.column("checksum").any(axis=-1)
    return dict(zip(known.years, without_result.sum(axis=1).tolist(), strict=True))


def _changed_bands(known: Ledger, frame: Frame, year: int, made_of: Sequence[str]) -> dict[Band, str]:
    """Return the bands whose results are not those that their aggregates were computed from, with their digests."""
    digests = {band: known.tiles_digest(year, [tile.name for tile in band.tiles]) for band in frame.bands}
    return {band: digest for band, digest in digests.items() if not made_of or made_of[band.number] != digest}


def _write_tables(root: zarr.Group, exports: str, frame: Frame) -> pd.DataFrame:
    """Write the tables of all years that the cube has aggregates of, and return that of the region."""
    years = () if layout.outdated(root) else sorted(layout.sources(root))
    if years:
        made = {
            year: tables.YearSums(
                layout.county_sums(root, year), layout.route_sums(root, year), layout.monthly_county_sums(root, year)
            )
            for year in years
        }
        tables.write(exports, made, zones=frame.zones)
    return tables.read_table(exports, "region")


@dataclass
class _Aggregation:
    """The aggregation of some years: `done` are committed, `failures` are the reasons why others are not."""

    committer: Committer
    executor: Executor
    context: Context
    exports: str
    done: list[int] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)

    def run(self, choice: _Choice, progress: Progress) -> None:
        """Compute all bands, and commit each year when its last one ends."""
        frame, years = frame_of(self.context.region), list(choice.todo)
        # Structure first and by itself: forks cannot be merged into a session that made or resized their arrays.
        self.committer.commit(
            f"make room for aggregates of {spans(years)}",
            lambda root: room.make_room(root, frame, years, anew=choice.anew),
            years=years,
        )
        outcomes = self.executor.map(partial(aggregate_band, self.context), self._tasks(choice))
        forks: defaultdict[int, list[icechunk.ForkSession]] = defaultdict(list)
        total = sum(map(len, choice.todo.values()))
        for ended, outcome in enumerate(until_fatal(outcomes, self.committer.place), start=1):
            year = outcome.item.year
            if outcome.result is None:
                self.failures[year] = outcome.error or "unknown error"
            else:
                forks[year].append(outcome.result)
            if len(forks[year]) == len(choice.todo[year]):
                self._commit(year, choice.digests[year], forks.pop(year))
            progress("aggregates", ended, total)

    def _tasks(self, choice: _Choice) -> Iterator[BandTask]:
        # All forks come from one session: they merge into later ones as long as their arrays keep their shape.
        base = retried(lambda: self.committer.repository.writable_session(store.BRANCH), self.context.policy)
        for year, bands in choice.todo.items():
            # The largest first, so that the last workers end at about the same time.
            for band in sorted(bands, key=lambda band: -len(band.tiles)):
                if year not in self.failures:  # drawn lazily: the rest of a year that has failed is left out
                    yield BandTask(year, band.number, bands[band], base.fork())

    def _commit(self, year: int, digest: str, forks: Sequence[icechunk.ForkSession]) -> None:
        # A table that still had the old rows after the commit would contradict it, if this process were killed.
        tables.remove_year(self.exports, year)
        self.committer.commit(
            f"aggregates of {year}", partial(layout.record_sources, digests={year: digest}), forks=forks, years=[year]
        )
        self.done.append(year)
