"""`agcarbon demo` and `agcarbon demo archives`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.guide.help import Guided

app = typer.Typer(cls=Guided, invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("-o", "--folder", help="folder for all files of the demo")] = Path("demo"),
) -> str | None:
    """Take all steps on synthetic archives, from ingest to maps."""
    if context.invoked_subcommand is not None:
        return ""  # the sub-command names the next one
    from pipeline.cli.tour import take_tour

    take_tour(folder)
    return None


@app.command()
def archives(
    folder: Annotated[Path, typer.Argument(help="folder to write to")],
    seed: Annotated[
        int | None, typer.Option(help="seed of the random numbers; the same seed gives the same archives")
    ] = None,
) -> None:
    """Write small synthetic archives in the formats of the real ones."""
    from pipeline.console import console, progress_bars
    from pipeline.demo.archives import SEED, write_archives

    with progress_bars() as report:
        write_archives(folder, seed=SEED if seed is None else seed, progress=report)
    console.print(f"{folder}: synthetic archives written; set [archives] of a run file to its folders")
