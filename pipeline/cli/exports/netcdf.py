"""`agcarbon export netcdf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.guide import complete
from pipeline.cli.options import ResultYears, RunFilePath, State

if TYPE_CHECKING:
    import shapely

    from pipeline.job import Job


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
    bbox: Annotated[str | None, typer.Option(help="west,south,east,north in degrees")] = None,
    counties: Annotated[str | None, typer.Option(help="FIPS codes: 17019,17113")] = None,
    states: Annotated[
        str | None, typer.Option(help="postal abbreviations: IL,IN", autocompletion=complete.state_names)
    ] = None,
    at: State = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="file or s3://bucket/key; default: in netcdf among the exports")
    ] = None,
) -> None:
    """Write one variable over an area as a netCDF file.

    The file is compressed and has CF metadata. Cells are those of 250 m whose centres lie in the area; without an area,
    all of them.
    """
    from pipeline.access.dataset import OpenCube
    from pipeline.access.netcdf import Area, Extract, window_of, write_netcdf
    from pipeline.console import console
    from pipeline.errors import UserError
    from pipeline.export.attributes import publication_attributes
    from pipeline.job import Job
    from pipeline.storage import files, s3
    from pipeline.years import spans

    if output and (fault := s3.fault(output)):
        raise UserError(f"--output: {fault}")
    job = Job.open(run_file)
    given = {"--bbox": bbox, "--counties": counties, "--states": states}
    area = {option: text for option, text in given.items() if text}
    if len(area) > 1:
        raise UserError(f"{' and '.join(area)} given; give one of {', '.join(given)}")
    job.open_cube()  # refuses a cube of another region
    cube = OpenCube.at(job.stores.cube, at)
    extract = Extract(variable, frequency, job.years(years) if years else ())
    windows = [window_of(cube, Area(f"{option} {text}", _geometry(job, option, text))) for option, text in area.items()]
    chosen = cube.chosen(extract.years or None)
    label = "".join(f"_{text.replace(',', '_')}" for text in area.values())
    name = f"{job.region.name}_{variable}_{frequency}_{spans(chosen).replace(', ', '_')}{label}.nc"
    location = output or files.join(job.stores.exports, "netcdf", name)
    of_cube = {name: text for name, text in cube.attributes().items() if name != "cube"}  # a path of this machine
    attributes = {**of_cube, **publication_attributes(job)}
    steps = write_netcdf(cube, extract, location, window=next(iter(windows), None), attributes=attributes)
    for note in cube.incomplete(chosen):
        console.print(f"note: {note}")
    console.print(f"{steps} steps of {variable} in {location}", soft_wrap=True)


def _geometry(job: Job, option: str, text: str) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the area of an option in longitude and latitude; raises `UserError`."""
    import shapely

    from pipeline.errors import UserError
    from regions import near_county, near_state, zones

    names = [name.strip() for name in text.split(",")]
    if option == "--bbox":
        try:
            west, south, east, north = map(float, names)
        except ValueError:
            raise UserError(
                f"--bbox {text}: write west,south,east,north in degrees, such as -89.6,39.9,-89.4,40"
            ) from None
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise UserError(f"--bbox {text}: west is to be less than east, and south less than north, in degrees")
        return shapely.box(west, south, east, north)
    of_zones = {zone: zone.fips if option == "--counties" else zone.state for zone in zones(job.region)}
    if absent := sorted(set(names) - set(of_zones.values())):
        near = near_county(absent[0]) if option == "--counties" else near_state(absent[0])
        raise UserError(f"{option} {','.join(absent)}: not in the region {job.region.name}{near}")
    return shapely.union_all([zone.geometry for zone, name in of_zones.items() if name in names])
