"""Figures of the experiments' tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model.experiments.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "yield_r2": "R² of yield",
    "reco_r2": "R² of daily Reco",
    "nee_r2": "R² of daily NEE",
    "imbalance": "daily |imbalance| [g C m$^{-2}$ d$^{-1}$]",
    "imbalance_annual": "annual |imbalance| [g C m$^{-2}$ yr$^{-1}$]",
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # of Okabe and Ito: told apart by all
CURVES = 2  # networks beyond which curves would hide each other


def experiment_figure(rows: Sequence[Row]) -> Figure:
    """Return scores as curves over the number of sites, or as bars where there is one number or many networks."""
    from matplotlib.figure import Figure

    table = pd.DataFrame(list(rows))
    curves = table["samples"].nunique() > 1 and table["variant"].nunique() <= CURVES
    drawing = Figure(figsize=(16, 3.4 if curves else 5), layout="constrained")
    panels = drawing.subplots(1, len(PANELS), sharey=not curves)
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        (_draw_curves if curves else _draw_bars)(axes, table, name)
        axes.set_title(title, fontsize=9)
    if not curves:
        panels[0].invert_yaxis()  # as a table is read
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    return drawing


def _draw_curves(axes: Axes, table: pd.DataFrame, name: str) -> None:
    for colour, (variant, rows) in zip(COLOURS, table.groupby("variant", sort=False), strict=False):
        mean = rows.groupby("samples")[name].mean()
        axes.plot(rows["samples"], rows[name], ".", color=colour, alpha=0.5)
        axes.plot(mean.index, mean, color=colour, label=str(variant))
    axes.set(xscale="log", xlabel="sites")
    if name.endswith("r2"):
        axes.set_ylim(max(-0.5, float(table[name].min()) - 0.05), 1)
    else:
        axes.set_yscale("log")  # networks that know the balance close it better by an order of magnitude


def _draw_bars(axes: Axes, table: pd.DataFrame, name: str) -> None:
    several = table["tested_on"].nunique() > 1
    tests = list(table.groupby("tested_on" if several else "samples", sort=False))
    names = list(dict.fromkeys(table["variant"]))
    for i, (test, rows) in enumerate(tests):
        values = rows.groupby("variant")[name].mean().reindex(names)
        if name.endswith("r2"):
            values = values.clip(lower=0)  # a bar below nothing hides all others
        height = 0.8 / len(tests)
        label = str(test) if several else f"{test} sites"
        axes.barh(np.arange(len(names)) + i * height, values, height, color=COLOURS[i % len(COLOURS)], label=label)
    axes.set_yticks(np.arange(len(names)) + 0.4 - 0.4 / len(tests), names, fontsize=7)
