"""Index of the chunks that a Zarr store has, so that the page asks for no file that is not there."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray


def chunk_index(folder: Path, root: zarr.Group, paths: list[str]) -> dict[str, str]:
    """Return one bit for each chunk file (shard) of each array, row by row, the highest bit first, as base64."""
    return {path: base64.b64encode(np.packbits(_present(folder, root, path)).tobytes()).decode() for path in paths}


def _present(folder: Path, root: zarr.Group, path: str) -> NDArray[np.bool_]:
    array = root[path]
    assert isinstance(array, zarr.Array)
    sizes = array.shards or array.chunks
    present = np.zeros([-(-length // size) for length, size in zip(array.shape, sizes, strict=True)], bool)
    for place in _places(folder / path / "c", present.ndim):
        present[place] = True
    return present


def _places(folder: Path, depth: int) -> Iterator[tuple[int, ...]]:
    """Yield the indices of the chunk files below a folder; files that are being written have other names."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.isdecimal():
                continue
            if depth == 1:
                yield (int(entry.name),)
            else:
                yield from ((int(entry.name), *rest) for rest in _places(Path(entry.path), depth - 1))
