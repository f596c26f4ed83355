"""`agcarbon plan`."""

from __future__ import annotations

from pipeline.cli.options import KeepStale, RunFilePath, Years


def plan(run_file: RunFilePath, years: Years = None, keep_stale: KeepStale = False) -> None:
    """Show the work and the cost of a run."""
    from pipeline.cluster.dask import open_executor
    from pipeline.console import console
    from pipeline.job import Job
    from pipeline.run.estimate import estimate, measured_rate
    from pipeline.run.plan import Choice
    from pipeline.run.prepare import check_memory, context_of, open_pinned_inputs, plan_run
    from pipeline.run.report import plan_table

    job = Job.open(run_file)
    view = open_pinned_inputs(job)
    with open_executor(job.execution) as executor:
        planned = plan_run(job, view, years=job.years(years), choice=Choice(keep_stale=keep_stale), executor=executor)
    rate = measured_rate(job, context_of(job, view))
    console.print(plan_table(job, planned, estimate(job, planned, rate)))
    check_memory(job, cells=planned.most_cells)
