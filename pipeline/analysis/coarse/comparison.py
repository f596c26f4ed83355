"""Coarse inputs beside fine ones: the same network on inputs averaged to 0.5 and 0.05 degree, and what is lost.

Shape legend: V variables, Y X rows and columns of a grid in longitude and latitude.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.access.zonal import T_CO2E_PER_G
from pipeline.aggregate.frame import FINE_PER_DEGREE, Band, Frame
from pipeline.aggregate.layout import AREA, FINE, read_band, sources
from pipeline.aggregate.sums import means
from pipeline.analysis import paper
from pipeline.analysis.cells import Floats
from pipeline.analysis.coarse import figure
from pipeline.analysis.coarse.fields import field_table
from pipeline.analysis.coarse.run import VARIABLES, CoarseMap, chain, run_coarse
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.spread import Spread
from pipeline.analysis.subject import Subject
from pipeline.grid.latlon import LatLonGrid
from pipeline.years import spans

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Coarse inputs beside fine ones"
STEPS = {2: "0.5", 20: "0.05"}  # cells per degree, and their size in degrees
REPLICATED, AVERAGED = "coarse replicated onto 0.0025 degree", "fine averaged to the coarse cells"
PERCENT = "dsoc_percent"
LEAST_CELLS = 8  # coarse cells of which quartiles mean something
_DSOC = VARIABLES.index("dsoc")
_M2_PER_HA = 1e4

COMPUTED = (
    "Climate, GPP, soil and crop shares were averaged to cells of 0.5 and of 0.05 degree, weighted by the area of the "
    "averaged 250 m cells in each (exact overlap, inside the region), and the network of the cube was run on them: "
    "spin-up and all years from the region's first, once with corn in even and soybean in odd years and once the other "
    "way round, weighted in each year by corn / (corn + soybean). Means over the years are compared with the cube's "
    "0.0025 degree map in two ways: the coarse value replicated onto each fine cell, and the fine map averaged to the "
    "coarse cells. NRMSE = RMSE / (Q3 - Q1) of the fine field in the same comparison; all weighted by area. Per cent "
    "are of the stock to 200 cm of the coarse cell. Prices: the difference of dSOC in t CO2e (44/12 of the carbon)."
)
LIMITS = (
    "The coarse run differs from the fine one in all inputs at once and in the rotation, whose two phases are blended "
    "by the shares of the year and not followed field by field. NRMSE depends on the spread of the fine field, hence "
    "on region, years and resolution: numbers of a small region, or of another network, are no repetition of the "
    "paper's. Inputs are those of the inputs store now; they may be newer than those of the cube. A price times a "
    "difference is what replacing one map by the other would pay wrongly, not an error against measurements."
)


@dataclass(eq=False)
class Comparison:
    """Fine and coarse values of one variable, with areas: sums and distributions, added piece by piece.

    Attributes
    ----------
    fine, difference
        Distributions of the fine values and of coarse - fine.
    sums_4
        Area, area x difference, its square and its absolute value.
    cells
        Number of pairs.
    """

    fine: Spread
    difference: Spread
    sums_4: Floats = field(default_factory=lambda: np.zeros(4))
    cells: int = 0

    @classmethod
    def empty(cls, name: str) -> Comparison:
        """Return the comparison of no values, with bins of 0.1 g C m-2 yr-1 or 0.0005 % yr-1."""
        limits = (-10.0, 10.0, 40_000) if name == PERCENT else (-2000.0, 4000.0, 60_000)
        return cls(Spread(*limits), Spread(*limits))

    def add(self, fine: Floats, coarse: Floats, area_m2: Floats) -> None:
        """Add pairs; one without either value or area counts in nothing."""
        pairs = np.isfinite(fine) & np.isfinite(coarse) & (area_m2 > 0)
        area, difference = area_m2[pairs], (coarse - fine)[pairs]
        self.fine.add(fine[pairs], area)
        self.difference.add(difference, area)
        self.sums_4 += np.array([area.sum(), area @ difference, area @ difference**2, area @ np.abs(difference)])
        self.cells += int(pairs.sum())

    def row(self) -> dict[str, float]:
        """Return RMSE, quartiles, NRMSE [%], bias and quantiles; NRMSE is NaN for fewer than `LEAST_CELLS` cells."""
        area, total, squares, absolute = self.sums_4
        rmse = float(np.sqrt(squares / area)) if area > 0 else float("nan")
        low, high = self.fine.quantile(0.25), self.fine.quantile(0.75)
        enough = self.cells >= LEAST_CELLS and high > low
        return {
            "cells": self.cells,
            "area_km2": area / 1e6,
            "rmse": rmse,
            "fine_q1": low,
            "fine_q3": high,
            "nrmse_percent": 100 * rmse / (high - low) if enough else float("nan"),
            "bias": total / area if area > 0 else float("nan"),
            "mean_absolute": absolute / area if area > 0 else float("nan"),
            "difference_q10": self.difference.quantile(0.1),
            "difference_q90": self.difference.quantile(0.9),
        }


@dataclass(frozen=True, eq=False)
class FineBand:
    """Means over the years of a band on 0.0025 degree (V, Y, X) [g C m-2 yr-1], and their mean area (Y, X) [m2]."""

    grid: LatLonGrid
    means_VYX: Floats
    area_m2_YX: Floats


def fine_bands(subject: Subject, frame: Frame) -> Iterator[FineBand]:
    """Yield the fine maps, averaged over the subject's years, band by band."""
    for band in frame.bands:
        yield _fine_band(subject, band)


