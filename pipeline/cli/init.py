"""`agcarbon init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    region: Annotated[str, typer.Argument(help="midwest, three_i, demo, or a region file of your own")],
    output: Annotated[Path, typer.Option("-o", "--output", help="run file to write")] = Path("run.toml"),
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> None:
    """Write a run file for a region, with comments."""
    from pipeline import config
    from pipeline.console import console
    from pipeline.errors import UserError
    from regions import load_region

    found = load_region(region)
    if output.is_dir():
        raise UserError(f"{output} is a folder; give the name of a file, such as {output / 'run.toml'}")
    if output.exists() and not force:
        raise UserError(f"{output} exists already; give another name, or --force to replace it")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(config.dump(config.RunFile(region=config.relative_region(region, output.parent))))
    console.print(f"{output}: {found.title}, {found.first_year}-{found.last_year}; next step: agcarbon ingest {output}")
