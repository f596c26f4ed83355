"""Chunk files that vanish from a local store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import icechunk

from pipeline.errors import DamagedError
from pipeline.storage import repository as store


def readable(location: str, path: str, selection: Any = ...) -> bool:
    """Whether a part of an array can be read, by a repository that has cached nothing."""
    root = store.read(store.open_existing(location, made_by="test"))
    try:
        store.array(root, path)[selection]
    except (icechunk.IcechunkError, DamagedError, ValueError, RuntimeError):
        return False
    return True


def remove_a_chunk(location: str, path: str) -> None:
    """Remove one chunk file that the array needs, found by trial: the store names none."""
    for file in sorted(Path(location, "chunks").iterdir()):
        aside = file.with_suffix(".aside")
        file.rename(aside)
        if not readable(location, path):
            aside.unlink()
            return
        aside.rename(file)
    raise AssertionError(f"{path} is in no chunk file")
