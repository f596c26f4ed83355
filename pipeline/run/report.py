"""Plans and runs as tables and sentences."""

from __future__ import annotations

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from pipeline.cluster.dask import worker_memory
from pipeline.cube.ledger import Status
from pipeline.job import Job
from pipeline.run.estimate import Estimate
from pipeline.run.plan import Plan
from pipeline.run.run import RunReport
from pipeline.years import spans

_COMPARED = (Status.DONE, Status.STALE, Status.FAILED, Status.MISSING)


def plan_table(job: Job, plan: Plan, cost: Estimate) -> Table:
    """What a run would do and cost."""
    table = Table(title=f"Plan: {job.region.title}", show_header=False)
    cells = sum(planned.cells for planned in plan.tiles)
    table.add_row("tiles", f"{len(plan.tiles)} of {job.grid.tile_cells} x {job.grid.tile_cells} cells")
    table.add_row("modelled cells", f"{cells:,}")
    table.add_row("years", spans(plan.years))
    table.add_row("tile-years", ", ".join(f"{plan.count(status)} {status.value}" for status in _COMPARED))
    for year, products in plan.blocked.items():
        table.add_row(f"{year} waits", f"not ingested up to that year: {', '.join(products)}")
    for year, count in plan.kept_stale.items():
        table.add_row(f"{year} kept", f"{count} stale tile-years stay as they are")
    table.add_row("to compute", f"{plan.cell_years:,} cell-years, spin-up included")
    table.add_row("reads, writes", f"{decimal(cost.bytes_read)}, {decimal(cost.bytes_written)} before compression")
    table.add_row("restart data", f"{decimal(cost.restart_bytes)}, for {spans(plan.restart_years) or 'no year'}")
    limit = worker_memory(job.run_file.execution)
    allowed = "of which the limit is the scheduler's" if limit is None else f"limit {decimal(limit)}"
    table.add_row("memory of a worker", f"{decimal(cost.worker_bytes)} projected, {allowed}")
    rate = f"{cost.rate.cell_years_per_second:,.0f} cell-years/s per worker ({cost.rate.source})"
    table.add_row("time", f"{cost.hours:.2f} h on {cost.workers} workers at {rate}")
    return table


def print_run(console: Console, job: Job, report: RunReport) -> None:
    """Say what a run did and what it left undone."""
    planned = {(block.tile.name, year) for chain in report.plan.chains for block in chain for year in block.years}
    kept = report.plan.kept_stale
    already = len(report.plan.states) - len(planned) - sum(kept.values())
    console.print(
        f"{report.tally.tile_years} tile-years computed in {report.seconds:.1f} s, {already} were done already"
    )
    if kept:
        listed = ", ".join(f"{count} of {year}" for year, count in kept.items())
        console.print(f"kept stale: {listed}; bring them up to date: agcarbon run {job.path}")
    for year, products in report.plan.blocked.items():
        console.print(f"{year} waits: not ingested up to that year: {', '.join(products)}")
    if report.tally.tile_years:
        residual, missing = report.tally.mean_residual, report.tally.missing_cell_years
        console.print(f"carbon balance: mean |ra + rh - gpp - nee| = {residual:.3f} g C m-2 d-1")
        console.print(f"cell-years without a result, for missing inputs: {missing}")
    for (tile, year), message in report.failures.items():
        console.print(f"failed: {tile} {year}: {message}; redo: agcarbon run {job.path} --tile {tile}")
    if report.stopped:
        console.print(f"stopped early: what is computed is committed; go on: agcarbon run {job.path}")
