"""`agcarbon ingest`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Products, RunFilePath, Years


def ingest(
    run_file: RunFilePath,
    years: Years = None,
    product: Products = None,
    again: Annotated[
        bool, typer.Option("--again", help="read also unchanged archives, to repair what is damaged in the store")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read new or changed archive files into the inputs store.

    Checkpoint, scheduler and memory are checked first. Lists product-years without files in the archives (exit code 1)
    and the finished tile-years that became stale.
    """
    from pipeline.cluster.dask import open_executor, worker_memory
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.console import console, print_error, print_json, progress_bars
    from pipeline.errors import UserError
    from pipeline.ingest import memory
    from pipeline.ingest.plan import plan_ingest
    from pipeline.ingest.run import ingest as ingest_archives
    from pipeline.inputs.layout import PRODUCTS
    from pipeline.job import Job
    from pipeline.run.prepare import check_ready
    from pipeline.run.staleness import NewlyStale, done_tile_years, newly_stale
    from pipeline.storage.retry import RetryPolicy, retried

    job = Job.open(run_file)
    check_ready(job)
    policy = RetryPolicy(job.execution.retries)
    wanted = partial(plan_ingest, job.run_file, years=job.years(years), products=product or PRODUCTS, again=again)
    plan = retried(wanted, policy)
    memory.check(plan.steps(), worker_memory(job.execution))
    before = done_tile_years(job) if plan.todo else frozenset()
    log = job.log_file("ingest")
    with stop_on_signals() as stop, progress_bars(log) as report, open_executor(job.execution, stop) as executor:
        done = ingest_archives(plan, executor=executor, policy=policy, progress=report)
    console.print(done)
    stale = newly_stale(job, before=before) if before else NewlyStale({}, 0)
    if before:
        for sentence in stale.sentences():
            console.print(sentence)
    console.print(done.last_line())
    if as_json:
        print_json(done.as_json() | {"newly_stale": stale.years_by_tile})
    if done.stopped:
        for failure in done.failures:
            print_error(failure)
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise UserError(" | ".join(done.failures))
    if done.absent:
        raise typer.Exit(1)
