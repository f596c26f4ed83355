"""Kind and format of a store, written when it is created and compared whenever it is opened.

Stores of format 2 and later formats stay readable in later releases. Format 1 was never released.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import zarr

from pipeline.errors import UserError
from pipeline.storage.repository import attribute

FORMAT = 2

Kind: TypeAlias = Literal["cube", "inputs"]
"""Store of results, store of inputs; also the setting below `stores` with its location."""


def describe(root: zarr.Group, kind: Kind, *, title: str) -> None:
    """Write kind, format and title of a new store."""
    root.attrs.update({"title": title, "kind": f"agcarbon {kind}", "format": FORMAT})


def check(root: zarr.Group, kind: Kind) -> None:
    """Raise `UserError` unless this is a store of `kind` in a format that this release reads."""
    found, number = attribute(root, "kind"), attribute(root, "format")
    if found is not None and found != f"agcarbon {kind}":
        raise UserError(f"the store at stores.{kind} holds {found!r}, not 'agcarbon {kind}'; give it another location")
    if found is None:
        raise UserError(
            f"the store at stores.{kind} was made before format {FORMAT}, the first that was released; name another "
            "location in the run file or remove it, then run `agcarbon ingest` and `agcarbon run` again"
        )
    if number > FORMAT:
        raise UserError(
            f"the store at stores.{kind} has format {number}, and this release of agcarbon reads format {FORMAT}; "
            "install the release that wrote it, or a newer one"
        )
