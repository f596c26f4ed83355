"""Soil carbon change: annual and mean, in per cent of the stock to 200 cm, by state and area; residue carried over.

Shape legend: A areas of the tables, Y years, N cells of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.aggregate.sums import means
from pipeline.analysis import figures, paper
from pipeline.analysis.areas import Areas
from pipeline.analysis.carry_over import LEAST_YEARS, CarryOver
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.mosaic import Mosaic
from pipeline.analysis.spread import Spread
from pipeline.analysis.subject import Subject
from pipeline.export.palettes import ramp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Soil carbon change"
HALF_PERCENT = 0.5  # per cent of the stock per year
_LIMIT = 4.0  # per cent per year: histograms end here, and what lies beyond counts at the end
_SHOWN = 1.5  # per cent per year: axis of the histogram
_TREND_YEARS = 3
_FULL_CM = 199.5
_M2_PER_KM2, _G_PER_KG = 1e6, 1e3

COMPUTED = (
    "dSOC = -NEE - yield is summed over each year and averaged over the years of each modelled cell; per cent are "
    "relative to the cell's own stock of organic carbon to 200 cm in the inputs store. Means, quantiles and shares "
    "are weighted by the area of the cells inside the region. Trends are ordinary least squares through the annual "
    "means of an area, with the standard error of the slope. Residue carried over is C(t) = b (residue(t) - "
    "residue(t-1)), where b comes from regressing Rh(t) on the residue of the year before and on GPP(t), within cells."
)
LIMITS = (
    "The model's soil carbon change holds residue as well as humus, while soil samples hold mostly humus; the split "
    "above is a regression on the model's own fluxes, not a measurement. dSOC is a small difference of large fluxes, "
    "so that small relative errors of GPP or respiration change its sign. Few years make trends and multi-year means "
    "uncertain; the standard error covers the scatter of years only, not errors of weights and inputs. The paper "
    "names its areas in words; their limits here are ours. Where the soil data end above 200 cm, the stock is that "
    "of the shallower depth, and per cent are too large."
)


@dataclass(frozen=True, eq=False)
class SoilCarbon:
    """Sums over the cells, tile by tile.

    Attributes
    ----------
    areas, years
        Areas of the tables, and years.
    mean_g, percent
        Maps of the mean dSOC [g C m-2 yr-1] and of its share in the stock [% yr-1].
    spreads
        Distribution of the latter over each area.
    sums_5A
        Area [m2] of the cells with a stock; area x mean dSOC, area x stock, area within `HALF_PERCENT`,
        and area x depth of the stock [cm].
    annual_3AY
        Area [m2] with a result in a year; area x dSOC and area x residue [g C yr-1].
    carry_over
        Regression of the residue carried over.
    """

    areas: Areas
    years: tuple[int, ...]
    mean_g: Mosaic
    percent: Mosaic
    spreads: tuple[Spread, ...]
    sums_5A: Floats
    annual_3AY: Floats
    carry_over: CarryOver

    @classmethod
    def of(cls, subject: Subject) -> SoilCarbon:
        """Return the sums over all tiles of a subject."""
        areas = Areas(subject.zones)
        count = len(areas.names)
        empty = cls(
            areas,
            subject.years,
            Mosaic.of(subject.grid),
            Mosaic.of(subject.grid),
            tuple(Spread(-_LIMIT, _LIMIT) for _ in range(count)),
            np.zeros((5, count)),
            np.zeros((3, count, len(subject.years))),
            CarryOver(),
        )
        for cells in subject.cells():
            empty.add(cells, subject.soil(cells, "soc_stock_200"), subject.soil(cells, "soc_depth_200"))
        return empty

    def add(self, cells: TileCells, stock_N: Floats, depth_cm_N: Floats) -> None:
        """Add the cells of a tile, given their stocks [g C m-2] and the depths that these reach to [cm]."""
        area_m2_AN = self.areas.area_m2(cells)
        layers = {name: cells.layer(name) for name in ("dsoc", "residue", "rh", "gpp")}
        mean_N = _mean_of_years(layers["dsoc"])
        percent_N = 100 * mean_N / np.where(stock_N > 0, stock_N, np.nan)
        self.mean_g.add(cells, mean_N)
        self.percent.add(cells, percent_N)
        for spread, area_m2_N in zip(self.spreads, area_m2_AN, strict=True):
            spread.add(percent_N, area_m2_N)
        known_N = np.isfinite(percent_N)
        values_5N = np.stack([np.ones_like(mean_N), mean_N, stock_N, np.abs(percent_N) <= HALF_PERCENT, depth_cm_N])
        self.sums_5A[:] += np.where(known_N, values_5N, 0) @ area_m2_AN.T
        present_YN = np.isfinite(layers["dsoc"])
        for sums_AY, layer_YN in zip(
            self.annual_3AY, (np.ones_like(layers["dsoc"]), layers["dsoc"], layers["residue"]), strict=True
        ):
            sums_AY[:] += area_m2_AN @ np.where(present_YN, layer_YN, 0).astype(np.float64).T
        self.carry_over.add(self.years, layers, cells.area_m2_N)

    def by_area(self) -> pd.DataFrame:
        """Return one row per area with modelled cells."""
        area_m2, total, stock, within, depth = self.sums_5A
        annual_AY = self._annual(1)
        trends = [trend(self.years, values_Y) for values_Y in annual_AY]
        table = pd.DataFrame(
            {
                "area": self.areas.names,
                "paper": self.areas.published,
                "area_km2": area_m2 / _M2_PER_KM2,
                "dsoc_g_m2_yr": means(total, area_m2),
                "dsoc_sd_of_years_g_m2_yr": _sd(annual_AY),
                "stock_200cm_kg_m2": means(stock, area_m2) / _G_PER_KG,
                "stock_depth_cm": means(depth, area_m2),
                "dsoc_percent_yr": 100 * means(total, stock),
                "share_within_half_percent": means(within, area_m2),
                "q10_percent_yr": [spread.quantile(0.1) for spread in self.spreads],
                "q90_percent_yr": [spread.quantile(0.9) for spread in self.spreads],
                "trend_g_m2_yr2": [slope for slope, _ in trends],
                "trend_standard_error_g_m2_yr2": [error for _, error in trends],
            }
        )
        there: pd.DataFrame = table.loc[area_m2 > 0].reset_index(drop=True)
        return there

    def by_year(self) -> pd.DataFrame:
        """Return one row per area and year: dSOC, and its part that is residue carried over [g C m-2 yr-1]."""
        dsoc_AY, residue_AY = self._annual(1), self._annual(2)
        stock_A = means(self.sums_5A[2], self.sums_5A[0])
        carried_AY = np.full_like(dsoc_AY, np.nan)
        follows = np.flatnonzero(np.diff(self.years) == 1) + 1
        carried_AY[:, follows] = self.carry_over.share * (residue_AY[:, follows] - residue_AY[:, follows - 1])
        table = pd.DataFrame(
            {
                "area": np.repeat(self.areas.names, len(self.years)),
                "year": np.tile(self.years, len(self.areas.names)),
                "dsoc_g_m2_yr": dsoc_AY.ravel(),
                "dsoc_percent_yr": (100 * dsoc_AY / stock_A[:, None]).ravel(),
                "carried_over_g_m2_yr": carried_AY.ravel(),
                "without_carried_over_g_m2_yr": (dsoc_AY - carried_AY).ravel(),
                "area_km2": self.annual_3AY[0].ravel() / _M2_PER_KM2,
            }
        )
        there: pd.DataFrame = table.loc[table["area_km2"] > 0].reset_index(drop=True)
        return there

    def _annual(self, layer: int) -> Floats:
        return means(self.annual_3AY[layer], self.annual_3AY[0])


def _mean_of_years(layer_YN: NDArray[np.float32]) -> Floats:
    """Return the mean over the years with a result (N,), NaN where there is none."""
    present = np.isfinite(layer_YN)
    return means(np.where(present, layer_YN, 0).sum(axis=0, dtype=np.float64), present.sum(axis=0).astype(np.float64))


def _sd(annual_AY: Floats) -> Floats:
    """Return the standard deviation over the years (A,), NaN for a single one."""
    return annual_AY.std(axis=1, ddof=1) if annual_AY.shape[1] > 1 else np.full(len(annual_AY), np.nan)


def trend(years: Sequence[int], values_Y: Floats) -> tuple[float, float]:
    """Return the slope per year of a straight line through annual values, and its standard error.

    Both are NaN for fewer than three years.

    Examples
    --------
    >>> trend([2010, 2011, 2012], np.array([1.0, 3.0, 5.0]))
    (2.0, 0.0)
    """
    present = np.isfinite(values_Y)
    if present.sum() < _TREND_YEARS:
        return float("nan"), float("nan")
    t, y = np.asarray(years, np.float64)[present], values_Y[present]
    t = t - t.mean()
    slope = float(t @ y / (t @ t))
    residual = y - y.mean() - slope * t
    return slope, float(np.sqrt(residual @ residual / (t.size - 2) / (t @ t)))


def analyse(subject: Subject) -> Findings:
    """Return the findings on soil carbon change."""
    found = SoilCarbon.of(subject)
    by_area, by_year = found.by_area(), found.by_year()
    whole = by_area.iloc[0]
    numbers = (
        Number("mean dSOC", whole["dsoc_g_m2_yr"], "g C m-2 yr-1"),
        Number("mean dSOC in per cent of the stock", whole["dsoc_percent_yr"], "% yr-1"),
        Number(
            "area within 0.5 % of the stock per year",
            100 * whole["share_within_half_percent"],
            "%",
            paper.WITHIN_HALF_PERCENT,
        ),
        Number("10 % quantile", whole["q10_percent_yr"], "% yr-1"),
        Number("90 % quantile", whole["q90_percent_yr"], "% yr-1"),
        Number("trend", whole["trend_g_m2_yr2"], "g C m-2 yr-2"),
        Number("share of residue respired in the year after", found.carry_over.share, "1"),
        Number("variance between years that is residue carried over", 100 * found.carry_over.explained, "%"),
    )
    return Findings(
        COMPUTED, LIMITS, numbers, {MAIN: by_area, "years": by_year}, _figure(subject, found), tuple(_notes(found))
    )


def _notes(found: SoilCarbon) -> list[str]:
    area_m2, depth_cm = found.sums_5A[0, 0], means(found.sums_5A[4], found.sums_5A[0])[0]
    without = found.mean_g.sums_2YX[0].sum() - area_m2
    notes = [f"the stock reaches to {depth_cm:.0f} cm on average, of 200 cm"] if depth_cm < _FULL_CM else []
    if without > 1:
        notes.append(f"{without / _M2_PER_KM2:.1f} km2 have results but no known stock: they are in no per cent")
    if len(found.years) < LEAST_YEARS:
        notes.append(f"residue carried over needs {LEAST_YEARS} consecutive years")
    return notes


def _figure(subject: Subject, found: SoilCarbon) -> Figure:
    height = figures.map_height(subject.zones)
    drawing, panels = figures.sheet([["mean", "percent"], ["spread", "years"]], (10.5, height + 4.2))
    colours = ramp("dsoc")
    mean = figures.Style("Mean of the years (positive: soil gains)", figures.UNIT_YEAR, colours)
    percent = figures.Style("Per cent of the stock to 200 cm", "% yr$^{-1}$", colours)
    figures.draw_mosaic(panels["mean"], found.mean_g, subject.zones, mean)
    figures.draw_mosaic(panels["percent"], found.percent, subject.zones, percent)
    _draw_spread(panels["spread"], found)
    _draw_years(panels["years"], found.by_year())
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw_spread(axes: Axes, found: SoilCarbon) -> None:
    spread, published = found.spreads[0], paper.WITHIN_HALF_PERCENT
    edges = np.linspace(-_SHOWN, _SHOWN, 61)
    axes.axvspan(-HALF_PERCENT, HALF_PERCENT, color="0.93", zorder=0)
    figures.draw_histogram(axes, edges, spread.coarser(edges))
    for share in (0.1, 0.9):
        axes.axvline(spread.quantile(share), color=figures.OURS, linewidth=1, linestyle=(0, (4, 3)))
    within = means(found.sums_5A[3], found.sums_5A[0])[0]
    text = f"within ±0.5 %: {100 * within:.0f} % of the area\n(paper: {published.value:g} %, US Midwest 2000-2020)"
    axes.annotate(text, (0.99, 0.98), xycoords="axes fraction", va="top", ha="right", fontsize=8)
    figures.finish(
        axes, "Area by change; dashed: 10 and 90 % quantile", xlabel="% of the stock yr$^{-1}$",
        ylabel="% of the area", xlim=(-_SHOWN, _SHOWN),
    )  # fmt: skip


def _draw_years(axes: Axes, by_year: pd.DataFrame) -> None:
    region = by_year[by_year["area"] == by_year["area"].iloc[0]]
    axes.axhline(0, color="0.7", linewidth=0.8)
    axes.plot(region["year"], region["dsoc_g_m2_yr"], "o-", color=figures.OURS, label="dSOC")
    rest = region["without_carried_over_g_m2_yr"]
    axes.plot(region["year"], rest, "s--", color=figures.PAPER, label="without residue carried over")
    axes.set_xticks(region["year"][:: max(len(region) // 6, 1)])
    axes.legend(frameon=False, fontsize=8)
    figures.finish(axes, "Mean of the region by year", ylabel=figures.UNIT_YEAR)


def _obstacle(subject: Subject) -> str | None:
    if not subject.has_inputs or not subject.inputs.has_soil:
        return "needs the stock of soil carbon, and the inputs store has no soil"
    return None


ANALYSIS = Analysis("dsoc", TITLE, "soil carbon change in g and % of the stock, by state; residue carried over",
                    _obstacle, analyse)  # fmt: skip
