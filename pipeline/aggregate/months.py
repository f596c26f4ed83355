"""Sums of daily fluxes over months, of cells and of targets.

Sums are of the fluxes as stored, rounded to 10 mantissa bits: twelve months add up to the annual layers to a relative
error of 2^-11 at the most.

Shape legend: N modelled cells, T days, M = 12 months.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.aggregate.sums import Array
from pipeline.variables import DAILY

MONTHS = 12


def present_layers(fluxes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return whether a cell has all daily fluxes, and the fluxes, 0 where it has not, (1 + fluxes, time, N).

    A cell counts on a day only if it has all of them, so that one area serves them all.
    """
    values_FTN = np.stack(list(fluxes))
    present_TN = np.isfinite(values_FTN).all(axis=0)
    return np.concatenate([present_TN[None], np.where(present_TN, values_FTN, 0)])


def onto(layers: NDArray[Any], weights: csr_array) -> Array:
    """Return sums of layers (layers, time, N) with the `weights` of the cells (targets, N), (layers, time, targets)."""
    # One product of a sparse and a dense matrix for all days: (targets, cells) @ (cells, layers x days).
    sums: Array = weights @ layers.reshape(-1, weights.shape[1]).T
    return sums.T.reshape(*layers.shape[:2], weights.shape[0])


@dataclass
class MonthSums:
    """Sums over the days of each month, which grow with each piece of a year.

    Attributes
    ----------
    months_T
        Month of each day of the year, 0 to 11, (time,).
    layers
        (1 + fluxes, 12, N): days with all fluxes, and sums of the fluxes over them.
    """

    months_T: NDArray[np.intp]
    layers: Array

    @classmethod
    def zero(cls, months_T: NDArray[np.intp], cells: int) -> MonthSums:
        """Return the sums over no day."""
        return cls(months_T, np.zeros((1 + len(DAILY), MONTHS, cells)))

    def add(self, layers: NDArray[Any], days: slice) -> None:
        """Add the layers of `present_layers` (1 + fluxes, time, N) on some days."""
        of_day = self.months_T[days]
        for month in np.unique(of_day):
            self.layers[:, month] += layers[:, of_day == month].sum(axis=1, dtype=np.float64)

    def complete(self) -> Array:
        """Return 1 and the sums of months in which a cell has all fluxes on all days, else 0, (1 + fluxes, 12, N)."""
        length = np.bincount(self.months_T, minlength=MONTHS)
        present_MN = (self.layers[0] == length[:, None]) & (length[:, None] > 0)
        return np.concatenate([present_MN[None], np.where(present_MN, self.layers[1:], 0)])


def months_of(year: int, days: int) -> NDArray[np.intp]:
    """Return the month, 0 to 11, of each of the first `days` days of a year (time,).

    Examples
    --------
    >>> np.bincount(months_of(2012, 366)).tolist()
    [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    """
    dates = np.datetime64(f"{year}-01-01") + np.arange(days)
    months: NDArray[np.intp] = (dates.astype("datetime64[M]").astype(np.intp)) % MONTHS
    return months


@dataclass(frozen=True)
class Monthly:
    """Sums over the modelled cells by month (1 + fluxes, 12, *targets): area with results [m2], area x flux of `DAILY`.

    A cell counts in a month if it has all fluxes on all of its days.
    """

    counties: Array
    middle: Array
    coarse: Array

    @classmethod
    def zero(cls, *shapes: tuple[int, ...]) -> Monthly:
        """Return the sums over no cell, for counties, cells of 0.05 and of 0.5 degree of these shapes."""
        return cls(*(np.zeros((1 + len(DAILY), MONTHS, *shape)) for shape in shapes))
