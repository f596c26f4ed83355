"""`agcarbon run`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.options import KeepStale, RunFilePath, Years


def run(
    run_file: RunFilePath,
    years: Years = None,
    tile: Annotated[list[str] | None, typer.Option(help="redo this tile, done or not; may be repeated")] = None,
    keep_stale: KeepStale = False,
    scheduler: Annotated[str | None, typer.Option(help="local, serial, or a Dask scheduler's address")] = None,
) -> None:
    """Bring the cube up to date: only what is missing, failed or stale is computed."""
    from pipeline.commands.console import console, progress_bars
    from pipeline.execute import open_executor
    from pipeline.job import Job
    from pipeline.plan import Choice
    from pipeline.plan_report import print_run
    from pipeline.run import run as run_job
    from pipeline.stop import EXIT_CODE, stop_on_signals

    job = Job.open(run_file)
    settings = job.run_file.execution
    if scheduler:
        settings = settings.model_copy(update={"scheduler": scheduler})
    choice = Choice(frozenset(tile or ()), keep_stale)
    with stop_on_signals() as stop, progress_bars() as report, open_executor(settings, stop) as executor:
        done = run_job(job, executor, years=job.years(years), choice=choice, progress=report)
    print_run(console, job, done)
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)
