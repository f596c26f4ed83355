"""Bit flips in the manifests of a local store: found by trial, since Icechunk names no place in a file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np

from pipeline.errors import DamagedError
from pipeline.storage import repository as store


def manifests_of(location: str, path: str) -> list[Path]:
    """Files of the manifests of an array in the newest snapshot."""
    repository = store.open_existing(location, made_by="test")
    nodes = json.loads(repository.inspect_snapshot(store.tip(repository)))["nodes"]
    (refs,) = (node["manifest_refs"] for node in nodes if node["path"] == f"/{path}")
    return [Path(location, "manifests", ref["id"]) for ref in refs]


def flip(file: Path, place: int, bit: int) -> None:
    """Flip a bit of a file."""
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << bit
    file.write_bytes(content)


def empty_silently(location: str, path: str, selection: Any = ...) -> None:
    """Flip one bit, so that a part of an array reads as its fill value, without an error."""
    wanted = _read(location, path, selection)
    assert wanted is not None

    def reads_as_empty() -> bool:
        found = _read(location, path, selection)
        return found is not None and not np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f")

    _flip_until(manifests_of(location, path), reads_as_empty)


def make_unreadable(location: str, path: str) -> None:
    """Flip one bit, so that an array cannot be read."""
    _flip_until(manifests_of(location, path), lambda: _read(location, path, ...) is None)


def _flip_until(files: list[Path], reached: Callable[[], bool]) -> None:
    places = [(file, place, bit) for file in files for place in range(file.stat().st_size) for bit in range(8)]
    for place in random.Random(0).sample(places, len(places)):
        flip(*place)
        if reached():
            return
        flip(*place)
    raise AssertionError("no bit of these files does that")


def _read(location: str, path: str, selection: Any) -> Any:
    """Read a part of an array, by a repository that has cached nothing; None where that fails."""
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(location))
    try:
        return store.part(store.read(repository), path, selection)
    except (DamagedError, icechunk.IcechunkError):
        return None
