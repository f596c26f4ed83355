"""`agcarbon status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath


def status(
    run_file: RunFilePath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with every tile-year that is not done")] = False,
    figure: Annotated[Path | None, typer.Option(help="write a picture (PNG): a map of the tiles of each year")] = None,
) -> None:
    """Show which tile-years are done, stale (and why), failed (and why) or missing."""
    from pipeline.console import console
    from pipeline.job import Job
    from pipeline.run.status import standing
    from pipeline.run.status_figure import write_figure
    from pipeline.run.status_report import status_json, status_table

    job = Job.open(run_file)
    found = standing(job)
    if as_json:
        print(status_json(job, found))
    else:
        console.print(status_table(job, found))
        for note in found.notes:
            console.print(note)
    if figure:
        write_figure(job, found, figure)
