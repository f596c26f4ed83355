"""Crop rotations: the class of each cell over the years, its area, and dSOC and yield by class.

Shape legend: K classes, A areas of the tables, Y years, N cells of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.features import CORN, CROP_NAMES, SOYBEAN
from pipeline.aggregate.sums import means
from pipeline.analysis import figures
from pipeline.analysis.areas import Areas
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number, too_few_years
from pipeline.analysis.mosaic import ClassMosaic, Mosaic
from pipeline.analysis.subject import Subject
from pipeline.export.palettes import Ramp
from pipeline.variables import Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Crop rotations"
LEAST_YEARS = 3
AGREEMENT = 0.9  # share of a cell's known years that follow a pattern: all of 9 years or fewer, 18 of 20
MOSTLY = 2 / 3
LEAST_KNOWN = 0.5  # share of the years in which a crop is grown

# Of Okabe and Ito, which colour-blind readers distinguish.
CLASSES = {
    "continuous corn": "#d55e00",
    "corn in even years": "#0072b2",
    "corn in odd years": "#56b4e9",
    "mostly corn": "#e69f00",
    "mixed": "#f0e442",
    "unknown": "#333333",
}
CONTINUOUS, EVEN, ODD, MOSTLY_CORN, MIXED, UNKNOWN = range(len(CLASSES))

_M2_PER_KM2 = 1e6

COMPUTED = (
    "A cell's crop of a year is known where corn + soybean reach the region's threshold. Of the known years, at least "
    f"{AGREEMENT:.0%} are corn in continuous corn, and follow corn in even (or odd) years and soybean in the others in "
    "the two phases of the corn-soybean rotation; mostly corn has corn in at least two thirds of them; the rest is "
    f"mixed. A cell with a crop in fewer than {LEAST_KNOWN:.0%} of the years, or in fewer than two, is unknown. dSOC "
    "is the mean over the years of a cell, and yields are means over the cell-years of each crop, weighted by area."
)
LIMITS = (
    "The class is that of the crop with the larger share of a 250 m cell, so that two fields of opposite phase in a "
    "cell look like a rotation of the larger one. Differences between classes are not effects of rotations: soils, "
    "climate and GPP differ between them, too. In a short series a phase, a chance sequence and mostly corn cannot be "
    "distinguished, and dSOC of a phase depends on how many of its years were corn."
)


def classify(crop_YN: NDArray[np.floating], years: Sequence[int]) -> NDArray[np.intp]:
    """Return the number of the class in `CLASSES` of each cell (N,), given its crop codes, NaN where unknown (Y, N).

    Examples
    --------
    >>> crops = np.array([[1, 1, 5, np.nan], [1, 5, 1, np.nan], [1, 1, 5, 1]])
    >>> [list(CLASSES)[number] for number in classify(crops, [2010, 2011, 2012])]
    ['continuous corn', 'corn in even years', 'corn in odd years', 'unknown']
    """
    known_YN = np.isfinite(crop_YN)
    count_N = known_YN.sum(axis=0)
    corn_YN = crop_YN == CORN
    even_Y = (np.asarray(years) % 2 == 0)[:, None]
    corn_N = corn_YN.sum(axis=0)
    even_N = (known_YN & (corn_YN == even_Y)).sum(axis=0)
    least_N = AGREEMENT * count_N - 1e-9
    conditions = [
        (count_N < 2) | (count_N < LEAST_KNOWN * len(years)),
        corn_N >= least_N,
        even_N >= least_N,
        count_N - even_N >= least_N,
        corn_N >= MOSTLY * count_N - 1e-9,
    ]
    return np.select(conditions, [UNKNOWN, CONTINUOUS, EVEN, ODD, MOSTLY_CORN], MIXED)


def crops_grown(cells: TileCells) -> NDArray[np.float32]:
    """Return the code of the crop that is grown (Y, N), NaN where neither is or there is no record."""
    crop_YN, quality_YN = cells.layer("crop"), cells.layer("quality")
    recorded_YN = np.isfinite(quality_YN)
    flags_YN = np.where(recorded_YN, quality_YN, 0).astype(np.uint16)
    return np.where(recorded_YN & ((flags_YN & Quality.NOT_GROWN) == 0), crop_YN, np.float32(np.nan))


@dataclass(frozen=True, eq=False)
class Rotations:
    """Sums over the cells, tile by tile.

    Attributes
    ----------
    areas
        Areas of the tables.
    classes, known
        Maps of the class and of the share of known years.
    sums_5KA
        Area [m2], area x share of known years, area with a mean dSOC, area x mean dSOC and area x its square.
    yields_22KA
        Area and area x yield of cell-years, by crop (corn, soybean).
    """

    areas: Areas
    classes: ClassMosaic
    known: Mosaic
    sums_5KA: Floats
    yields_22KA: Floats

    @classmethod
    def of(cls, subject: Subject) -> Rotations:
        """Return the sums over all tiles of a subject."""
        areas = Areas(subject.zones)
        shape = len(CLASSES), len(areas.names)
        maps = ClassMosaic.of(subject.grid, len(CLASSES)), Mosaic.of(subject.grid)
        found = cls(areas, *maps, np.zeros((5, *shape)), np.zeros((2, 2, *shape)))
        for cells in subject.cells():
            found.add(cells, subject.years)
        return found

    def add(self, cells: TileCells, years: Sequence[int]) -> None:
        """Add the cells of a tile."""
        crop_YN, dsoc_YN, yield_YN = crops_grown(cells), cells.layer("dsoc"), cells.layer("yield")
        class_N = classify(crop_YN, years)
        known_N = np.isfinite(crop_YN).mean(axis=0)
        self.classes.add(cells, class_N)
        self.known.add(cells, known_N)
        area_m2_AN = self.areas.area_m2(cells)
        dsoc_N = means(np.nansum(dsoc_YN, axis=0, dtype=float), np.isfinite(dsoc_YN).sum(axis=0).astype(float))
        there_N, dsoc_N = np.isfinite(dsoc_N), np.nan_to_num(dsoc_N)
        _add(self.sums_5KA, np.stack([np.ones_like(known_N), known_N, there_N, dsoc_N, dsoc_N**2]), class_N, area_m2_AN)
        for sums_2KA, code in zip(self.yields_22KA, (CORN, SOYBEAN), strict=True):
            of_crop_YN = (crop_YN == code) & np.isfinite(yield_YN)
            totals_2N = np.stack([of_crop_YN.sum(axis=0), np.where(of_crop_YN, yield_YN, 0).sum(axis=0, dtype=float)])
            _add(sums_2KA, totals_2N, class_N, area_m2_AN)

    def table(self) -> pd.DataFrame:
        """Return one row per area and class that it has."""
        area_m2, known, with_dsoc, dsoc, squares = self.sums_5KA
        mean_dsoc = means(dsoc, with_dsoc)
        columns = {
            "area_km2": area_m2 / _M2_PER_KM2,
            "share_of_area": means(area_m2, np.broadcast_to(area_m2.sum(axis=0), area_m2.shape)),
            "share_of_known_years": means(known, area_m2),
            "dsoc_g_m2_yr": mean_dsoc,
            "dsoc_sd_of_cells_g_m2_yr": np.sqrt(np.maximum(means(squares, with_dsoc) - mean_dsoc**2, 0)),
            **{
                f"{CROP_NAMES[code]}_yield_g_m2_yr": means(sums_2KA[1], sums_2KA[0])
                for code, sums_2KA in zip((CORN, SOYBEAN), self.yields_22KA, strict=True)
            },
        }
        table = pd.DataFrame(
            {
                "area": np.repeat(self.areas.names, len(CLASSES)),
                "class": list(CLASSES) * len(self.areas.names),
                **{name: values_KA.T.ravel() for name, values_KA in columns.items()},
            }
        )
        there: pd.DataFrame = table.loc[table["area_km2"] > 0].reset_index(drop=True)
        return there


def _add(sums_LKA: Floats, values_LN: Floats, class_N: NDArray[np.intp], area_m2_AN: Floats) -> None:
    """Add area x values of the cells to the sums of their classes, in all areas."""
    for number in np.unique(class_N):
        chosen_N = class_N == number
        sums_LKA[:, number] += values_LN[:, chosen_N] @ area_m2_AN[:, chosen_N].T


def analyse(subject: Subject) -> Findings:
    """Return the findings on rotations."""
    found = Rotations.of(subject)
    table = found.table()
    region = table[table["area"] == table["area"].iloc[0]].set_index("class")
    shares = tuple(
        Number(f"area of {name}", 100 * float(region["share_of_area"].get(name, 0.0)), "%") for name in CLASSES
    )
    known = float((region["share_of_known_years"] * region["share_of_area"]).sum())
    numbers = (*shares, Number("mean share of years with a known crop", 100 * known, "%"))
    return Findings(COMPUTED, LIMITS, numbers, {MAIN: table}, _figure(subject, found, region))


def _figure(subject: Subject, found: Rotations, region: pd.DataFrame) -> Figure:
    height = figures.map_height(subject.zones)
    drawing, panels = figures.sheet([["classes", "known"], ["area", "dsoc"]], (10.5, height + 3.6))
    figures.finish_map(panels["classes"], subject.zones, "Rotation (largest class of a block)")
    figures.draw_classes(panels["classes"], found.classes, names=CLASSES)
    known = figures.Style("Share of years with a known crop", "share", Ramp("cividis"), (0.0, 1.0))
    figures.draw_mosaic(panels["known"], found.known, subject.zones, known)
    _draw_bars(panels["area"], region, 100 * region["share_of_area"])
    figures.finish(panels["area"], "Share of the modelled area", xlabel="%")
    spread = region["dsoc_sd_of_cells_g_m2_yr"]
    _draw_bars(panels["dsoc"], region, region["dsoc_g_m2_yr"], xerr=spread, ecolor="0.35", error_kw={"linewidth": 1})
    panels["dsoc"].axvline(0, color="0.4", linewidth=0.8)
    figures.finish(panels["dsoc"], "dSOC, and standard deviation of the cells", xlabel=figures.UNIT_YEAR)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw_bars(axes: Axes, region: pd.DataFrame, values: pd.Series, **errors: object) -> None:
    colours = [CLASSES[name] for name in region.index]
    axes.barh(list(region.index), values, color=colours, **errors)  # type: ignore[arg-type]
    axes.invert_yaxis()


def _obstacle(subject: Subject) -> str | None:
    return too_few_years(subject, LEAST_YEARS)


ANALYSIS = Analysis("rotation", TITLE, "classes of rotations, their maps and area; dSOC and yield by class",
                    _obstacle, analyse)  # fmt: skip
