"""`agcarbon demo`: all steps from archives to maps on synthetic data, as a user would take them one by one."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from pipeline import config
from pipeline.aggregate.report import print_aggregates
from pipeline.aggregate.tables import tables_location
from pipeline.aggregate.write import AggregateReport, aggregate_cube
from pipeline.analysis.registry import named
from pipeline.analysis.subject import Options, Subject
from pipeline.analysis.write import folder_of, write_findings
from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Executor
from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
from pipeline.config import RunFile
from pipeline.console import console, progress_bars
from pipeline.cost.estimate import estimate
from pipeline.cost.report import lines
from pipeline.demo.archives import write_archives
from pipeline.demo.site import site_inputs
from pipeline.demo.trendy import write_trendy
from pipeline.errors import UserError
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.export.year_map import write_map
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.job import Job
from pipeline.report.write import report_location, write_report
from pipeline.run import year_step
from pipeline.run.report import print_run
from pipeline.run.run import run
from pipeline.run.year_step import cuda_devices
from pipeline.storage import files

ANALYSES = ("dsoc", "rotation", "attribution", "extremes", "trendy", "speed")
"""Analyses of the demo: those that three years allow in a few seconds each."""


def take_tour(folder: Path) -> None:
    """Take all steps in `folder`; steps that were finished before are not repeated."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    run_file = folder / "run.toml"
    if not run_file.exists():
        run_file.write_text(config.dump(RunFile(region="demo")))
    console.print(
        "Everything in this demo is synthetic: weather, GPP, soil and crops are simulated. The network learned the "
        "simulator of this project and two real fields; its weights are not the published ones of KGML-ag-Carbon."
    )
    _archives(folder / "archives")
    job = Job.open(run_file)
    with stop_on_signals() as stop, open_executor(job.execution, stop, devices=cuda_devices(job)) as executor:
        _compute(job, executor)
        aggregated = _products(job, executor)
    print_aggregates(console, job, aggregated)
    _report(job, folder / "observations")
    _print_locations(job, folder)
    console.print(f"finished in {time.monotonic() - began:.0f} s")
    console.print(f"open {report_location(job.stores.exports)} in a browser: all results on one page", soft_wrap=True)


def _archives(folder: Path) -> None:
    """Write the archives unless their folder exists; it gets its name last, so that an existing one is complete."""
    if folder.exists():
        console.print(f"[archives] {folder} exists already")
        return
    partial = folder.with_name(f".{folder.name}.partial")
    with progress_bars() as report:
        write_archives(partial, progress=report)
    partial.rename(folder)


def _compute(job: Job, executor: Executor) -> None:
    with progress_bars() as report:
        ingested = ingest(plan_ingest(job.run_file, years=job.region.years), executor=executor, progress=report)
    _end_if_asked(executor)
    console.print(ingested)
    if ingested.failures or ingested.absent:
        raise UserError(" | ".join([*ingested.failures, *(one.reason for one in ingested.absent)]))
    if news := year_step.sentence(job):
        console.print(news)
    for line in lines(job, estimate(job, years=job.region.years, executor=executor)):
        console.print(line, soft_wrap=True)
    with progress_bars() as report:
        done = run(job, executor, years=job.region.years, progress=report)
    print_run(console, job, done)
    _end_if_asked(executor)


def _products(job: Job, executor: Executor) -> AggregateReport:
    with progress_bars() as report:
        aggregated = aggregate_cube(job, executor, progress=report)
        exported = export_cogs(job, executor, Selection(), files.join(job.stores.exports, "cog"), progress=report)
    _end_if_asked(executor)
    if exported.failures:
        raise UserError(" | ".join(f"{name}: {reason}" for name, reason in exported.failures.items()))
    for note in exported.notes:
        console.print(note)
    with files.writing(map_location(job)) as path:
        write_map(path, job, note="Synthetic archives")
    return aggregated


def _end_if_asked(executor: Executor) -> None:
    """End the tour where a stop was requested: the same command continues with what is not finished."""
    if executor.stop.asked:
        raise typer.Exit(EXIT_CODE)


def _report(job: Job, observations: Path) -> None:
    """Write the analyses of the newest state, and the report that shows them."""
    write_trendy(observations / "trendy")
    subject, folder = Subject.open(job, options=Options(data=observations)), folder_of(job.stores.exports)
    for name in ANALYSES:
        analysis = named(name)
        console.print(f"[analyze] {analysis.title}")
        write_findings(folder, analysis, subject, analysis.analyse(subject))
    write_report(report_location(job.stores.exports), subject)


def map_location(job: Job) -> str:
    """Return the location of the map of the last year."""
    return files.join(job.stores.exports, "map.png")


def _print_locations(job: Job, folder: Path) -> None:
    stores = job.stores
    site = folder / "site.csv"
    if not site.exists():
        site_inputs(site)
    locations = {
        "run file": folder / "run.toml",
        "archives": folder / "archives",
        "inputs store": stores.inputs,
        "cube": stores.cube,
        "observations": folder / "observations",
        "tables": tables_location(stores.exports),
        "GeoTIFFs": files.join(stores.exports, "cog"),
        "map": map_location(job),
        "analyses": folder_of(stores.exports),
        "report": report_location(stores.exports),
        "site inputs": f"{site} (try: agcarbon site {site})",
    }
    for name, location in locations.items():
        console.print(f"{name:<14}{location}")
