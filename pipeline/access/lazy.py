"""Arrays that xarray reads when their values are asked for, and then only the part that is asked for.

An array of dask would do the same with a task for each chunk, and the twelve states have millions of them a year;
`Dataset.chunk` makes one where a computation needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from pipeline.access.window import Key, Window
from pipeline.storage.repository import Array, outer_part


class LazyArray(BackendArray):
    """An array given by a function that reads the part of it at a key: a slice or indices for each dimension."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Callable[[tuple[Key, ...]], NDArray[Any]]) -> None:
        self.shape, self.dtype, self.read = shape, np.dtype(dtype), read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Key | int, ...]) -> NDArray[Any]:
        single = tuple(axis for axis, part in enumerate(key) if isinstance(part, int | np.integer))
        whole = tuple(np.array([part]) if isinstance(part, int | np.integer) else part for part in key)
        return self.read(whole).squeeze(single)


def variable(dims: Sequence[str], array: LazyArray, attributes: dict[str, Any]) -> xr.Variable:
    """Return the variable of a lazy array."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attributes)


def coordinate(dims: Sequence[str], array: LazyArray, attributes: dict[str, Any]) -> xr.Variable:
    """Return the same, kept once it is read: xarray compares coordinates whenever it combines arrays."""
    kept = indexing.MemoryCachedArray(indexing.LazilyIndexedArray(array))  # type: ignore[no-untyped-call]
    return xr.Variable(dims, kept, attributes)


def joined(arrays: Sequence[Array], window: Window, *, fill: float) -> LazyArray:
    """Return arrays (time, y, x) one after the other along time, clipped to a window."""
    lengths = [array.shape[0] for array in arrays]
    starts = np.concatenate([[0], np.cumsum(lengths)])

    def read(key: tuple[Key, ...]) -> NDArray[Any]:
        time, row, col = key
        wanted = np.arange(starts[-1])[time]
        # Runs of steps of the same array, in the order asked for.
        owner = np.searchsorted(starts, wanted, side="right") - 1
        cuts = np.flatnonzero(np.diff(owner)) + 1
        parts = [
            outer_part(arrays[owner[run[0]]], (_as_slice(wanted[run] - starts[owner[run[0]]]), *window.of(row, col)))
            for run in np.split(np.arange(wanted.size), cuts)
            if run.size
        ]
        shape = (0, *(np.arange(size)[part].size for size, part in zip(window.shape, (row, col), strict=True)))
        values = np.concatenate(parts) if parts else np.empty(shape, arrays[0].dtype)
        return window.masked(values, row, col, fill=fill)

    return LazyArray((int(starts[-1]), *window.shape), arrays[0].dtype, read)


def _as_slice(indices: NDArray[np.intp]) -> Key:
    """Return indices as a slice where they are a range: Zarr reads a slice faster."""
    step = int(indices[1] - indices[0]) if indices.size > 1 else 1
    if step > 0 and (np.diff(indices) == step).all():
        return slice(int(indices[0]), int(indices[-1]) + 1, step)
    return indices


def total(arrays: Sequence[LazyArray]) -> LazyArray:
    """Return the sum of arrays of one shape."""
    return LazyArray(
        arrays[0].shape, arrays[0].dtype, lambda key: np.sum([array.read(key) for array in arrays], axis=0)
    )
