"""`agcarbon map`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.guide import complete
from pipeline.cli.options import RunFilePath, State


def year_map(
    run_file: RunFilePath,
    *,
    year: Annotated[int | None, typer.Option(help="calendar year; default: the last with results")] = None,
    variables: Annotated[
        str | None,
        typer.Option(
            autocompletion=complete.variable_names,
            help="such as dsoc,nee; of crop, gpp, reco, nee, yield, dsoc (the default), ra, rh, residue",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="show another region: its name or file, such as three_i", autocompletion=complete.region_names
        ),
    ] = None,
    states: Annotated[
        str | None, typer.Option(help="show these states only: IL,IN", autocompletion=complete.state_names)
    ] = None,
    bbox: Annotated[str | None, typer.Option(help="show west,south,east,north in degrees only")] = None,
    at: State = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="PNG; default: map-YEAR.png among the exports")
    ] = None,
) -> None:
    """Draw a year of the cube as a picture.

    Maps with state and county lines, and the daily course of NEE by crop.
    """
    from pipeline.access.tables import format_of
    from pipeline.console import console
    from pipeline.export.year_map import names_of, save
    from pipeline.export.year_values import Subject, read_year
    from pipeline.inputs.report import is_synthetic
    from pipeline.job import Job
    from pipeline.storage import files

    if output:
        format_of(output, formats=(".png",))
    names, job = names_of(variables), Job.open(run_file)
    note = "Synthetic archives" if any(map(is_synthetic, job.run_file.archives.by_product.values())) else ""
    chosen = tuple(name.strip().upper() for name in states.split(",")) if states else ()
    subject = Subject.of(job.region, within=region, states=chosen, bbox=bbox)
    data = read_year(job, subject, year=year, names=names, at=at, note=note)
    location = output or files.join(job.stores.exports, f"map-{data.year}.png")
    with files.writing(location) as path:
        save(path, data)
    for line in (data.note, data.caption):
        if line:
            console.print(line, soft_wrap=True)
    console.print(f"map of {data.year} in {location}", soft_wrap=True)