def _fine_band(subject: Subject, band: Band) -> FineBand:
    def read(name: str, year: int) -> Floats:
        return read_band(subject.cube.root, f"{FINE}/{name}", year, band.number, area_type="cells")

    area_m2 = np.mean([read(AREA.name, year) for year in subject.years], axis=0)
    layers = []
    for name in VARIABLES:
        sums = np.zeros((2, *band.fine.shape))
        for year in subject.years:
            values = read(name, year)
            present = np.isfinite(values)
            sums += np.stack([present, np.where(present, values, 0)])
        layers.append(means(sums[1], sums[0]))
    return FineBand(band.fine, np.stack(layers), area_m2)


@dataclass(frozen=True, eq=False)
class Compared:
    """A coarse run beside the fine map.

    Attributes
    ----------
    coarse
        The coarse run.
    fine_VYX
        The fine map averaged to its cells.
    by
        Comparisons by way (`REPLICATED`, `AVERAGED`) and variable.
    """

    coarse: CoarseMap
    fine_VYX: Floats
    by: Mapping[tuple[str, str], Comparison]

    @classmethod
    def empty(cls, coarse: CoarseMap) -> Compared:
        """Return the comparison before any band of the fine map."""
        names = (*VARIABLES, PERCENT)
        by = {(way, name): Comparison.empty(name) for way in (REPLICATED, AVERAGED) for name in names}
        return cls(coarse, np.full_like(coarse.means_VYX, np.nan), by)

    def add(self, fine: FineBand) -> None:
        """Add a band of the fine map."""
        factor = FINE_PER_DEGREE // self.coarse.grid.per_degree
        window = self.coarse.grid.window(fine.grid.coarsen(factor))
        coarse_VYX, stock_YX = self.coarse.means_VYX[:, *window], self.coarse.stock_YX[window]
        area_m2 = _blocks(fine.area_m2_YX, factor)
        totals = _blocks(np.nan_to_num(fine.means_VYX) * fine.area_m2_YX, factor)
        averaged_VYX = means(totals, np.broadcast_to(area_m2, totals.shape))
        self.fine_VYX[:, *window] = averaged_VYX
        self._add(AVERAGED, averaged_VYX, coarse_VYX, stock_YX=stock_YX, area_m2=area_m2)
        coarse_VYX, stock_YX = _spread_out(coarse_VYX, factor), _spread_out(stock_YX, factor)
        self._add(REPLICATED, fine.means_VYX, coarse_VYX, stock_YX=stock_YX, area_m2=fine.area_m2_YX)

    def _add(self, way: str, fine_VYX: Floats, coarse_VYX: Floats, *, stock_YX: Floats, area_m2: Floats) -> None:
        for name, fine, coarse in zip(VARIABLES, fine_VYX, coarse_VYX, strict=True):
            self.by[way, name].add(fine, coarse, area_m2)
        per_cent = 100 / stock_YX
        self.by[way, PERCENT].add(fine_VYX[_DSOC] * per_cent, coarse_VYX[_DSOC] * per_cent, area_m2)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table."""
        step = STEPS[self.coarse.grid.per_degree]
        for (way, name), comparison in self.by.items():
            unit = "% yr-1" if name == PERCENT else "g C m-2 yr-1"
            yield {"degree": step, "comparison": way, "variable": name, "unit": unit, **comparison.row()}


def _blocks(values: Floats, factor: int) -> Floats:
    *before, rows, cols = values.shape
    blocks: Floats = values.reshape(*before, rows // factor, factor, cols // factor, factor).sum(axis=(-3, -1))
    return blocks


def _spread_out(values: Floats, factor: int) -> Floats:
    return values.repeat(factor, axis=-2).repeat(factor, axis=-1)


def analyse(subject: Subject) -> Findings:
    """Return the findings on coarse inputs."""
    frame = Frame.of(subject.job.domain, subject.zones)
    compared = {step: Compared.empty(run_coarse(subject, frame, per_degree=per)) for per, step in STEPS.items()}
    picture = figure.FinePicture.of(frame.fine)
    for band in fine_bands(subject, frame):
        picture.add(band.grid, band.means_VYX[_DSOC], band.area_m2_YX)
        for each in compared.values():
            each.add(band)
    table = pd.DataFrame([row for each in compared.values() for row in each.rows()])
    tables = {MAIN: table}
    if subject.options.fields:
        tables["fields"] = field_table(subject, {step: each.coarse for step, each in compared.items()})
    numbers = tuple(_numbers(subject, compared))
    return Findings(COMPUTED, LIMITS, numbers, tables, _figure(subject, compared, picture), tuple(_notes(table)))


def _numbers(subject: Subject, compared: Mapping[str, Compared]) -> Iterator[Number]:
    price = subject.options.price
    for step, each in compared.items():
        published = {"0.5": (paper.COARSE_NRMSE, paper.COARSE_LOW, paper.COARSE_HIGH)}.get(step, (None, None, None))
        for way in (REPLICATED, AVERAGED):
            nrmse = each.by[way, "dsoc"].row()["nrmse_percent"]
            yield Number(f"NRMSE of dSOC at {step} degree, {way}", nrmse, "%", published[0])
        percent = each.by[REPLICATED, PERCENT].row()
        for quantile, of_paper in zip(("10", "90"), published[1:], strict=True):
            value = percent[f"difference_q{quantile}"]
            yield Number(f"{quantile} % quantile of coarse - fine at {step} degree", value, "% yr-1", of_paper)
        wrong_t_ha = each.by[REPLICATED, "dsoc"].row()["mean_absolute"] * T_CO2E_PER_G * _M2_PER_HA
        name = f"mispriced on 0.0025 degree by {step} degree, at {price:g} USD per t CO2e"
        yield Number(name, wrong_t_ha * price, "USD ha-1 yr-1")


def _notes(table: pd.DataFrame) -> Iterator[str]:
    few = table[(table["cells"] < LEAST_CELLS) & (table["variable"] == "dsoc")]
    for _, row in few.iterrows():
        yield f"{row['degree']} degree, {row['comparison']}: {row['cells']} cells, too few for quartiles and NRMSE"


def _figure(subject: Subject, compared: Mapping[str, Compared], picture: figure.FinePicture) -> Figure:
    # The paper's step where the region has enough of its cells.
    most = {step: each.by[AVERAGED, "dsoc"].cells for step, each in compared.items()}
    step = "0.5" if most["0.5"] >= figure.LEAST_DRAWN else "0.05"
    chosen = compared[step]
    return figure.draw(
        subject,
        picture,
        figure.CoarsePicture(step, chosen.coarse.grid, chosen.coarse.means_VYX[_DSOC], chosen.fine_VYX[_DSOC]),
        title=TITLE,
    )


def _obstacle(subject: Subject) -> str | None:
    if not subject.has_inputs:
        return "needs the inputs store, which is absent"
    without = sorted(set(subject.years) - sources(subject.cube.root).keys())
    if without:
        return f"needs the aggregates of {spans(without)}; make them with `agcarbon aggregate`"
    view = subject.inputs
    for product in ("climate", "gpp", "crop"):
        if absent := sorted({*subject.region.spinup_years, *chain(subject)} - view.ingested(product)):
            return f"needs {product} of {spans(absent)} in the inputs store"
    made_with = set(subject.provenance["checkpoint_sha256"])
    if made_with != {subject.job.checkpoint.sha256}:
        return "needs the network that made the cube; model.checkpoint of the run file is another one"
    return None


ANALYSIS = Analysis("coarse", TITLE, "the same network on inputs of 0.5 and 0.05 degree; NRMSE and mispriced fields",
                    _obstacle, analyse)  # fmt: skip
