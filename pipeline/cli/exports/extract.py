"""`agcarbon extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.options import Fields, Label, ResultYears, RunFilePath, State

if TYPE_CHECKING:
    from pipeline.access.dataset import OpenCube
    from pipeline.access.series import PolygonSeries


def extract(
    run_file: RunFilePath,
    *,
    point: Annotated[
        list[str] | None, typer.Option(help="latitude,longitude of a cell, such as 40.05,-88.37; may be repeated")
    ] = None,
    fields: Fields = None,
    label: Label = None,
    period: Annotated[Literal["annual", "daily"], typer.Option(help="one row a year or a day")] = "daily",
    years: ResultYears = None,
    at: State = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help=".csv or .parquet; default: series.csv beside the other tables")
    ] = None,
) -> None:
    """Write the series of points or fields as a table.

    One row per label and day or year. Means over a field weight each cell by its exact share in it; mixed_share says
    how much of it lies in cells that also belong to its neighbours.
    """
    from pipeline.access.dataset import OpenCube
    from pipeline.access.extract import series_tables, without_cells
    from pipeline.access.tables import CSV, PARQUET, check_distinct, format_of, write_parts
    from pipeline.aggregate.tables import tables_location
    from pipeline.console import console
    from pipeline.job import Job
    from pipeline.storage import files

    job = Job.open(run_file)
    location = output or files.join(tables_location(job.stores.exports), "series.csv")
    format_of(location, formats=(CSV, PARQUET))
    check_distinct(location, fields)
    job.open_cube()  # refuses a cube of another region
    cube = OpenCube.at(job.stores.cube, at)
    chosen = cube.chosen(job.years(years) if years else None)
    series = _series(cube, point, fields, label)
    rows = write_parts(location, series_tables(series, period=period, years=chosen))
    for note in (*cube.incomplete(chosen), without_cells(series)):
        if note:
            console.print(f"note: {note}", soft_wrap=True)
    console.print(f"{rows} rows of {len(series.polygons)} series in {location}", soft_wrap=True)


def _series(cube: OpenCube, points: list[str] | None, fields: Path | None, label: str | None) -> PolygonSeries:
    from pipeline.access.extract import point_series
    from pipeline.access.series import PolygonSeries
    from pipeline.errors import UserError
    from pipeline.sources.polygons import read_shapes

    if bool(points) == bool(fields):
        raise UserError(
            f"{'--point and --fields' if points else 'no place'} given; give either --point or --fields FILE"
        )
    if fields:
        return PolygonSeries(cube, read_shapes(fields, label=label))
    if label:
        raise UserError(f"--label {label}: only the polygons of --fields FILE have columns; leave it out")
    return point_series(cube, points or [])
