"""The audit: every tile-year that the ledger records is read from the cube and checked.

It reads one snapshot and changes nothing. Tiles are independent tasks, whose results are a few numbers a year; steps
at borders are compared once all tiles are there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import numpy as np
import zarr
from numpy.typing import NDArray

from model.checkpoint import CheckpointError
from pipeline.aggregate.sums import Sums
from pipeline.aggregate.tables import county_table, read_table, state_table
from pipeline.audit.aggregates import audit_band, band_tasks, comparable_years, table_difference
from pipeline.audit.checks import AGGREGATES, COORDINATES, READING, Measured
from pipeline.audit.reading import recorded_rows
from pipeline.audit.report import AuditReport
from pipeline.audit.seams import Steps, compare_borders, next_tiles
from pipeline.audit.tile import Snapshots, TileDone, TileTask, audit_tile
from pipeline.audit.totals import measured as measured_totals
from pipeline.cluster.executor import Executor
from pipeline.cube import layout
from pipeline.cube.entry import Row, Status
from pipeline.cube.history import resolve
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.fingerprints import Science
from pipeline.run.prepare import science_of, yearly_products
from pipeline.storage import repository as store
from pipeline.years import spans
from regions import Region, zones

_SEED = 0  # a sample is the same each time, so that a failure can be reproduced


@dataclass(frozen=True)
class Scope:
    """Part of the cube to audit; by default all tile-years that the ledger records.

    Attributes
    ----------
    years, tiles
        Only these; all if None.
    sample
        Number of tile-years drawn from them at random, the same ones each time; all if None.
    at
        Release or snapshot of the cube to audit; its newest state if None.
    """

    years: frozenset[int] | None = None
    tiles: frozenset[str] | None = None
    sample: int | None = None
    at: str | None = None


def audit(job: Job, executor: Executor, *, scope: Scope | None = None, progress: Progress = silent) -> AuditReport:
    """Audit the cube of a run file.

    Raises
    ------
    UserError
        If there is no cube, it was never in the state named, or a tile of `scope` has no modelled cells.
    """
    scope = scope or Scope()
    repository = job.open_cube()
    snapshot = resolve(repository, scope.at) if scope.at else store.tip(repository)
    report = AuditReport(job.stores.cube, snapshot)
    root = store.read(repository, snapshot=report.snapshot)
    if "ledger" not in root:
        return report
    known = Ledger(root)
    snapshots = _snapshots(job, report.snapshot, last=max(known.years, default=0))
    tasks = _tile_tasks(root, known, scope)
    _audit_tiles(report, executor, snapshots, tasks, progress)
    for cause in store.damaged_small_arrays(root).values() or ("",):
        report.add("", layout.identity(root).first_year, Measured(COORDINATES, float(bool(cause)), 1, cause))
    if report.tile_years:
        years = _aggregated_years(report, root, known, scope)
        counties = _audit_aggregates(report, executor, snapshots, region=job.region, years=years)
        if scope.at is None:
            _audit_counties(report, job, counties)
        else:
            report.notes.append("counties: not measured, since the tables belong to the newest state of the cube")
    return report


def _aggregated_years(report: AuditReport, root: zarr.Group, known: Ledger, scope: Scope) -> tuple[int, ...]:
    """Return the years whose aggregates can be compared; note why the others cannot."""
    if scope.tiles is not None or scope.sample is not None:
        report.notes.append("aggregates: not measured, since they need all tiles")
        return ()
    wanted = [year for year in known.years if scope.years is None or year in scope.years]
    # Aggregates of other results must differ, which would say nothing about damage.
    years = comparable_years(root, {year: known.year_digest(year) for year in wanted})
    if left := sorted(set(wanted) - set(years)):
        report.notes.append(
            f"aggregates of {spans(left)}: not measured, since they are absent or older than the results"
        )
    return years


def _snapshots(job: Job, cube_snapshot: str, *, last: int) -> Snapshots:
    location, region = job.stores.inputs, job.region
    view = open_inputs(location) if store.exists(location) else None
    return Snapshots(
        cube=job.stores.cube,
        cube_snapshot=cube_snapshot,
        inputs=location if view else None,
        inputs_snapshot=view.snapshot if view else None,
        years=_chain(job, view, last) if view else (),
        spin_up=region.spinup_years,
        science=_science(job),
    )


def _chain(job: Job, view: InputsView, last: int) -> tuple[int, ...]:
    """Return the years from the first that are ingested without a gap; none without spin-up years or soil."""
    ingested = frozenset.intersection(*(view.ingested(product) for product in yearly_products(job)))
    # Fingerprints are of all inputs up to a year: none can be made beyond a gap, or without soil and spin-up years.
    if not view.has_soil or not set(job.region.spinup_years) <= ingested:
        return ()
    return tuple(takewhile(ingested.__contains__, range(job.region.first_year, last + 1)))


def _science(job: Job) -> Science | None:
    """Return today's science; None without its checkpoint, which is needed only to find stale tile-years."""
    try:
        return science_of(job)
    except (CheckpointError, OSError):
        return None


