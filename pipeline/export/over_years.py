"""Statistics over years, cell by cell: the mean, and the slope of a straight line by least squares.

A year without a value of a cell is left out of its statistic, and cells with too few years have none: how many years a
cell has is kept beside it. Sums are in double precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.variables import Variable

StatisticName: TypeAlias = Literal["mean", "trend"]
COUNT = Variable("years", "1", "years with a value")
LEAST: dict[str, int] = {"mean": 2, "trend": 3}
"""Years that a statistic needs at least: of two years a mean; a line through two points says nothing of its error."""

_LONG_NAMES = {"mean": "mean over the years", "trend": "change per year, slope by least squares over the years"}


@dataclass(frozen=True)
class OverYears:
    """A statistic over years.

    Attributes
    ----------
    name
        Mean or trend.
    years
        Calendar years, ascending.
    least
        Years with a value that a cell must have.
    """

    name: StatisticName
    years: tuple[int, ...]
    least: int

    def described(self, variable: Variable) -> Variable:
        """Return the variable with the name, units and long name of its statistic.

        Examples
        --------
        >>> trend = OverYears("trend", (2010, 2011, 2012), 3).described(Variable("nee", "g m-2 yr-1", "NEE"))
        >>> trend.name, trend.units
        ('nee_trend', 'g m-2 yr-2')
        """
        return replace(
            variable,
            name=f"{variable.name}_{self.name}",
            units=_per_year(variable.units) if self.name == "trend" else variable.units,
            long_name=f"{variable.long_name}; {_LONG_NAMES[self.name]}",
        )

    def of(self, years: Iterable[NDArray[Any]]) -> NDArray[np.float64]:
        """Return the statistic and the number of years with a value (2, ...) of values (...) of each year, in order.

        The statistic is NaN where fewer than `least` years have a value, the number is NaN where none has.

        Examples
        --------
        >>> OverYears("trend", (2010, 2011, 2012, 2014), 3).of(np.array([[1.0], [3.0], [np.nan], [9.0]])).tolist()
        [[2.0], [3.0]]
        """
        centre, count, sums = np.mean(self.years), 0, np.zeros(())
        for year, values in zip(self.years, years, strict=True):
            known, time = np.isfinite(values), year - centre
            value = np.where(known, values, 0).astype(np.float64)
            # Centred times: sums of squares of calendar years would leave few digits of the slope.
            count = count + known
            sums = sums + np.stack([value, value * time, known * time, known * time**2])
        y, yt, t, tt = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            found = y / count if self.name == "mean" else (count * yt - t * y) / (count * tt - t**2)
        return np.stack([np.where(count >= self.least, found, np.nan), np.where(count, count, np.nan)])


def _per_year(units: str) -> str:
    return "yr-1" if units == "1" else f"{units.removesuffix(' yr-1')} yr-2"
