"""`agcarbon export netcdf`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.guide import complete
from pipeline.cli.options import AsJson, ResultYears, RunFilePath, State, names


def netcdf(
    run_file: RunFilePath,
    *,
    variable: Annotated[
        str,
        typer.Option(
            help="such as nee or reco; of annual layers also gpp, yield, dsoc, crop",
            autocompletion=complete.variable_names,
        ),
    ],
    frequency: Annotated[Literal["daily", "annual"], typer.Option(help="daily fluxes or annual layers")] = "annual",
    years: ResultYears = None,
    aoi: Annotated[Path | None, typer.Option(help="vector file of polygons, of any projection")] = None,
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees")] = None,
    counties: Annotated[str | None, typer.Option(help="FIPS codes: 17019,17113")] = None,
    states: Annotated[
        str | None, typer.Option(help="postal abbreviations: IL,IN", autocompletion=complete.state_names)
    ] = None,
    at: State = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="file or s3://bucket/key; default: in netcdf among the exports")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one variable over an area as a netCDF file.

    The file is compressed and has CF metadata. Cells are those of 250 m whose centres lie in the area; without an area,
    all of them.
    """
    from pipeline.access.dataset import OpenCube
    from pipeline.access.netcdf import Area, Extract, window_of, write_netcdf
    from pipeline.access.tables import format_of
    from pipeline.console import console, print_json
    from pipeline.export.attributes import publication_attributes
    from pipeline.export.clip import AreaOptions
    from pipeline.job import Job
    from pipeline.storage import files
    from pipeline.years import spans
    from regions import zones

    if output:
        format_of(output, formats=(".nc", ".nc4"))
    job = Job.open(run_file)
    area = AreaOptions(aoi, bbox, names(states), names(counties)).area(zones(job.region))
    job.open_cube()  # refuses a cube of another region
    cube = OpenCube.at(job.stores.cube, at)
    extract = Extract(variable, frequency, job.years(years) if years else ())
    window = window_of(cube, Area(area.option, area.geometry)) if area else None
    chosen = cube.chosen(extract.years or None)
    parts = (job.region.name, variable, frequency, *spans(chosen).split(", "), *([area.label] if area else []))
    location = output or files.join(job.stores.exports, "netcdf", f"{'_'.join(parts)}.nc")
    of_cube = {name: text for name, text in cube.attributes().items() if name != "cube"}  # a path of this machine
    attributes = {**of_cube, **publication_attributes(job)}
    steps = write_netcdf(cube, extract, location, window=window, attributes=attributes)
    notes = list(cube.incomplete(chosen))
    for note in notes:
        console.print(f"note: {note}")
    console.print(f"{steps} steps of {variable} in {location}", soft_wrap=True)
    if as_json:
        print_json({"file": location, "variable": variable, "years": chosen, "steps": steps, "notes": notes})
