"""`agcarbon run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pipeline.cli.options import AsJson, KeepStale, RunFilePath, Scheduler, Years

FromAudit: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="compute again the tile-years in the file of `agcarbon audit --rerun`, and all later years of their tiles"
    ),
]


def run(
    run_file: RunFilePath,
    years: Years = None,
    tile: Annotated[list[str] | None, typer.Option(help="compute this tile again, even if done; repeatable")] = None,
    keep_stale: KeepStale = False,
    from_audit: FromAudit = None,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Compute the tile-years that are missing, failed or stale."""
    from pipeline.audit.report import read_rerun
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.reach import check_scheduler
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.config import with_scheduler
    from pipeline.console import console, print_json, progress_bars
    from pipeline.errors import UserError
    from pipeline.job import Job
    from pipeline.run import year_step
    from pipeline.run.plan import Choice
    from pipeline.run.report import print_run
    from pipeline.run.run import run as run_job

    job = Job.open(run_file)
    job = job.with_execution(with_scheduler(job.execution, scheduler))
    if from_audit:
        if tile or years:
            raise UserError("--from-audit takes tiles and years from its file; leave out --tile and --years")
        first = read_rerun(from_audit)  # first year to compute again, by tile
        choice = Choice(frozenset(first), keep_stale, first)
        wanted = tuple(year for year in job.known_years() if year >= min(first.values()))
    else:
        choice, wanted = Choice(frozenset(tile or ()), keep_stale), job.years(years)
    check_scheduler(job.execution)
    if news := year_step.sentence(job):
        console.print(news)
    with (
        stop_on_signals() as stop,
        progress_bars(job.log_file("run")) as report,
        open_executor(job.execution, stop, devices=year_step.cuda_devices(job)) as executor,
    ):
        done = run_job(job, executor, years=wanted, choice=choice, progress=report)
    print_run(console, job, done)
    if as_json:
        print_json(done.as_json())
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)
