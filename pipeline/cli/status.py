"""`agcarbon status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, RunFilePath


def status(
    run_file: RunFilePath,
    as_json: AsJson = False,
    figure: Annotated[
        Path | None, typer.Option(help="write a figure (PNG) with a map of the tiles for each year")
    ] = None,
) -> None:
    """Show the status of the tile-years, with reasons.

    The exit code distinguishes the work that is left, for scripts and cron jobs.
    """
    from pipeline.access.tables import format_of
    from pipeline.console import console, print_json
    from pipeline.cube.entry import Status
    from pipeline.job import Job
    from pipeline.run.status import read_status, status_json, status_table
    from pipeline.run.status_figure import write_figure

    if figure:
        format_of(str(figure), formats=(".png",), option="--figure")
    job = Job.open(run_file)
    found = read_status(job)
    if as_json:
        print_json(status_json(found, region=job.region.name, stores=job.stores))
    else:
        console.print(status_table(found, title=job.region.title))
        for note in found.notes:
            console.print(note)
        console.print(f"{found.count()[Status.DONE]:,} of {found.count().total():,} tile-years are done")
    if figure:
        write_figure(job, found, figure)
    raise typer.Exit(found.exit_code)
