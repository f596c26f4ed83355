"""`agcarbon demo` and `agcarbon demo archives`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(invoke_without_command=True)


@app.callback()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("-o", "--folder", help="where everything goes")] = Path("demo"),
) -> None:
    """Map synthetic archives end to end: archives, ingest, plan, run, aggregate, export, map."""
    if context.invoked_subcommand is None:
        from pipeline.cli.tour import take_tour

        take_tour(folder)


@app.command()
def archives(
    folder: Annotated[Path, typer.Argument(help="folder to write into")],
    seed: Annotated[
        int | None, typer.Option(help="of all that is drawn; the same seed gives the same archives")
    ] = None,
) -> None:
    """Write small, complete, synthetic archives in the exact formats of the real products."""
    from pipeline.console import console, progress_bars
    from pipeline.demo.archives import SEED, write_archives

    with progress_bars() as report:
        write_archives(folder, seed=SEED if seed is None else seed, progress=report)
    console.print(f"{folder}: synthetic archives; point a run file's [archives] at its folders")
