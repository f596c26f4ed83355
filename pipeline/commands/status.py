"""`agcarbon status`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.options import RunFilePath


def status(
    run_file: RunFilePath,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON: every tile-year that is not done")] = False,
) -> None:
    """Show which tile-years are done, stale (and why), failed (and why) or missing."""
    from pipeline.commands.console import console
    from pipeline.job import Job
    from pipeline.plan_report import status_json, status_table
    from pipeline.run import open_pinned_inputs, plan_run

    job = Job.open(run_file)
    planned = plan_run(job, open_pinned_inputs(job), years=job.known_years())
    if as_json:
        print(status_json(planned))
    else:
        console.print(status_table(job, planned))