def _tile_tasks(root: zarr.Group, known: Ledger, scope: Scope) -> list[TileTask]:
    tiles = {planned.tile.name: planned for planned in layout.tiles(root) or ()}
    if unknown := (scope.tiles or frozenset()) - tiles.keys():
        raise UserError(f"tile {', '.join(sorted(unknown))} has no modelled cells in this cube; see `agcarbon plan`")
    rows = {name: recorded_rows(known, name) for name in tiles}
    recorded = {year for of_tile in rows.values() for year in of_tile}
    if unrecorded := (scope.years or frozenset()) - recorded:
        raise UserError(
            f"--years {spans(sorted(unrecorded))}: nothing is recorded of them; years with tile-years in the ledger: "
            f"{spans(sorted(recorded)) or 'none'}"
        )
    chosen = _chosen(rows, scope)
    years = {planned.tile: frozenset(rows[name]) for name, planned in tiles.items()}
    grid = layout.identity(root).grid
    return [
        TileTask(
            planned,
            rows=tuple(row for year, row in rows[name].items() if (name, year) in chosen),
            recorded=frozenset(rows[name]),
            beside={tile: years[tile] for tile in next_tiles(planned.tile, grid) if tile in years},
        )
        for name, planned in tiles.items()
        if any((name, year) in chosen for year in rows[name])
    ]


def _chosen(rows: dict[str, dict[int, Row]], scope: Scope) -> frozenset[tuple[str, int]]:
    """Return the tile-years to audit, by tile and year."""
    # In a fixed order, so that a sample depends only on which tile-years there are.
    possible = [
        (tile, year)
        for tile, of_tile in sorted(rows.items())
        for year in of_tile
        if (scope.tiles is None or tile in scope.tiles) and (scope.years is None or year in scope.years)
    ]
    if scope.sample is None or scope.sample >= len(possible):
        return frozenset(possible)
    return frozenset(random.Random(_SEED).sample(possible, scope.sample))


def _audit_tiles(
    report: AuditReport, executor: Executor, snapshots: Snapshots, tasks: list[TileTask], progress: Progress
) -> None:
    steps: list[Steps] = []
    total = sum(len(task.rows) for task in tasks)
    for outcome in executor.map(partial(audit_tile, snapshots), tasks):
        if outcome.result is None:  # no year of the tile could be audited
            unread = Measured(READING, 1, 1, outcome.error or "unknown error")
            for row in outcome.item.rows:
                report.add(row.tile, row.year, unread)
        else:
            _add_tile(report, outcome.result)
            steps += [of_year.steps for of_year in outcome.result.years if of_year.steps]
        report.tile_years += len(outcome.item.rows)
        progress("tile-years", report.tile_years, total, len({(one.tile, one.year) for one in report.failures}))
    for tile, year, measured in compare_borders(steps):
        report.add(tile, year, measured)


def _add_tile(report: AuditReport, done: TileDone) -> None:
    report.stock += done.stock
    for of_year in done.years:
        report.stale += of_year.state is Status.STALE
        report.unknown += of_year.state is None
        for measured in of_year.measured:
            report.add(done.tile, of_year.year, measured)


def _audit_aggregates(
    report: AuditReport, executor: Executor, snapshots: Snapshots, *, region: Region, years: Sequence[int]
) -> dict[int, Sums]:
    """Compute the aggregates of these years again; return the sums over the region's counties by year.

    A band that cannot be computed is a failure, and the counties in it then differ as well.
    """
    counties: dict[int, Sums] = {}
    totals: dict[int, NDArray[np.float64]] = {}
    for outcome in executor.map(partial(audit_band, snapshots), band_tasks(region, tuple(years))):
        if outcome.result is None:
            failed = Measured(AGGREGATES, float("inf"), 1, outcome.error or "unknown error")
            for year in years:
                report.add("", year, failed)
            continue
        for compared in outcome.result:
            report.add("", compared.year, compared.measured)
            if compared.counties is not None:
                for county, layers in compared.counties.items():
                    none = Sums(np.zeros((*layers.shape, len(zones(region)))))
                    counties.setdefault(compared.year, none).layers[..., county] += layers
            if compared.totals is not None:
                totals[compared.year] = totals.get(compared.year, 0.0) + compared.totals
    for year, of_year in totals.items():
        report.add("", year, measured_totals(of_year))
    return counties


def _audit_counties(report: AuditReport, job: Job, counties: Mapping[int, Sums]) -> None:
    """Compare the tables of counties and states beside the exports, which may have been removed."""
    for name, of_sums in (("counties", county_table), ("states", state_table)):
        table = read_table(job.stores.exports, name)
        for year, sums in counties.items():
            if table.empty or not (table["year"] == year).any():
                report.notes.append(f"{name} of {year}: not measured, since {name}.csv does not have that year")
            else:
                report.add("", year, table_difference(name, of_sums(sums, zones(job.region), year=year), table))
