"""Aggregation of a cube: the maps are written into it, and the tables beside the exports.

A year is aggregated once all its tiles have results, and again when any of them changed. A call makes up to two
commits: the structure that is missing, and then all data of its years together with their names in `sources` (see
`pipeline.aggregate.layout`). Whoever reads the cube between the two, or after a process was killed there, finds no
year named that is not complete. The tables follow the second commit, since they must never be ahead of the cube.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

import pandas as pd
import zarr

from pipeline.aggregate import layout, tables
from pipeline.aggregate.bands import Frame, aggregate_annual, aggregate_daily
from pipeline.aggregate.layout import annual_parts, daily_parts
from pipeline.aggregate.sums import Layers, Sums
from pipeline.cube.layout import identity
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.storage import cf
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer, committing
from pipeline.storage.retry import RetryPolicy, retried
from regions import zones

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class AggregateReport:
    """Years that were aggregated, and the regional table.

    Attributes
    ----------
    done, kept
        Years aggregated now, and those that were up to date.
    incomplete
        Years left out since tiles are missing, with the number of these.
    region
        The regional table of all aggregated years.
    disagreement
        Largest relative difference of a regional total by its four routes, over the years done now.
    """

    done: tuple[int, ...]
    kept: tuple[int, ...]
    incomplete: Mapping[int, int]
    region: pd.DataFrame
    disagreement: float


def aggregate_cube(job: Job, *, years: Sequence[int] | None = None, progress: Progress = silent) -> AggregateReport:
    """Aggregate the years of the cube that are complete and new or changed.

    Parameters
    ----------
    job
        The run file.
    years
        Only these; all that the cube has if None.
    progress
        Called after each band and year.

    Raises
    ------
    UserError
        If there is no cube, another process writes it, its storage fails, or a year in `years` is incomplete.
    """
    stores, policy = job.stores, RetryPolicy(job.execution.retries)
    with committing(stores.cube, job.open_cube, policy) as committer:
        choice = retried(lambda: _choose(committer, stores.exports, years), policy)
        routes: dict[int, Sums] = {}
        if choice.digests:
            frame = Frame.of(job.domain, zones(job.region))
            routes = _Aggregation(committer, frame, progress).run(choice.digests, stores.exports)
    worst = max(map(tables.disagreement, routes.values()), default=0.0)
    region = tables.read_table(stores.exports, "region")
    return AggregateReport(tuple(choice.digests), choice.kept, choice.incomplete, region, worst)


@dataclass(frozen=True)
class _Choice:
    """Years to aggregate, each with the digest of its results; years that are up to date; tiles that others miss."""

    digests: Mapping[int, str]
    kept: tuple[int, ...]
    incomplete: Mapping[int, int]


def _choose(committer: Committer, exports: str, years: Sequence[int] | None) -> _Choice:
    """Compare the ledger with the aggregates; raises `UserError` if a year of `years` is incomplete."""
    # At the committer's base: results that someone commits after it are not aggregated, and the commit is refused.
    root = store.read(committer.repository, snapshot=committer.base)
    missing, digests = {}, {}
    if "ledger" in root:
        known = Ledger(root)
        # The checksum of a tile-year without a result is still zero.
        without_result = ~known.column("checksum").any(axis=-1)
        missing = dict(zip(known.years, without_result.sum(axis=1).tolist(), strict=True))
        digests = {year: known.year_digest(year) for year in known.years}
    for year in years or ():
        if missing.get(year, 1):  # a year that the ledger does not have has no results at all
            count = f"{missing[year]} of its tiles have" if year in missing else "none of its tiles has"
            raise UserError(f"{year}: {count} no result in the cube; run `agcarbon run --years {year}` first")
    wanted = [year for year in digests if years is None or year in years]
    complete = [year for year in wanted if not missing[year]]
    # Up to date: computed from the results that are there now, and in the tables, which the user may have removed.
    made_of = layout.sources(root)
    kept = tuple(year for year in complete if made_of.get(year) == digests[year] and tables.have_year(exports, year))
    todo = {year: digests[year] for year in complete if year not in kept}
    return _Choice(todo, kept, {year: missing[year] for year in wanted if missing[year]})


@dataclass(frozen=True)
class _Aggregation:
    """The aggregation of some years: reads the snapshot it began with, writes into a fork, commits once."""

    committer: Committer
    frame: Frame
    progress: Progress

    def run(self, digests: Mapping[int, str], exports: str) -> dict[int, Sums]:
        """Aggregate the years of `digests`; return the sums over the region by each of `tables.ROUTES`, by year."""
        committer, years = self.committer, list(digests)
        source = store.read(committer.repository, snapshot=committer.base)
        listed = ", ".join(str(year) for year in years)
        # Structure first and by itself: forks cannot be merged into a session that made or resized their arrays.
        committer.commit(
            f"make room for aggregates of {listed}",
            lambda root: layout.make_room(root, self.frame, years),
            years=years,
        )
        fork = committer.repository.writable_session(store.BRANCH).fork()
        target = store.writable(fork)
        counties, routes = self._annual(source, target, years)
        self._daily(source, target, years)
        # A table that still had the old rows after the commit would pass for up to date; one without them is remade.
        tables.remove_years(exports, years)
        committer.commit(
            f"aggregates of {listed}",
            lambda root: layout.record_sources(root, digests),
            forks=[fork],
            years=years,
        )
        tables.write_years(exports, counties=counties, routes=routes, zones=self.frame.zones)
        return routes

    def _annual(
        self, source: zarr.Group, target: zarr.Group, years: Sequence[int]
    ) -> tuple[dict[int, Sums], dict[int, Sums]]:
        """Write the annual arrays; return the sums over the counties, and over the region by each route, by year."""

        def read(tile: Tile, year: int) -> Layers:
            return self._again(layout.read_annual, source, tile, year)

        counties = {year: Sums.zero(len(self.frame.zones)) for year in years}
        routes = {year: Sums.zero(len(tables.ROUTES)) for year in years}
        steps, first_year = len(years) * sum(1 for _ in self.frame.bands()), identity(source).first_year
        for done, band in enumerate(aggregate_annual(read, self.frame, years=years), start=1):
            self._again(layout.write, target, tuple(annual_parts(band, self.frame, first_year=first_year)))
            counties[band.year] += band.counties
            routes[band.year] += band.routes
            self.progress("aggregates", done, steps)
        return counties, routes

    def _daily(self, source: zarr.Group, target: zarr.Group, years: Sequence[int]) -> None:
        for done, year in enumerate(years, start=1):
            read = partial(layout.read_days, source, year)
            sums = aggregate_daily(partial(self._again, read), self.frame, days=cf.days_in_year(year))
            self._again(layout.write, target, tuple(daily_parts(sums, year)))
            self.progress("daily at 0.5 degree", done, len(years))

    def _again(self, function: Callable[Given, Result], *args: Given.args, **options: Given.kwargs) -> Result:
        return retried(partial(function, *args, **options), self.committer.policy)
