"""Gaps in daily GPP, filled by one rule for the cells of a map and for flux towers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


class GapRule(NamedTuple):
    """Rule by which gaps are filled: its defaults are those of the maps.

    Attributes
    ----------
    dormant_from, dormant_to
        First and last day of year of the dormant season, in which missing GPP is 0.
    max_gap_days
        Longest gap in the growing season that is interpolated; beyond, the year is missing.
    """

    dormant_from: int = 305
    dormant_to: int = 106
    max_gap_days: int = 10


@dataclass(frozen=True)
class FilledGpp:
    """GPP of one year without gaps.

    Attributes
    ----------
    gpp_TYX
        (days, rows, cols) float32 [g C m-2 d-1]; a cell whose year is missing is NaN on all days.
    dormant_YX
        (rows, cols) uint16, days of the dormant season set to 0.
    interpolated_YX
        (rows, cols) uint16, days of the growing season that were interpolated; 0 where the year is missing.
    longest_gap_YX
        (rows, cols) uint16, longest gap of the growing season [days]; above `max_gap_days` the cell's year is missing.
    """

    gpp_TYX: NDArray[np.float32]
    dormant_YX: NDArray[np.uint16]
    interpolated_YX: NDArray[np.uint16]
    longest_gap_YX: NDArray[np.uint16]


def fill_gaps(gpp_TYX: NDArray[np.float32], *, rule: GapRule) -> FilledGpp:
    """Return GPP with its gaps filled.

    Missing days of the dormant season become 0. Gaps of the growing season up to `max_gap_days` are interpolated
    linearly between the days around them; a longer one makes the cell's entire year missing. In a gap across the border
    of the seasons, the dormant days become 0 first; the remaining days are a gap of their own that ends at this 0, and
    they alone count towards `max_gap_days`. The seasons are given in days of year, as in the published series: after 28
    February of a leap year they begin a date earlier.

    Parameters
    ----------
    gpp_TYX
        (365 or 366, rows, cols) [g C m-2 d-1], NaN missing.

    Examples
    --------
    >>> gpp = np.full((365, 1, 1), 6, np.float32)
    >>> gpp[199:202] = np.nan
    >>> gpp[202] = 14
    >>> filled = fill_gaps(gpp, rule=GapRule())
    >>> filled.gpp_TYX[198:203, 0, 0].tolist(), int(filled.interpolated_YX[0, 0])
    ([6.0, 8.0, 10.0, 12.0, 14.0], 3)
    """
    gpp_TYX = gpp_TYX.copy()
    dormant_TYX = np.isnan(gpp_TYX) & _dormant(len(gpp_TYX), rule)[:, None, None]
    gpp_TYX[dormant_TYX] = 0.0
    interpolated_YX, longest_YX = np.zeros((2, *gpp_TYX.shape[1:]), np.uint16)
    # Row by row: the indices of all missing days together could be many times larger than the data.
    for row in range(gpp_TYX.shape[1]):
        gpp_TX = gpp_TYX[:, row]
        gaps = _Gaps.of(gpp_TX)
        gpp_TX[gaps.day, gaps.cell] = gaps.interpolate(gpp_TX)
        interpolated_YX[row] = np.bincount(gaps.cell, minlength=gpp_TX.shape[1])
        np.maximum.at(longest_YX[row], gaps.cell, gaps.after - gaps.before - 1)
    missing_YX = longest_YX > rule.max_gap_days
    gpp_TYX[:, missing_YX] = np.nan
    interpolated_YX[missing_YX] = 0
    return FilledGpp(gpp_TYX, dormant_TYX.sum(axis=0, dtype=np.uint16), interpolated_YX, longest_YX)


def _dormant(days: int, rule: GapRule) -> NDArray[np.bool_]:
    """Return the days (T,) of the dormant season; 1 January and 31 December always are, so that gaps have two ends."""
    day_of_year = np.arange(1, days + 1)
    return (day_of_year >= rule.dormant_from) | (day_of_year <= rule.dormant_to)


class _Gaps(NamedTuple):
    """Missing days, one per entry: cell, day, and the days with a value before and after its gap."""

    cell: Indices
    day: Indices
    before: Indices
    after: Indices

    @classmethod
    def of(cls, gpp_TX: NDArray[np.float32]) -> _Gaps:
        cell, day = np.nonzero(np.isnan(gpp_TX.T))  # transposed, so that the days of a gap follow each other
        begins = np.ones(day.size, bool)
        begins[1:] = (np.diff(cell) != 0) | (np.diff(day) != 1)
        gap = np.cumsum(begins) - 1
        before = day[begins][gap] - 1
        return cls(cell, day, before, before + np.bincount(gap)[gap] + 1)

    def interpolate(self, gpp_TX: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values of the missing days, linear between the days around the gap."""
        weight = (self.day - self.before) / (self.after - self.before)
        return (1 - weight) * gpp_TX[self.before, self.cell] + weight * gpp_TX[self.after, self.cell]
