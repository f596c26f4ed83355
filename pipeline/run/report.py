"""Plans and runs as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from pipeline.cluster.dask import worker_memory
from pipeline.cube.ledger import Status
from pipeline.job import Job
from pipeline.run.estimate import Estimate
from pipeline.run.plan import Plan, blocked_spans
from pipeline.run.run import RunReport
from pipeline.simulate.extrapolation import NO_RANGES
from pipeline.years import spans

_COMPARED = (Status.DONE, Status.STALE, Status.FAILED, Status.MISSING)


def plan_table(job: Job, plan: Plan, cost: Estimate) -> Table:
    """Return a table of the work and the cost of a run."""
    table = Table(title=f"Plan: {job.region.title}", show_header=False)
    cells, edge = sum(planned.cells for planned in plan.tiles), job.grid.tile_cells
    table.add_row("tiles", f"{len(plan.tiles)} of {edge} x {edge} cells")
    table.add_row("modelled cells", f"{cells:,}")
    table.add_row("years", spans(plan.years))
    table.add_row("tile-years now", ", ".join(f"{plan.count(status)} {status.value}" for status in _COMPARED))
    for years, products in blocked_spans(plan.blocked):
        table.add_row("blocked years", f"{years}, not ingested up to them: {products}")
    for year, count in plan.kept_stale.items():
        table.add_row(f"{year} is kept", f"{count} stale tile-years are left as they are")
    table.add_row("to compute", f"{plan.cell_years:,} cell-years, including the spin-up")
    table.add_row("data read", f"{decimal(cost.bytes_read)} before compression")
    table.add_row("data written", f"{decimal(cost.bytes_written)} before compression")
    kept = spans(plan.restart_years) or "no year"
    table.add_row("carried states", f"{decimal(cost.restart_bytes)} of it, at the end of {kept}")
    limit = worker_memory(job.execution)
    allowed = "its limit is set by the scheduler" if limit is None else f"its limit is {decimal(limit)}"
    table.add_row("memory of a worker", f"{decimal(cost.worker_bytes)} projected, {allowed}")
    rate = f"{cost.rate.cell_years_per_second:,.0f} cell-years/s per worker ({cost.rate.source})"
    known = math.isfinite(cost.hours)
    table.add_row("time", f"{cost.hours:.2f} h on {cost.workers} workers at {rate}" if known else cost.rate.source)
    return table


def print_run(console: Console, job: Job, report: RunReport) -> None:
    """Print what a run computed and what it left undone."""
    for sentence in _sentences(report, again=f"agcarbon run {job.path}"):
        console.print(sentence)
    if report.totals.tile_years and not job.checkpoint.has_ranges:
        console.print(f"quality: {NO_RANGES}")


def _sentences(report: RunReport, *, again: str) -> Iterator[str]:
    plan, totals = report.plan, report.totals
    before = len(plan.states) - len(plan.computed) - sum(plan.kept_stale.values())
    yield f"{totals.tile_years} tile-years computed in {report.seconds:.1f} s, {before} were up to date before"
    if plan.kept_stale:
        listed = ", ".join(f"{count} of {year}" for year, count in plan.kept_stale.items())
        yield f"stale tile-years left as they are: {listed}; to bring them up to date: {again}"
    for years, products in blocked_spans(plan.blocked):
        yield f"blocked years: {years}, not ingested up to them: {products}"
    if totals.tile_years:
        yield f"carbon balance: mean |ra + rh - gpp - nee| = {totals.mean_residual:.3f} g C m-2 d-1"
        yield f"cell-years without a result, because inputs are missing: {totals.missing_cell_years}"
    for (tile, year), message in report.failures.items():
        yield f"failed: tile {tile} in {year}: {message}; to compute it again: {again} --tile {tile}"
    if report.stopped:
        yield f"stopped early; everything computed so far is committed; to resume: {again}"
