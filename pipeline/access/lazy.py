"""Arrays that xarray reads when their values are asked for, and then only the part that is asked for.

An array of dask would do the same with a task for each chunk, and the twelve states have millions of them a year;
`Dataset.chunk` makes one where a computation needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from pipeline.access.window import Key


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


def days_of_years(
    read: Callable[[int, NDArray[np.intp], tuple[Key, Key]], NDArray[np.float32]],
    lengths: Mapping[int, int],
    shape: tuple[int, int],
) -> LazyArray:
    """Return a daily flux (time, y, x) of years one after the other, read year by year.

    Parameters
    ----------
    read
        Returns (time, y, x), given a calendar year, days of it counted from 0, and keys of rows and columns.
    lengths
        Number of days of each year.
    shape
        Numbers of rows and columns.
    """
    years, starts = list(lengths), np.concatenate([[0], np.cumsum(list(lengths.values()))])

    def joined(key: tuple[Key, ...]) -> NDArray[Any]:
        time, row, col = key
        wanted = np.arange(starts[-1])[time]
        # Runs of days of the same year, in the order asked for.
        owner = np.searchsorted(starts, wanted, side="right") - 1
        cuts = np.flatnonzero(np.diff(owner)) + 1
        runs = (run for run in np.split(np.arange(wanted.size), cuts) if run.size)
        parts = [read(years[owner[run[0]]], wanted[run] - starts[owner[run[0]]], (row, col)) for run in runs]
        sizes = (np.arange(size)[part].size for size, part in zip(shape, (row, col), strict=True))
        return np.concatenate(parts) if parts else np.empty((0, *sizes), np.float32)

    return LazyArray((int(starts[-1]), *shape), np.float32, joined)


def total(arrays: Sequence[LazyArray]) -> LazyArray:
    """Return the sum of arrays of one shape."""
    return LazyArray(
        arrays[0].shape, arrays[0].dtype, lambda key: np.sum([array.read(key) for array in arrays], axis=0)
    )
