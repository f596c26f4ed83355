"""Values of the report from the cells of a cube: maps, distributions, means and quality, tile by tile.

Shape legend: Y years, N modelled cells of a tile, F quality flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.mosaic import Mosaic
from pipeline.analysis.spread import Spread
from pipeline.analysis.subject import Subject
from pipeline.report.courses import Courses
from pipeline.report.quantities import CROPS, QUANTITIES
from pipeline.variables import Quality

_MEAN_CELLS, _ANNUAL_CELLS = 700, 360  # along a side of the maps: of the means, and of each year


@dataclass(frozen=True, eq=False)
class RegionValues:
    """Sums over the modelled cells of a region.

    Attributes
    ----------
    years
        Calendar years.
    mean, annual
        Maps of the mean over the years, and of each year, by the name of the quantity [g C m-2 yr-1].
    spreads
        Area by annual value, by quantity and crop, of the cells and years in which the crop was grown.
    area_m2_Y, missing_m2_Y
        Modelled area with a result, and without one although its tile has results.
    totals_g
        Area x value (Y,) [g C yr-1] by quantity.
    grown_m2
        Area of the cells that were modelled as each crop and grew it (Y,).
    flagged_m2_FY
        Area with a result and a remark of each flag of `Quality`.
    unremarked_m2_Y
        Area with a result and no remark.
    courses
        Seasonal courses by crop.
    """

    years: tuple[int, ...]
    mean: Mapping[str, Mosaic]
    annual: Mapping[str, tuple[Mosaic, ...]]
    spreads: Mapping[tuple[str, str], Spread]
    area_m2_Y: Floats
    missing_m2_Y: Floats
    totals_g: Mapping[str, Floats]
    grown_m2: Mapping[str, Floats]
    flagged_m2_FY: Floats
    unremarked_m2_Y: Floats
    courses: Courses

    @classmethod
    def of(cls, subject: Subject) -> RegionValues:
        """Return the values of a subject.

        Raises
        ------
        DamagedError
            If the cube holds other values than were computed.
        """
        grid, years, names = subject.grid, subject.years, [each.name for each in QUANTITIES]
        found = cls(
            years=years,
            mean={name: Mosaic.of(grid, most=_MEAN_CELLS) for name in names},
            annual={name: tuple(Mosaic.of(grid, most=_ANNUAL_CELLS) for _ in years) for name in names},
            spreads={(each.name, crop): Spread(each.low, each.high) for each in QUANTITIES for crop in CROPS},
            area_m2_Y=np.zeros(len(years)),
            missing_m2_Y=np.zeros(len(years)),
            totals_g={name: np.zeros(len(years)) for name in names},
            grown_m2={name: np.zeros(len(years)) for name in CROPS},
            flagged_m2_FY=np.zeros((len(Quality), len(years))),
            unremarked_m2_Y=np.zeros(len(years)),
            courses=Courses.of(subject),
        )
        for place, cells in enumerate(subject.cells()):
            found.add(cells)
            if place % found.courses.every == 0:
                found.courses.add(cells, found.grown(cells))
        return found

    def grown(self, cells: TileCells) -> Mapping[str, NDArray[np.bool_]]:
        """Return whether each crop was grown in a cell and year (Y, N)."""
        quality_YN, crop_YN = cells.layer("quality"), cells.layer("crop")
        # A year without result has NaN, which no crop equals; as a whole number it would be one.
        bare_YN = (np.nan_to_num(quality_YN).astype(np.int64) & Quality.NOT_GROWN) > 0
        return {name: (crop_YN == code) & ~bare_YN for name, code in CROPS.items()}

    def add(self, cells: TileCells) -> None:
        """Add the cells of a tile."""
        area_m2_N, grown = cells.area_m2_N, self.grown(cells)
        has_result_Y = np.array([result is not None for result in cells.results.values()])
        present_YN = np.isfinite(cells.layer("gpp"))
        self.area_m2_Y[:] += present_YN @ area_m2_N
        self.missing_m2_Y[:] += (~present_YN & has_result_Y[:, None]) @ area_m2_N
        for name, grown_YN in grown.items():
            self.grown_m2[name][:] += (present_YN & grown_YN) @ area_m2_N
        for each in QUANTITIES:
            self._add_layer(each.name, cells, grown)
        self._add_quality(cells, present_YN)

    def _add_layer(self, name: str, cells: TileCells, grown: Mapping[str, NDArray[np.bool_]]) -> None:
        layer_YN = cells.layer(name).astype(np.float64)
        present_YN = np.isfinite(layer_YN)
        values_YN = np.where(present_YN, layer_YN, 0)
        self.totals_g[name][:] += values_YN @ cells.area_m2_N
        self.mean[name].add(cells, means(values_YN.sum(axis=0), present_YN.sum(axis=0).astype(np.float64)))
        for mosaic, layer_N in zip(self.annual[name], layer_YN, strict=True):
            mosaic.add(cells, layer_N)
        area_m2_YN = np.broadcast_to(cells.area_m2_N, layer_YN.shape)
        for crop, grown_YN in grown.items():
            self.spreads[name, crop].add(layer_YN[grown_YN], area_m2_YN[grown_YN])

    def _add_quality(self, cells: TileCells, present_YN: NDArray[np.bool_]) -> None:
        flags_YN = np.nan_to_num(cells.layer("quality")).astype(np.int64)
        for flagged_m2_Y, flag in zip(self.flagged_m2_FY, Quality, strict=True):
            flagged_m2_Y[:] += (present_YN & ((flags_YN & flag) > 0)) @ cells.area_m2_N
        self.unremarked_m2_Y[:] += (present_YN & (flags_YN == 0)) @ cells.area_m2_N

    def annual_means(self, name: str) -> Floats:
        """Return the mean of a quantity over the area of each year (Y,) [g C m-2 yr-1]."""
        return means(self.totals_g[name], self.area_m2_Y)

    def whole_mean(self, name: str) -> float:
        """Return the mean of a quantity over area and years [g C m-2 yr-1]."""
        return float(self.totals_g[name].sum() / self.area_m2_Y.sum()) if self.area_m2_Y.sum() else float("nan")
