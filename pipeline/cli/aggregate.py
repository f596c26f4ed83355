"""`agcarbon aggregate`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import AsJson, RunFilePath, Scheduler


def aggregate(
    run_file: RunFilePath,
    years: Annotated[str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; default: all complete years")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="also years that are up to date, to repair what is damaged in the cube")
    ] = False,
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Aggregate the cube to counties, states and coarser grids.

    Grids are of 0.0025, 0.05 and 0.5 degree; the region is a row of its own. Computes the years that are new or changed
    on the workers of the run file, and commits each as it ends.
    """
    from pipeline.aggregate.report import print_aggregates
    from pipeline.aggregate.write import aggregate_cube
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.console import console, print_json, progress_bars
    from pipeline.job import Job

    job = Job.open(run_file)
    wanted = job.years(years) if years else None
    settings = job.execution.model_copy(update={"scheduler": scheduler} if scheduler else {})
    log = job.log_file("aggregate")
    with stop_on_signals() as stop, progress_bars(log) as report, open_executor(settings, stop) as executor:
        done = aggregate_cube(job, executor, years=wanted, again=again, progress=report)
    print_aggregates(console, job, done)
    if as_json:
        print_json(done.as_json())
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)
