"""`agcarbon zonal`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.options import Fields, Label, ResultYears, RunFilePath, State

if TYPE_CHECKING:
    from pipeline.access.zonal import Areas
    from pipeline.job import Job


def zonal(
    run_file: RunFilePath,
    *,
    fields: Fields = None,
    label: Label = None,
    counties: Annotated[bool, typer.Option("--counties", help="counties of the region")] = False,
    states: Annotated[bool, typer.Option("--states", help="states of the region, or their parts inside it")] = False,
    period: Annotated[
        Literal["annual", "monthly"], typer.Option(help="years, or sums of Ra, Rh and NEE over months")
    ] = "annual",
    years: ResultYears = None,
    at: State = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help=".csv, .gpkg or .parquet; default: zonal.csv beside the other tables"),
    ] = None,
) -> None:
    """Write areas, means and totals over polygons as a table.

    One row per polygon, year and area type or month. Cells count with their exact share inside each polygon. Units: m2,
    g C m-2, Gg C, and t CO2e of NEE and dSOC.
    """
    from pipeline.access.dataset import OpenCube
    from pipeline.access.tables import CSV, GEOPACKAGE, PARQUET, check_distinct, format_of, write_polygons
    from pipeline.access.zonal import monthly_zonal_table, without_results, zonal_table
    from pipeline.aggregate.tables import tables_location
    from pipeline.console import console
    from pipeline.cube import members
    from pipeline.job import Job
    from pipeline.storage import files

    job = Job.open(run_file)
    location = output or files.join(tables_location(job.stores.exports), "zonal.csv")
    format_of(location, formats=(CSV, GEOPACKAGE, PARQUET))
    check_distinct(location, fields)
    areas = _areas(job, fields, label, counties=counties, states=states)
    job.open_cube()  # refuses a cube of another region
    cube = OpenCube.at(job.stores.cube, at)
    chosen = cube.chosen(job.years(years) if years else None)
    annual = period == "annual"
    table = (zonal_table if annual else monthly_zonal_table)(cube, areas, chosen)
    write_polygons(location, table)
    absent = without_results(table) if annual else members.without_months(cube.root, chosen)
    for note in (*cube.incomplete(chosen), absent):
        if note:
            console.print(f"note: {note}")
    console.print(f"{len(table)} rows of {len(areas.labels)} polygons in {location}", soft_wrap=True)


def _areas(job: Job, fields: Path | None, label: str | None, *, counties: bool, states: bool) -> Areas:
    from pipeline.access.zonal import Areas
    from pipeline.errors import UserError
    from regions import zones

    given = [name for name, one in (("--fields", fields), ("--counties", counties), ("--states", states)) if one]
    if len(given) != 1:
        raise UserError(
            f"{' and '.join(given) or 'no polygons'} given; give one of --fields FILE, --counties, --states"
        )
    if label and not fields:
        raise UserError(f"--label {label}: only the polygons of --fields FILE have columns; leave it out")
    if fields:
        return Areas.of_fields(fields, label=label)
    return Areas.of_counties(zones(job.region)) if counties else Areas.of_states(zones(job.region))
