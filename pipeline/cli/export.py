"""`agcarbon export`: the maps of the cube for other programs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pipeline.cli.exports.netcdf import netcdf
from pipeline.cli.exports.zarr_store import zarr
from pipeline.cli.options import RunFilePath, Scheduler, State

app = typer.Typer(no_args_is_help=True)


@app.callback()
def export() -> None:
    """Write the maps of the cube for other programs."""


app.command()(netcdf)
app.command()(zarr)


@app.command()
def cog(
    run_file: RunFilePath,
    *,
    years: Annotated[
        str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; default: all that have results")
    ] = None,
    variables: Annotated[
        str | None, typer.Option(help="such as gpp,nee,dsoc; of ensembles also dsoc_spread; default: the main ones")
    ] = None,
    grid: Annotated[
        Literal["250m", "0.0025", "0.5"], typer.Option(help="cells of the cube, or aggregates on cells in degrees")
    ] = "250m",
    period: Annotated[
        Literal["annual", "month", "day"],
        typer.Option(help="annual layers, or monthly sums or single days of ra, rh, nee"),
    ] = "annual",
    dates: Annotated[str | None, typer.Option(help="only these months or days: 2012-07,2012-08-15")] = None,
    mask: Annotated[
        Literal["region", "grown", "corn", "soybean"],
        typer.Option(help="cells to show; `grown` is where either crop is grown"),
    ] = "region",
    units: Annotated[
        str | None,
        typer.Option(help="t/ha or bu/acre for yield, tCO2e/acre for dsoc, or several; default: g C m-2"),
    ] = None,
    crs: Annotated[
        Literal["native", "EPSG:5070", "EPSG:4326"],
        typer.Option(help="projection of 250m cells: area-weighted means, codes of the nearest cell"),
    ] = "native",
    at: State = None,
    scheduler: Scheduler = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="folder or s3://bucket/prefix; default: cog among the exports")
    ] = None,
) -> None:
    """Write Cloud-Optimized GeoTIFFs, one per variable and period, with a STAC catalog.

    Files that are there with the same content are kept: a killed export resumes.
    """
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.stop import EXIT_CODE, stop_on_signals
    from pipeline.config import with_scheduler
    from pipeline.console import console, progress_bars
    from pipeline.errors import UserError
    from pipeline.export.geotiffs import Selection, export_cogs
    from pipeline.job import Job
    from pipeline.storage import files, s3

    if output and (fault := s3.fault(output)):
        raise UserError(f"--output: {fault}")
    job = Job.open(run_file)
    selection = Selection(
        years=job.years(years) if years else (),
        variables=_names(variables),
        grid=grid,
        period=period,
        dates=_names(dates),
        mask=mask,
        at=at,
        units=_names(units),
        crs=crs,
    )
    folder = output or files.join(job.stores.exports, "cog")
    settings = with_scheduler(job.execution, scheduler)
    log = job.log_file("export")
    with stop_on_signals() as stop, progress_bars(log) as report, open_executor(settings, stop) as executor:
        done = export_cogs(job, executor, selection, folder, progress=report)
    for note in done.notes:
        console.print(f"note: {note}")
    for name, reason in done.failures.items():
        console.print(f"failed: {name}: {reason}")
    kept = f", {done.kept} of them kept" if done.kept else ""
    console.print(
        f"{len(done.files)} GeoTIFFs{kept} in {folder}, {done.size_bytes / 1e6:.1f} MB written; catalog {done.catalog}"
    )
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()
