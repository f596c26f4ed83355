"""Arguments that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

RunFilePath: TypeAlias = Annotated[Path, typer.Argument(help="run file")]
Years: TypeAlias = Annotated[
    str | None, typer.Option(help="2012, 2010-2012 or 2010,2012; all of the region's if absent")
]
KeepStale: TypeAlias = Annotated[
    bool,
    typer.Option("--keep-stale", help="leave stale tile-years as they are; the ledger records it"),
]
Products: TypeAlias = Annotated[
    list[str] | None, typer.Option(help="climate, gpp, crop or soil; may be repeated; absent: all")
]
