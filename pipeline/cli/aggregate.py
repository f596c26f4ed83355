"""`agcarbon aggregate`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath


def aggregate(
    run_file: RunFilePath,
    years: Annotated[str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; default: all complete years")] = None,
) -> None:
    """Aggregate the cube to counties, to 0.0025 and 0.5 degree, and to the region."""
    from pipeline.aggregate.report import print_aggregates
    from pipeline.aggregate.write import aggregate_cube
    from pipeline.console import console, progress_bars
    from pipeline.job import Job

    job = Job.open(run_file)
    with progress_bars(job.log_file("aggregate")) as report:
        done = aggregate_cube(job, years=job.years(years) if years else None, progress=report)
    print_aggregates(console, job, done)
