"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from pipeline.cli.guide import complete


def _text_on_stderr(context: typer.Context, as_json: bool) -> bool:
    if as_json:
        from pipeline.console import text_on_stderr

        context.with_resource(text_on_stderr())
    return as_json


AsJson: TypeAlias = Annotated[
    bool,
    typer.Option("--json", callback=_text_on_stderr, help="print the result as JSON; progress and notes on stderr"),
]
RunFilePath: TypeAlias = Annotated[Path, typer.Argument(help="run file")]
Years: TypeAlias = Annotated[
    str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; default: all years of the region")
]
State: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="release, or snapshot of `agcarbon history`; default: the newest state",
        autocompletion=complete.release_names,
    ),
]
KeepStale: TypeAlias = Annotated[
    bool,
    typer.Option("--keep-stale", help="leave stale tile-years as they are; the ledger records this"),
]
Products: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="climate, gpp, crop or soil; may be repeated; default: all")
]
Scheduler: TypeAlias = Annotated[
    str | None, typer.Option(help="local, serial, or the address of a Dask scheduler; default: that of the run file")
]
ResultYears: TypeAlias = Annotated[
    str | None, typer.Option("--years", help="2012, 2010-2012 or 2010,2012; default: all that have results")
]
Fields: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="vector file of polygons, in any format of GDAL and any projection; of several layers: FILE|layername=NAME"
    ),
]
Label: TypeAlias = Annotated[
    str | None, typer.Option(help="column of the file that names each polygon; default: numbers")
]


def names(text: str | None) -> tuple[str, ...]:
    """Return the names of an option that are separated by commas."""
    return tuple(name.strip() for name in text.split(",")) if text else ()
