"""Maps of the cube: a variable of a year, months, days or several years on one of its grids."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, TypeAlias

import zarr

from model.features import CORN, SOYBEAN
from pipeline.aggregate.layout import (
    AREA,
    COARSE,
    FINE,
    MIDDLE,
    MISSING_AREA,
    MONTHLY_COARSE,
    MONTHLY_FINE,
    MONTHLY_MIDDLE,
    VALID_SHARE,
)
from pipeline.export.over_years import COUNT, OverYears
from pipeline.export.units import Unit
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES, MONTHLY, MONTHLY_STD, Variable
from pipeline.years import spans

GridName: TypeAlias = Literal["250m", "0.0025", "0.05", "0.5"]
PeriodName: TypeAlias = Literal["annual", "monthly", "daily", "mean", "trend"]
MaskName: TypeAlias = Literal["region", "grown", "corn", "soybean"]

CELLS: GridName = "250m"
GROUPS: Mapping[GridName, str] = {"0.0025": FINE, "0.05": MIDDLE, "0.5": COARSE}
MONTHLY_GROUPS: Mapping[GridName, str] = {"0.0025": MONTHLY_FINE, "0.05": MONTHLY_MIDDLE, "0.5": MONTHLY_COARSE}
LATLON_MASKS: Mapping[MaskName, str] = {"region": "cells", "corn": "corn", "soybean": "soybean"}
"""Masks of the aggregates on longitude and latitude, each with the name of its area type in the cube."""

CROPS: Mapping[MaskName, int] = {"corn": CORN, "soybean": SOYBEAN}
_MEASURES = [variable for variable in ANNUAL if variable.dtype == "float32"]  # neither codes nor flags


@dataclass(frozen=True)
class Period:
    """A year, month, day or several years: its name (2012, 2012-07, 2012-07-15, 2010-2012), first and last day.

    Examples
    --------
    >>> february = list(periods(2012, "monthly"))[1]
    >>> february.name, february.days
    ('2012-02', slice(31, 60, None))
    """

    name: str
    first: date
    last: date

    @classmethod
    def over(cls, years: Sequence[int]) -> Period:
        """Return the period of some ascending years.

        Examples
        --------
        >>> Period.over([2008, 2010, 2011]).name
        '2008+2010-2011'
        """
        return cls(spans(years).replace(", ", "+"), date(years[0], 1, 1), date(years[-1], 12, 31))

    def lies_in(self, date: str) -> bool:
        """Return whether it is the year, month or day of this name, or a part of it.

        Examples
        --------
        >>> [month.name for month in periods(2012, "monthly") if month.lies_in("2012-1") or month.lies_in("2012-01")]
        ['2012-01']
        """
        return f"{self.name}-".startswith(f"{date}-")

    @property
    def kind(self) -> Literal["annual", "monthly", "daily"]:
        """Whether it is a year, a month or a day; several years are not asked."""
        return "annual" if self.first.month != self.last.month else "daily" if self.first == self.last else "monthly"

    @property
    def month(self) -> int:
        """Its first month, from 0."""
        return self.first.month - 1

    @property
    def days(self) -> slice:
        """Its days in arrays over the days of the year."""
        return slice(self.first.timetuple().tm_yday - 1, self.last.timetuple().tm_yday)


def periods(year: int, kind: PeriodName) -> Iterator[Period]:
    """Yield the year, its months or its days."""
    if kind == "annual":
        yield Period.over([year])
        return
    for month in range(1, 13):
        days = [date(year, month, day + 1) for day in range(calendar.monthrange(year, month)[1])]
        if kind == "monthly":
            yield Period(f"{year}-{month:02d}", days[0], days[-1])
        else:
            yield from (Period(day.isoformat(), day, day) for day in days)


def variables(grid: GridName, kind: PeriodName) -> dict[str, Variable]:
    """Return the variables that a cube has on a grid for a kind of period, by name; none where it has no such map.

    Standard deviations of an ensemble are there only if an ensemble computed the cube. Those of aggregates are of its
    members' aggregates: the deviation of a mean over cells is not the mean of theirs.
    """
    monthly = (*MONTHLY, *MONTHLY_STD.values())
    found: Mapping[tuple[GridName, PeriodName], Sequence[Variable]] = {
        (CELLS, "annual"): (*ANNUAL, *ENSEMBLE_STD.values()),
        (CELLS, "monthly"): monthly,
        (CELLS, "daily"): DAILY,
        **{(CELLS, over): _MEASURES for over in ("mean", "trend")},
        **{(grid, "annual"): (*FLUXES, AREA, MISSING_AREA, VALID_SHARE, *ENSEMBLE_STD.values()) for grid in GROUPS},
        **{(grid, over): FLUXES for grid in GROUPS for over in ("mean", "trend")},
        **{(grid, "monthly"): (*monthly, AREA) for grid in GROUPS},
        ("0.5", "daily"): (*DAILY, AREA),
    }
    return {variable.name: variable for variable in found.get((grid, kind), ())}


@dataclass(frozen=True)
class Layer:
    """One map: a variable, a period, and the cells that it shows.

    Attributes
    ----------
    variable
        The variable.
    period
        Year, month, day or several years.
    mask
        Cells that it shows; the others are nodata.
    unit
        Unit to which the cube's values are converted; None: they stay in the variable's own.
    over
        Statistic over years; None: the layer is of one of them.
    """

    variable: Variable
    period: Period
    mask: MaskName = "region"
    unit: Unit | None = None
    over: OverYears | None = None

    @property
    def written(self) -> Variable:
        """The variable as it is written, in its unit."""
        stated = self.unit.described(self.variable) if self.unit else self.variable
        return self.over.described(stated) if self.over else stated

    @property
    def bands(self) -> tuple[Variable, ...]:
        """The variable as it is written, and what is written beside it: of a statistic, the number of years."""
        return (self.written, COUNT) if self.over else (self.written,)

    @property
    def years(self) -> tuple[int, ...]:
        """The years from whose results it is made."""
        return self.over.years if self.over else (self.period.first.year,)

    def of_year(self, year: int) -> Layer:
        """Return the annual layer of one of its years, in its unit."""
        return replace(self, period=Period.over([year]), over=None)


def together(root: zarr.Group, layers: Iterable[Layer], kind: PeriodName, grid: GridName) -> list[tuple[Layer, ...]]:
    """Return the layers in groups that are read together, so that no chunk of days is decoded twice.

    Days of a variable in one chunk are one group, and all months of a variable on 250 m, which chunks cut anywhere.
    Cells of 0.5 degree have a year in a chunk, which is small: their days are grouped by month.
    """
    groups: defaultdict[tuple[str, str | tuple[int, int]], list[Layer]] = defaultdict(list)
    for layer in layers:
        first, part = layer.period.first, 0
        if kind == "daily":
            part = first.month if grid != CELLS else layer.period.days.start // _days_in_chunk(root, layer)
        of_days = kind == "daily" or (kind == "monthly" and grid == CELLS)
        groups[layer.written.name, (first.year, part) if of_days else layer.period.name].append(layer)
    return [tuple(group) for group in groups.values()]


def _days_in_chunk(root: zarr.Group, layer: Layer) -> int:
    daily = repository.array(root, f"daily/{layer.period.first.year}/{layer.variable.name}")
    return int(daily.chunks[0])
