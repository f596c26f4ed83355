"""The county table of the report: areas and means of each county, in each year and over all years."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from pipeline.aggregate.layout import county_sums, sources
from pipeline.aggregate.sums import AREA_TYPES, Sums, interval_factor
from pipeline.analysis.subject import Subject
from pipeline.report.quantities import QUANTITIES
from pipeline.years import spans
from regions import Zone

ALL_YEARS = "all years"
_CELLS = AREA_TYPES.index("cells")
_M2_PER_KM2 = 1e6
_DIGITS = 1


@dataclass(frozen=True)
class CountyTable:
    """Counties with modelled cells.

    Attributes
    ----------
    counties
        FIPS code, name and state of each.
    columns
        Titles of the numbers.
    periods
        Numbers by `ALL_YEARS` and year, a row for each county; None where there is no area.
    """

    counties: Sequence[Zone]
    columns: Sequence[str]
    periods: Mapping[str, Sequence[Sequence[float | None]]]

    @classmethod
    def of(cls, subject: Subject) -> CountyTable | None:
        """Return the table from the aggregates of the cube, None where those of a year are absent or out of date."""
        if cls.obstacle(subject):
            return None
        by_year = {str(year): county_sums(subject.cube.root, year) for year in subject.years}
        # Sums of the years, divided last: a mean over area and years, as that of the region.
        sums = {ALL_YEARS: reduce(add, by_year.values()), **(by_year if len(by_year) > 1 else {})}
        there = np.flatnonzero(_area_m2(sums[ALL_YEARS]).sum(axis=0) > 0)
        columns = ["area with results [km²]", "without result [km²]", *(each.title for each in QUANTITIES)]
        if sums[ALL_YEARS].members > 1:
            columns.append("soil carbon: half-width of the 90 % interval")
        return cls(
            [subject.zones[place] for place in there],
            columns,
            {name: _rows(each, there, len(by_year) if name == ALL_YEARS else 1) for name, each in sums.items()},
        )

    @staticmethod
    def obstacle(subject: Subject) -> str | None:
        """Return the reason why there is no table."""
        made = sources(subject.cube.root)
        without = [year for year in subject.years if made.get(year) != subject.cube.ledger.year_digest(year)]
        if not without:
            return None
        return f"the county table needs up-to-date aggregates of {spans(without)}; make them with `agcarbon aggregate`"

    @property
    def states(self) -> list[str]:
        """Postal abbreviations, in order."""
        return sorted({zone.state for zone in self.counties})

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by period."""
        return {name: [list(row) for row in rows] for name, rows in self.periods.items()}


def _area_m2(sums: Sums) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Area of the modelled cells, with and without result (2, counties)."""
    return np.stack([sums.area_m2[_CELLS], sums.missing_m2[_CELLS]])


def _rows(sums: Sums, there: Sequence[int] | Any, years: int) -> list[list[float | None]]:
    means = sums.means()[_CELLS]
    columns = [*(_area_m2(sums) / _M2_PER_KM2 / years), *(means[each.index] for each in QUANTITIES)]
    if sums.members > 1:
        columns.append(interval_factor(sums.members) * sums.spreads()[_CELLS, QUANTITIES[0].index])
    table = np.stack(columns, axis=1)[there]
    return [[round(float(value), _DIGITS) if np.isfinite(value) else None for value in row] for row in table]
