"""`agcarbon inputs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import AsJson, Products, RunFilePath, Years


def inputs(
    run_file: RunFilePath,
    years: Years = None,
    product: Products = None,
    by_year: Annotated[
        bool, typer.Option("--by-year", help="show the variables of each year, not of all years together")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="read all cells of daily GPP, not a square in each tile")
    ] = False,
    as_json: AsJson = False,
    png: Annotated[
        Path | None, typer.Option(help="figure to write; inputs.png in the exports folder by default")
    ] = None,
    no_png: Annotated[bool, typer.Option("--no-png", help="write no figure")] = False,
) -> None:
    """Show inputs beside plausible ranges and those of training data.

    Exit code 0 if all requested inputs are ingested and plausible; 1 if years or tiles are not ingested, or values are
    implausible.
    """
    from pipeline.console import console, print_json, progress_bars
    from pipeline.errors import UserError
    from pipeline.inputs.layout import PRODUCTS
    from pipeline.inputs.report import Wanted, report_inputs
    from pipeline.inputs.report_figure import write_figure
    from pipeline.inputs.report_tables import print_inputs
    from pipeline.job import Job
    from pipeline.storage import files

    if png and no_png:
        raise UserError(f"--png {png} and --no-png contradict each other; give one of them")
    job = Job.open(run_file)
    picture = str(png) if png else files.join(job.stores.exports, "inputs.png")
    wanted = Wanted(job.years(years), tuple(product or PRODUCTS), full, job.checkpoint.training_ranges)
    archives = job.run_file.archives.by_product
    with progress_bars() as show:
        report = report_inputs(job.stores.inputs, job.region, wanted, archives=archives, progress=show)
    if as_json:
        print_json(report.as_json())
    else:
        print_inputs(console, report, by_year=by_year)
    if not no_png:
        with files.writing(picture) as path:
            write_figure(path, job.region, report, everything=full)
        console.print(f"figure: {picture}", soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)
