"""Overviews of annual maps: means over 2 x 2, 4 x 4, ... cells, made from sums tile by tile.

The sums of a pixel are those of the four pixels below it, so that a mean of any level is the area-weighted mean over
all modelled cells in it that have a value. Pixels are taken depth first: one block of sums for each level is in
memory, however large the region is.

Shape legend: K sums, E edge of a tile in cells, YX rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.float64]


def levels(tiles_yx: tuple[int, int]) -> int:
    """Return the number of levels, at least one, the coarsest of which has the size of one tile.

    Examples
    --------
    >>> levels((1, 1)), levels((2, 5))
    (1, 3)
    """
    return max(1, (max(tiles_yx) - 1).bit_length())


@dataclass(frozen=True)
class Mean:
    """Area-weighted means: sums of value x area, and of area, over the cells that have a value."""

    def sums(self, values_YX: NDArray[np.floating], area_YX: NDArray[np.float64]) -> Sums:
        """Return the sums (2, Y, X) of cells; NaN is no value."""
        known_YX = np.isfinite(values_YX)
        weights_YX = np.where(known_YX, area_YX, 0.0)
        sums_2YX: Sums = np.stack([np.where(known_YX, values_YX, 0.0) * weights_YX, weights_YX])
        return sums_2YX

    def values(self, sums_KYX: Sums) -> NDArray[np.float64]:
        """Return the means (Y, X), NaN where no cell has a value."""
        total_YX, area_YX = sums_KYX
        means_YX: NDArray[np.float64] = np.full(area_YX.shape, np.nan)
        np.divide(total_YX, area_YX, out=means_YX, where=area_YX > 0)
        return means_YX


@dataclass(frozen=True)
class Area:
    """Area of the cells that have a value [m2]."""

    def sums(self, values_YX: NDArray[np.floating], area_YX: NDArray[np.float64]) -> Sums:
        """Return the areas (1, Y, X) of cells; NaN is no value."""
        sums_1YX: Sums = np.where(np.isfinite(values_YX), area_YX, 0.0)[None]
        return sums_1YX

    def values(self, sums_KYX: Sums) -> NDArray[np.float64]:
        """Return the areas (Y, X), NaN where there is none."""
        return np.where(sums_KYX[0] > 0, sums_KYX[0], np.nan)


@dataclass(frozen=True)
class Majority:
    """The code with the largest area, of equal areas the lowest one."""

    codes: tuple[int, ...]
    fill: int = 0

    def sums(self, values_YX: NDArray[np.integer], area_YX: NDArray[np.float64]) -> Sums:
        """Return the area of each code (codes, Y, X); cells without area count nowhere."""
        return np.stack([np.where(values_YX == code, area_YX, 0.0) for code in self.codes])

    def values(self, sums_KYX: Sums) -> NDArray[np.int64]:
        """Return the codes (Y, X), `fill` where no cell has one."""
        largest_YX = np.array(self.codes)[sums_KYX.argmax(axis=0)]
        return np.where(sums_KYX.any(axis=0), largest_YX, self.fill)


Rule = Mean | Area | Majority


def make(
    tiles_yx: tuple[int, int],
    read: Callable[[int, int], Sums | None],
    write: Callable[[int, int, int, Sums], None],
) -> None:
    """Make all levels of a map.

    Parameters
    ----------
    tiles_yx
        Number of tiles in rows and columns.
    read
        Returns the sums (K, E, E) of the tile at a row and column of tiles, or None where nothing is modelled.
    write
        Takes level, row and column of a block of E x E pixels, and its sums (K, E, E). A level has pixels of
        2 ** level cells; blocks without modelled cells are left out.
    """
    top = levels(tiles_yx)
    blocks = [range(-(-count >> top)) for count in tiles_yx]

    def block(level: int, row: int, col: int) -> Sums | None:
        if row << level >= tiles_yx[0] or col << level >= tiles_yx[1]:
            return None
        if level == 0:
            return read(row, col)
        below = {(i, j): block(level - 1, 2 * row + i, 2 * col + j) for i, j in product((0, 1), repeat=2)}
        sums = _halved(below)
        if sums is not None:
            write(level, row, col, sums)
        return sums

    for row, col in product(*blocks):
        block(top, row, col)


def _halved(quarters: dict[tuple[int, int], Sums | None]) -> Sums | None:
    """Return the sums (K, E, E) over 2 x 2 pixels of four blocks, some of which may be absent; None if all are."""
    there: Sequence[Sums] = [sums for sums in quarters.values() if sums is not None]
    if not there:
        return None
    kinds, edge = there[0].shape[:2]
    joined = np.zeros((kinds, 2 * edge, 2 * edge))
    for (i, j), sums in quarters.items():
        if sums is not None:
            joined[:, i * edge : (i + 1) * edge, j * edge : (j + 1) * edge] = sums
    halved: Sums = joined.reshape(kinds, edge, 2, edge, 2).sum(axis=(2, 4))
    return halved
