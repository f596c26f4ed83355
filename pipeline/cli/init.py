"""`agcarbon init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.guide import complete


def init(
    region: Annotated[
        str | None,
        typer.Argument(
            help="midwest, three_i, demo, or a region file of your own", autocompletion=complete.region_names
        ),
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="run file to write")] = Path("run.toml"),
    region_file: Annotated[
        Path | None, typer.Option("--region-file", help="write a commented region file to fill in, and no run file")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace an existing file")] = False,
) -> str | None:
    """Write a run file for a region, with comments.

    With --region-file, write a region file instead: its comments explain every key.
    """
    from pipeline.errors import UserError

    if (region is None) == (region_file is None):
        raise UserError("give a region (`agcarbon regions` lists them), or --region-file FILE to write one of your own")
    if region_file:
        _write_region(region_file, force=force)
        return f"agcarbon init {region_file}"
    if region is not None:
        _write_run_file(region, output, force=force)
    return None


def _write_region(file: Path, *, force: bool) -> None:
    from pipeline.console import console
    from pipeline.errors import UserError
    from regions.template import TEMPLATE

    if file.suffix != ".toml":
        raise UserError(f"--region-file {file}: the name of a region file ends in .toml")
    _write(file, TEMPLATE, force=force)
    console.print(f"{file}: region file with comments; fill it in", soft_wrap=True)


def _write_run_file(region: str, output: Path, *, force: bool) -> None:
    from pipeline import config
    from pipeline.console import console
    from regions import load_region

    found = load_region(region)
    _write(output, config.dump(config.RunFile(region=config.relative_region(region, output.parent))), force=force)
    console.print(f"{output}: {found.title}, {found.first_year}-{found.last_year}", soft_wrap=True)


def _write(file: Path, text: str, *, force: bool) -> None:
    from pipeline.errors import UserError

    if file.is_dir():
        raise UserError(f"{file} is a folder; give the name of a file, such as {file / 'run.toml'}")
    if file.exists() and not force:
        raise UserError(f"{file} exists already; give another name, or --force to replace it")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
