"""Attribution: which of the climate and soil inputs go together with the results, from cell to cell.

Shape legend: V variables (7 climate, 9 soil, 8 results), Y years, N cells of a tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model.features import CLIMATE_NAMES, SOIL_NAMES
from pipeline.aggregate.sums import means
from pipeline.analysis import figures, paper
from pipeline.analysis.cells import Floats, TileCells
from pipeline.analysis.findings import MAIN, Analysis, Findings, Number
from pipeline.analysis.moments import Moments
from pipeline.analysis.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Attribution to soil and climate"
RESULTS = ("gpp", "nee", "ra", "rh", "yield", "reco", "residue", "dsoc")
_FEW_SERIES = 30  # NLDAS-2 cells; with fewer, seven climate variables explain much by chance

COMPUTED = (
    "Each of 7 climate and 9 soil inputs and 8 annual results is averaged over the years in each cell; the matrix "
    "holds their Pearson correlations over the cells, weighted by area. The variance of dSOC that soil explains is the "
    "R2 of a linear regression on the 9 soil inputs, that of climate on the 7 climate inputs; both groups together "
    "explain less than the sum where they overlap, and the overlap is that difference."
)
LIMITS = (
    "Correlations from cell to cell are no effects: climate, soil, crops and GPP vary together across a region. The "
    "regressions are linear, and a region small enough for one climate leaves climate little to explain. Climate is "
    "that of NLDAS-2 cells of 1/8 degree, shared by all their 250 m cells, and neighbours resemble each other: the "
    "number of cells is no number of independent samples, so that no significance is given. The inputs acted on a "
    "network: what is attributed is the network's response, not that of fields."
)


def averages(subject: Subject, cells: TileCells) -> Floats:
    """Return the variables of each cell, averaged over the years (V, N); results are NaN in cells without any."""
    climate_YVN = [_climate(subject, cells, year) for year in subject.years]
    soil_VN = subject.inputs.soil_means(cells.tile)[:, cells.mask].astype(np.float64)
    layers = [cells.layer(name) for name in RESULTS]
    results = [means(np.nansum(x, axis=0, dtype=float), np.isfinite(x).sum(axis=0).astype(float)) for x in layers]
    return np.concatenate([np.mean(climate_YVN, axis=0), soil_VN, results])


def _climate(subject: Subject, cells: TileCells, year: int) -> Floats:
    """Return the means over the days of a year (7, N)."""
    found = subject.inputs.read_climate(cells.tile, year, mask=cells.mask)
    averages_7N: Floats = found.series_7TC.mean(axis=1, dtype=np.float64)[:, found.of_N]
    return averages_7N


def analyse(subject: Subject) -> Findings:
    """Return the findings on attribution."""
    moments, climates = Moments([*CLIMATE_NAMES, *SOIL_NAMES, *RESULTS]), set[tuple[float, ...]]()
    for cells in subject.cells():
        values_VN = averages(subject, cells)
        moments.add(values_VN, cells.area_m2_N)
        climates |= set(map(tuple, np.unique(values_VN[: len(CLIMATE_NAMES)], axis=1).T))
    shares = explained(moments)
    of_dsoc = dict(zip(shares.columns[1:], shares.iloc[RESULTS.index("dsoc"), 1:].astype(float), strict=True))
    numbers = (
        Number("variance of dSOC explained by soil", 100 * of_dsoc["soil"], "%", paper.SOIL_EXPLAINS),
        Number("variance of dSOC explained by climate", 100 * of_dsoc["climate"], "%", paper.CLIMATE_EXPLAINS),
        Number("explained by both together", 100 * of_dsoc["both"], "%"),
        Number("overlap of soil and climate", 100 * of_dsoc["overlap"], "%"),
        Number("cells", moments.count, "1"),
        Number("climate series among them", len(climates), "1"),
    )
    few = f"{len(climates)} climate series: seven climate variables explain much of so few by chance"
    notes = (few,) if len(climates) < _FEW_SERIES else ()
    matrix = correlation_table(moments)
    return Findings(
        COMPUTED, LIMITS, numbers, {MAIN: matrix, "variance": shares}, _figure(subject, moments, shares), notes
    )


def correlation_table(moments: Moments) -> pd.DataFrame:
    """Return one row per input and a column per result: Pearson correlations."""
    inputs = len(CLIMATE_NAMES) + len(SOIL_NAMES)
    groups = ["climate"] * len(CLIMATE_NAMES) + ["soil"] * len(SOIL_NAMES)
    matrix = pd.DataFrame(moments.correlations_VV[:inputs, inputs:], columns=list(RESULTS))
    matrix.insert(0, "input", [*CLIMATE_NAMES, *SOIL_NAMES])
    matrix.insert(1, "group", groups)
    return matrix


def explained(moments: Moments) -> pd.DataFrame:
    """Return one row per result: variance explained by soil, climate, both, each beyond the other, and the overlap."""
    rows = []
    for name in RESULTS:
        soil, climate = moments.explained(name, SOIL_NAMES), moments.explained(name, CLIMATE_NAMES)
        both = moments.explained(name, (*SOIL_NAMES, *CLIMATE_NAMES))
        rows.append(
            {
                "result": name,
                "soil": soil,
                "climate": climate,
                "both": both,
                "soil_beyond_climate": both - climate,
                "climate_beyond_soil": both - soil,
                "overlap": soil + climate - both,
            }
        )
    return pd.DataFrame(rows)


def _figure(subject: Subject, moments: Moments, shares: pd.DataFrame) -> Figure:
    drawing, panels = figures.sheet([["matrix", "variance"]], (11, 6.4))
    _draw_matrix(panels["matrix"], correlation_table(moments))
    _draw_variance(panels["variance"], shares)
    figures.caption(drawing, TITLE, subject.caption)
    return drawing


def _draw_matrix(axes: Axes, matrix: pd.DataFrame) -> None:
    values = matrix[list(RESULTS)].to_numpy()
    mesh = axes.imshow(values, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(RESULTS)), RESULTS, rotation=45, ha="right")
    axes.set_yticks(range(len(matrix)), matrix["input"])
    for (row, col), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(col, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axes.axhline(len(CLIMATE_NAMES) - 0.5, color="black", linewidth=1)
    axes.set_title("Pearson correlation over the cells", fontsize=10)
    figure = axes.get_figure()
    assert figure is not None
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.8, pad=0.02, aspect=30)
    bar.ax.locator_params(nbins=5)


def _draw_variance(axes: Axes, shares: pd.DataFrame) -> None:
    parts = {
        "soil_beyond_climate": ("soil only", figures.PAPER),
        "overlap": ("soil or climate", figures.QUIET),
        "climate_beyond_soil": ("climate only", figures.OURS),
    }
    left = np.zeros(len(shares))
    for column, (name, colour) in parts.items():
        # A negative overlap (the groups explain more together) is no length of a bar; the table has it.
        width = 100 * shares[column].to_numpy().clip(0)
        axes.barh(shares["result"], width, left=left, color=colour, label=name)
        left += width
    axes.plot(100 * shares["both"], shares["result"], "k|", markersize=14, label="both")
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="center right")
    soil, climate = paper.SOIL_EXPLAINS.value, paper.CLIMATE_EXPLAINS.value
    title = f"Variance explained (paper, dSOC: soil {soil:g} %, climate {climate:g} %)"
    figures.finish(axes, title, xlabel="% of the variance from cell to cell", xlim=(0, 100))


def _obstacle(subject: Subject) -> str | None:
    if not subject.has_inputs:
        return "needs the inputs store, which is absent"
    absent = sorted(set(subject.years) - subject.inputs.ingested("climate"))
    if absent or not subject.inputs.has_soil:
        return f"needs soil and the climate of {', '.join(map(str, absent)) or 'all years'} in the inputs store"
    return None


ANALYSIS = Analysis("attribution", TITLE, "correlations of inputs and results; variance explained by soil and climate",
                    _obstacle, analyse)  # fmt: skip
