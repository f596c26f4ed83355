"""`agcarbon export zarr`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import AsJson, RunFilePath, Scheduler, State


def zarr(
    run_file: RunFilePath,
    *,
    at: State = None,
    scheduler: Scheduler = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="FOLDER/NAME.zarr or s3://bucket/prefix/NAME.zarr; default: zarr/REGION.zarr"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write annual layers and daily fluxes as a plain Zarr store.

    It is of Zarr format 3, and has overviews of the annual layers. Only what changed since an earlier export into the
    same place is written; a killed export resumes. Until it is complete, the store does not open.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.config import with_scheduler
    from pipeline.console import console, print_json, progress_bars
    from pipeline.export.plain_zarr.store import export_zarr, place_of
    from pipeline.job import Job

    job = Job.open(run_file)
    location = place_of(job, output)
    settings = with_scheduler(job.execution, scheduler)
    log = job.log_file("export")
    with stop_on_signals() as stop, progress_bars(log) as report, open_executor(settings, stop) as executor:
        done = export_zarr(job, executor, location, at=at, progress=report)
    for note in done.notes:
        console.print(f"note: {note}")
    for name, reason in done.failures.items():
        console.print(f"failed: {name}: {reason}")
    state = "complete" if done.complete else "not complete: it does not open until the export is repeated"
    console.print(
        f"{location}: {done.written} parts written ({done.size_bytes / 1e6:.1f} MB), {done.kept} kept; {state}; "
        f"catalog {done.catalog}",
        soft_wrap=True,
    )
    if as_json:
        print_json(done.as_json())
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)
