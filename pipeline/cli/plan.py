"""`agcarbon plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import AsJson, KeepStale, RunFilePath, Years


def plan(
    run_file: RunFilePath,
    years: Years = None,
    keep_stale: KeepStale = False,
    workers: Annotated[int | None, typer.Option(min=1, help="workers; default: those of the run file")] = None,
    as_json: AsJson = False,
) -> str | None:
    """Show downloads, time of every step and disk space.

    Known from the region alone, and more precisely with what is ingested. Changes nothing. docs/plan.md has the
    equations and the sources of the rates.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.console import console, print_hint, print_json
    from pipeline.cost import report
    from pipeline.cost.estimate import estimate
    from pipeline.job import Job
    from pipeline.run.plan import Choice
    from pipeline.run.prepare import check_memory

    job = Job.open(run_file)
    if not as_json:
        print_hint("measuring the speed of the network on this machine: seconds, or a minute while it is compiled")
    with open_executor(job.execution) as executor:
        choice = Choice(keep_stale=keep_stale)
        cost = estimate(job, years=job.years(years), choice=choice, workers=workers, executor=executor)
    if as_json:
        print_json(report.as_json(job, cost))
    else:
        for line in report.lines(job, cost):
            console.print(line, soft_wrap=True)
    if cost.work.plan:
        check_memory(job, cells=cost.work.plan.most_cells)
    if cost.downloads:
        return "agcarbon fetch {run_file} --dry-run {--years}"
    return "agcarbon ingest {run_file} {--years}" if cost.work.ingest.needed else None
