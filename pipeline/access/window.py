"""A rectangle of the cube's cells, and the cells of it that are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Key: TypeAlias = slice | NDArray[np.intp]


@dataclass(frozen=True)
class Window:
    """Rows and columns of the cube's grid, and the cells of them that are shown (rows, cols); None shows all."""

    rows: slice
    cols: slice
    shown: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def part(self, rows: slice) -> Window:
        """Return the window of some of its rows."""
        first = self.rows.start
        shown = None if self.shown is None else self.shown[rows]
        return Window(slice(first + rows.start, first + rows.stop), self.cols, shown)

    def of(self, row: Key, col: Key) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return rows and columns of the cube's grid from keys into the window."""
        return np.arange(self.rows.start, self.rows.stop)[row], np.arange(self.cols.start, self.cols.stop)[col]

    def masked(self, values: NDArray[Any], row: Key, col: Key, *, fill: float) -> NDArray[Any]:
        """Return values (..., row, col) with `fill` in the cells that are not shown."""
        return (
            values
            if self.shown is None
            else np.where(self.shown[row][:, col], values, fill).astype(values.dtype, copy=False)
        )
