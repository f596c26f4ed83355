"""`agcarbon site`: the checkpoint at one point, from a table or from a flux tower's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.errors import UserError

app = typer.Typer()


@app.command()
def site(
    table: Annotated[Path | None, typer.Argument(help="CSV of daily inputs; --template writes an empty one")] = None,
    *,
    template: Annotated[
        Path | None, typer.Option(help="write an empty CSV with a legend of its columns and exit")
    ] = None,
    weather: Annotated[
        Path | None,
        typer.Option(help="folder of hourly weather in ecosys layout, *w.csv; default: weather of the tower's file"),
    ] = None,
    soil: Annotated[Path | None, typer.Option(help="file of soil layers in ecosys layout")] = None,
    tower: Annotated[
        list[Path] | None,
        typer.Option(help="FLUXNET (DD, HH, HR) or AmeriFlux BASE file, or zip; repeat to join years"),
    ] = None,
    crop: Annotated[str | None, typer.Option(help='"corn", "soybean", or by year: "2002=corn,2003=soybean"')] = None,
    years: Annotated[str | None, typer.Option(help='such as "2002-2004"; default: all complete years')] = None,
    partitioning: Annotated[Literal["NT", "DT"], typer.Option(help="Reco from night-time or daytime fluxes")] = "NT",
    min_qc: Annotated[float, typer.Option(min=0, max=1, help="days with a lower NEE quality are not scored")] = 0.75,
    checkpoint: Annotated[Path | None, typer.Option(help="default: the shipped checkpoint")] = None,
    note: Annotated[list[str] | None, typer.Option(help="a caveat to print beside the scores; may be repeated")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for tables and figure")] = Path("site"),
) -> None:
    """Run a checkpoint at one point, and score it where observed.

    Inputs are a CSV of daily values, or a tower's files: --tower, --soil and --crop; the weather is that of the tower's
    file, or of the folder --weather. Daily and annual scores of Reco and NEE are always shown beside those of null
    models, which need no network: the input GPP of a tower is Reco - NEE, so that NEE is almost given, and the network
    has skill only if it beats the null models.
    """
    from dataclasses import replace

    from model.checkpoint import Checkpoint
    from model.shipped import checkpoint_file
    from pipeline.console import console
    from pipeline.site.point import run_site
    from pipeline.site.report import Report, print_report, write_report
    from pipeline.site.table import read_site_csv, write_template
    from pipeline.site.tower import TowerFiles, read_tower_site

    if template is not None:
        write_template(template)
        console.print(f"Wrote {template}: fill it and run `agcarbon site {template}`.")
        return
    files = {"--soil": soil, "--tower": tower, "--crop": crop}
    if table is not None:
        _refuse_both(table, {"--weather": weather, **files, "--years": years})
        inputs = read_site_csv(table)
    elif soil and tower and crop:
        inputs = read_tower_site(
            TowerFiles(tuple(tower), soil, (weather,) if weather else ()),
            crop=crop,
            years=years,
            partitioning=partitioning,
            min_qc=min_qc,
        )
    else:
        raise _missing(files)
    path = checkpoint_file(checkpoint)
    weights = Checkpoint.load(path)
    inputs = replace(inputs, notes=(*inputs.notes, *(note or ())))
    report = Report(run_site(weights, inputs), weights, path.name)
    print_report(report, console)
    for written in write_report(report, out):
        console.print(str(written), style="dim")


def _refuse_both(table: Path, options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UserError(
            f"{table} and {', '.join(given)} were both given; give a CSV of daily inputs or a tower's files"
        )


def _missing(files: Mapping[str, object]) -> UserError:
    missing = [name for name, value in files.items() if value is None]
    return UserError(
        f"{', '.join(missing)} missing; give a CSV of daily inputs, or a tower's files with {', '.join(files)}"
    )
