"""Sums of daily fluxes over months, of cells and of targets.

Sums are of the fluxes as stored, rounded to 10 mantissa bits: twelve months add up to the annual layers to a relative
error of 2^-11 at the most.

Layers of months, L, are the area, the sums of the fluxes of `DAILY`, and those of each of the M members of an ensemble
less their mean over the members.

Shape legend: N modelled cells, T days, K = 12 months, L layers, M members of an ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.arrays import MONTHS
from pipeline.aggregate.sums import Array, means
from pipeline.variables import DAILY, MONTHLY, MONTHLY_STD


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
        present_KN = (self.layers[0] == length[:, None]) & (length[:, None] > 0)
        return np.concatenate([present_KN[None], np.where(present_KN, self.layers[1:], 0)])


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


def count_layers(members: int) -> int:
    """Return the number of layers L of months, for an ensemble of so many members."""
    return 1 + len(DAILY) * (1 + members)


def with_members(layers_XN: NDArray[Any], members_M3N: NDArray[Any] | None, *, count: int) -> NDArray[Any]:
    """Return the layers (L, N) of a month: those of `MonthSums.complete` (1 + fluxes, N) and of an ensemble's members.

    A cell that has a result, but no members (None), makes the spread of what it lies in unknown: NaN.
    """
    if not count:
        return layers_XN
    absent = np.full((count, len(DAILY), layers_XN.shape[1]), np.nan)
    own = np.where(layers_XN[0] > 0, absent if members_M3N is None else members_M3N, 0)
    return np.concatenate([layers_XN, own.reshape(-1, layers_XN.shape[1])])


def spreads(sums: NDArray[Any]) -> NDArray[Any]:
    """Return the standard deviation over the members of sums of layers (L, ...), (fluxes, ...); divisor M - 1.

    The members' sums are less their mean, which no deviation depends on.
    """
    own = sums[1 + len(DAILY) :]
    deviation: NDArray[Any] = own.reshape(-1, len(DAILY), *own.shape[1:]).std(axis=0, ddof=1)
    return deviation


def month_layers(sums: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return what is stored of sums of layers (L, 12, *targets) by name, (12, *targets).

    Means over the area [g C m-2 month-1], NaN where there is none, the area [m2], and of an ensemble the standard
    deviations of the means over its members.
    """
    area, totals = sums[0], {flux.name: total for flux, total in zip(MONTHLY, sums[1:], strict=False)}
    if len(sums) > 1 + len(DAILY):
        totals |= {std.name: total for std, total in zip(MONTHLY_STD.values(), spreads(sums), strict=True)}
    return {name: means(total, area) for name, total in totals.items()} | {"area": area}


@dataclass(frozen=True)
class Monthly:
    """Sums of layers over the modelled cells by month (L, 12, *targets): area [m2], area x flux [g C month-1].

    A cell counts in a month if it has all fluxes on all of its days.
    """

    counties: Array
    middle: Array
    coarse: Array

    @classmethod
    def zero(cls, *shapes: tuple[int, ...], members: int = 0) -> Monthly:
        """Return the sums over no cell, for counties, cells of 0.05 and of 0.5 degree of these shapes."""
        return cls(*(np.zeros((count_layers(members), MONTHS, *shape)) for shape in shapes))
