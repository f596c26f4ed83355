"""Runs as sentences."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from pipeline.console import print_error
from pipeline.job import Job
from pipeline.run.plan import blocked_spans
from pipeline.run.run import RunReport
from pipeline.simulate.extrapolation import NO_RANGES


def print_run(console: Console, job: Job, report: RunReport) -> None:
    """Print what a run computed and what it left undone."""
    again = f"agcarbon run {job.path}"
    if report.totals.tile_years and not job.checkpoint.has_ranges:
        console.print(f"quality: {NO_RANGES}")
    for sentence in _sentences(report, again=again):
        console.print(sentence)
    for (tile, year), message in report.failures.items():
        print_error(f"failed: tile {tile} in {year}: {message}; to compute it again: {again} --tile {tile}")


def _sentences(report: RunReport, *, again: str) -> Iterator[str]:
    plan, totals = report.plan, report.totals
    if plan.kept_stale:
        listed = ", ".join(f"{count} of {year}" for year, count in plan.kept_stale.items())
        yield f"stale tile-years left as they are: {listed}; to bring them up to date: {again}"
    for years, products in blocked_spans(plan.blocked):
        yield f"blocked years: {years}, not ingested up to them: {products}"
    if totals.tile_years:
        yield f"carbon balance: mean |ra + rh - gpp - nee| = {totals.mean_residual:.3f} g C m-2 d-1"
        yield f"cell-years without a result, because inputs are missing: {totals.missing_cell_years}"
    done = f"{totals.tile_years} tile-years computed in {report.seconds:.1f} s"
    yield f"{done}, {report.up_to_date} were up to date before"
    if report.stopped:
        yield f"stopped early; everything computed so far is committed; to resume: {again}"
