"""`agcarbon export`: the maps of the cube for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.exports.netcdf import netcdf
from pipeline.cli.exports.zarr_store import zarr
from pipeline.cli.guide import complete
from pipeline.cli.guide.help import Guided
from pipeline.cli.options import AsJson, RunFilePath, Scheduler, State, names

if TYPE_CHECKING:
    from pipeline.execution import ExecutionSettings
    from pipeline.export.geotiffs import ExportReport
    from pipeline.export.selection import Selection
    from pipeline.job import Job

app = typer.Typer(cls=Guided, no_args_is_help=True)


@app.callback()
def export() -> None:
    """Write the maps of the cube for other programs."""


app.command()(netcdf)
app.command()(zarr)


# Headings under which --help lists the options.
_MAPS, _AREA = "Maps", "Area and projection"


@app.command()
def cog(
    run_file: RunFilePath,
    *,
    years: Annotated[
        str | None,
        typer.Option(help="2012, 2010-2012 or 2010,2012; default: all that have results", rich_help_panel=_MAPS),
    ] = None,
    variables: Annotated[
        str | None,
        typer.Option(
            help="such as gpp,nee,dsoc; of ensembles also dsoc_spread; default: the main ones",
            rich_help_panel=_MAPS,
            autocompletion=complete.variable_names,
        ),
    ] = None,
    grid: Annotated[
        Literal["250m", "0.0025", "0.05", "0.5"],
        typer.Option(help="cells of the cube, or aggregates on cells in degrees", rich_help_panel=_MAPS),
    ] = "250m",
    period: Annotated[
        Literal["annual", "monthly", "daily", "mean", "trend"],
        typer.Option(
            help="annual layers; months or days (250m, 0.5) of ra, rh, nee; mean or change per year over --years",
            rich_help_panel=_MAPS,
        ),
    ] = "annual",
    dates: Annotated[
        str | None, typer.Option(help="only these months or days: 2012-07,2012-08-15", rich_help_panel=_MAPS)
    ] = None,
    least_years: Annotated[
        int | None,
        typer.Option(
            help="years that a cell must have for a mean or trend; default: half of them, at least 2 or 3",
            rich_help_panel=_MAPS,
        ),
    ] = None,
    mask: Annotated[
        Literal["region", "grown", "corn", "soybean"],
        typer.Option(help="cells to show; `grown` is where either crop is grown", rich_help_panel=_MAPS),
    ] = "region",
    units: Annotated[
        str | None,
        typer.Option(
            help="t/ha or bu/acre for yield, tCO2e/acre for dsoc, or several; default: g C m-2", rich_help_panel=_MAPS
        ),
    ] = None,
    aoi: Annotated[
        Path | None, typer.Option(help="clip to the polygons of a vector file of any projection", rich_help_panel=_AREA)
    ] = None,
    bbox: Annotated[
        str | None, typer.Option(help="clip to west,south,east,north in degrees", rich_help_panel=_AREA)
    ] = None,
    states: Annotated[
        str | None,
        typer.Option(help="clip to states: IL,IN", rich_help_panel=_AREA, autocompletion=complete.state_names),
    ] = None,
    counties: Annotated[
        str | None, typer.Option(help="clip to counties by FIPS code: 17019,17113", rich_help_panel=_AREA)
    ] = None,
    crs: Annotated[
        Literal["native", "EPSG:5070", "EPSG:4326"],
        typer.Option(
            help="projection of 250m cells: area-weighted means, codes of the nearest cell", rich_help_panel=_AREA
        ),
    ] = "native",
    at: State = None,
    scheduler: Scheduler = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="folder or s3://bucket/prefix; default: cog among the exports")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write Cloud-Optimized GeoTIFFs with a STAC catalog.

    One per variable and period. Files that are there with the same content are kept: a killed export resumes.
    """
    from pipeline.cluster.stop import EXIT_CODE
    from pipeline.config import with_scheduler
    from pipeline.console import print_json
    from pipeline.errors import UserError
    from pipeline.export.clip import AreaOptions
    from pipeline.export.selection import Selection
    from pipeline.job import Job
    from pipeline.storage import files, s3
    from regions import zones

    if output and (fault := s3.fault(output)):
        raise UserError(f"--output: {fault}")
    job = Job.open(run_file)
    selection = Selection(
        years=job.years(years) if years else (),
        variables=names(variables),
        grid=grid,
        period=period,
        dates=names(dates),
        mask=mask,
        at=at,
        units=names(units),
        crs=crs,
        area=AreaOptions(aoi, bbox, names(states), names(counties)).area(zones(job.region)),
        least_years=least_years,
    )
    settings = with_scheduler(job.execution, scheduler)
    done = _export(job, settings, selection, output or files.join(job.stores.exports, "cog"))
    if as_json:
        print_json(done.as_json())
    if done.stopped:
        raise typer.Exit(EXIT_CODE)
    if done.failures:
        raise typer.Exit(1)


def _export(job: Job, settings: ExecutionSettings, selection: Selection, folder: str) -> ExportReport:
    """Export and print the report."""
    from pipeline.cluster.dask import open_executor
    from pipeline.cluster.stop import stop_on_signals
    from pipeline.console import console, print_error, progress_bars
    from pipeline.export.geotiffs import export_cogs

    log = job.log_file("export")
    with stop_on_signals() as stop, progress_bars(log) as report, open_executor(settings, stop) as executor:
        done = export_cogs(job, executor, selection, folder, progress=report)
    for note in done.notes:
        console.print(f"note: {note}")
    for name, reason in done.failures.items():
        print_error(f"failed: {name}: {reason}")
    kept = f", {done.kept} of them kept" if done.kept else ""
    console.print(
        f"{len(done.files)} GeoTIFFs{kept} in {folder}, {done.size_bytes / 1e6:.1f} MB written; catalog {done.catalog}"
    )
    return done
