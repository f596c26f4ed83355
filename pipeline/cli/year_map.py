"""`agcarbon map`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import RunFilePath, State


def year_map(
    run_file: RunFilePath,
    *,
    year: Annotated[int | None, typer.Option(help="calendar year; default: the last with results")] = None,
    variables: Annotated[
        str | None,
        typer.Option(help="such as dsoc,nee; of crop, gpp, reco, nee, yield, dsoc (the default), ra, rh, residue"),
    ] = None,
    at: State = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="PNG; default: map-YEAR.png among the exports")
    ] = None,
) -> None:
    """Draw a year of the cube as a picture: maps with state and county lines, and the daily course of NEE by crop."""
    from pipeline.access.tables import format_of
    from pipeline.console import console
    from pipeline.export.year_map import names_of, save
    from pipeline.export.year_values import read_year
    from pipeline.inputs.report import is_synthetic
    from pipeline.job import Job
    from pipeline.storage import files

    if output:
        format_of(output, formats=(".png",))
    names, job = names_of(variables), Job.open(run_file)
    note = "synthetic archives" if any(map(is_synthetic, job.run_file.archives.by_product.values())) else ""
    data = read_year(job, year=year, names=names, at=at, note=note)
    location = output or files.join(job.stores.exports, f"map-{data.year}.png")
    with files.writing(location) as path:
        save(path, data)
    console.print(f"map of {data.year} in {location}\n{data.caption}", soft_wrap=True)
