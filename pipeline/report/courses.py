"""Seasonal courses: mean daily GPP, respiration and NEE of the cells of each crop, in every year.

Shape legend: Y years, T = 365 days, N cells of a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.subject import Subject
from pipeline.cube.results import CheckedYear
from pipeline.report.quantities import CROPS

DAYS = 365
FLUXES = ("gpp", "reco", "nee")
_LEAP_DAY = 59
_MOST_TILE_YEARS = 96  # whose days are read: of a larger cube, evenly spaced tiles represent all


@dataclass(frozen=True, eq=False)
class Courses:
    """Sums of daily fluxes over cells.

    Attributes
    ----------
    every
        Every n-th tile is read.
    sums
        Area x flux (3, Y, T) [g C d-1] of `FLUXES` by crop; the 29th of February is left out.
    area_m2
        Area behind them (Y,) by crop.
    """

    every: int
    sums: Mapping[str, Floats]
    area_m2: Mapping[str, Floats]

    @classmethod
    def of(cls, subject: Subject) -> Courses:
        """Return the empty sums of a subject."""
        years = len(subject.years)
        every = -(-len(subject.tiles) // max(_MOST_TILE_YEARS // years, 1))
        return cls(
            max(every, 1),
            {name: np.zeros((len(FLUXES), years, DAYS)) for name in CROPS},
            {name: np.zeros(years) for name in CROPS},
        )

    def add(self, cells: TileCells, grown: Mapping[str, NDArray[np.bool_]]) -> None:
        """Add the cells of a tile, given where and when each crop was grown (Y, N)."""
        for index, result in enumerate(cells.results.values()):
            if result:
                self._add_year(index, result, cells, {name: grown_YN[index] for name, grown_YN in grown.items()})

    def _add_year(
        self, index: int, result: CheckedYear, cells: TileCells, grown: Mapping[str, NDArray[np.bool_]]
    ) -> None:
        ra, rh, nee = (self._days(result.flux(cells.tile, name, cells.mask, days=slice(None))) for name in
                       ("ra", "rh", "nee"))  # fmt: skip
        present_N = np.isfinite(nee).all(axis=0) & np.isfinite(ra).all(axis=0) & np.isfinite(rh).all(axis=0)
        for name, grown_N in grown.items():
            chosen = grown_N & present_N
            area_m2 = cells.area_m2_N[chosen]
            reco_T, nee_T = (ra[:, chosen] + rh[:, chosen]) @ area_m2, nee[:, chosen] @ area_m2
            self.sums[name][:, index] += np.stack([reco_T - nee_T, reco_T, nee_T])
            self.area_m2[name][index] += area_m2.sum()

    @staticmethod
    def _days(flux_TN: NDArray[np.floating]) -> Floats:
        regular = np.delete(flux_TN, _LEAP_DAY, axis=0) if len(flux_TN) > DAYS else flux_TN
        return regular.astype(np.float64)

    def by_year(self, crop: str) -> Floats:
        """Return the courses of a crop (3, Y, T) [g C m-2 d-1], NaN in years without it."""
        return means(self.sums[crop], np.broadcast_to(self.area_m2[crop][:, None], self.sums[crop].shape))

    def mean(self, crop: str) -> Floats:
        """Return the mean courses of a crop over area and years (3, T) [g C m-2 d-1]."""
        total = self.sums[crop].sum(axis=1)
        return means(total, np.full_like(total, self.area_m2[crop].sum()))
