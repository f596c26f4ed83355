"""`agcarbon report`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import ResultYears, RunFilePath, State


def report(
    run_file: RunFilePath,
    *,
    years: ResultYears = None,
    at: State = None,
    analyses: Annotated[
        str | None, typer.Option(help="folder that `agcarbon analyze` wrote to; default: analyses in exports")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="HTML file; default: report.html in exports")
    ] = None,
) -> None:
    """Write one HTML page on all results for a reader without tools.

    Summary, maps, counties, analyses, quality and limits.
    """
    from pipeline.access.tables import format_of
    from pipeline.analysis.subject import Subject
    from pipeline.console import console
    from pipeline.job import Job
    from pipeline.report.write import report_location, write_report

    if output:
        format_of(output, formats=(".html",))
    job = Job.open(run_file)
    location = output or report_location(job.stores.exports)
    for note in write_report(location, Subject.open(job, years=years, at=at), analyses=analyses):
        console.print(f"not in the report: {note}", soft_wrap=True)
    console.print(f"report in {location}", soft_wrap=True)
