"""Results of an experiment: a table of all networks side by side, figures and an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from model.evaluation.scores import season_of_day
from model.experiments.rows import CourseDay, Row, read_rows
from model.experiments.run import INGREDIENTS, KGML, PURE_ML, Experiment, courses_file
from pipeline.evaluation import page
from pipeline.evaluation.figures import DAILY_UNIT

GROUPS = ["tested_on", "samples", "variant"]
R2_SCORES = {"yield_r2": "R² yield", "reco_r2": "R² Reco", "nee_r2": "R² NEE"}
SCORES = {
    **R2_SCORES,
    "yield_rmse": "RMSE yield [g C m-2 yr-1]",
    "reco_rmse": "RMSE Reco [g C m-2 d-1]",
    "nee_rmse": "RMSE NEE [g C m-2 d-1]",
    "nee_annual_rmse": "RMSE annual NEE [g C m-2 yr-1]",
    "imbalance": "|imbalance| [g C m-2 d-1]",
    "imbalance_share": "|imbalance| / GPP",
    "imbalance_annual": "annual |imbalance| [g C m-2 yr-1]",
    "imbalance_annual_bias": "annual imbalance [g C m-2 yr-1]",
}
"""Headings of the scores in `model.experiments.rows.Row`."""
NAMES = {KGML.name: "KGML", PURE_ML.name: "pure ML"}
EXPLANATION = (
    "Means over the draws of training sites or over the folds, ± half their 95 % confidence interval (Student's t), "
    "which holds for draws alone: folds test on different data. R² and RMSE of annual yield, daily Reco and NEE, and "
    "annual NEE are computed on held-out sites or years of the simulated world, without observation errors. The "
    "imbalance is GPP - Reco + NEE of the predictions; its absolute value is averaged over days and over years."
)
PANELS = {
    "yield_r2": "R² of yield",
    "reco_r2": "R² of daily Reco",
    "nee_r2": "R² of daily NEE",
    "imbalance": "daily |imbalance| [g C m$^{-2}$ d$^{-1}$]",
    "imbalance_annual": "annual |imbalance| [g C m$^{-2}$ yr$^{-1}$]",
}
"""Panels of the figure and their titles."""
# The palette of Okabe and Ito, which can be distinguished with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MAX_CURVES = 2  # more networks are drawn as bars: their curves would hide each other
LOWEST_R2 = -0.5  # where the axis of a curve ends
CONFIDENCE, INTERVAL = 0.95, "_ci95"
FLUXES = {"nee": "NEE", "reco": "Reco"}
DECEMBER = 334  # days of the year before it: winter is drawn from 1 December on
SEASON_TICKS = {
    "winter": {-30: "1 Dec", 1: "1 Jan", 32: "1 Feb", 59: "28 Feb"},
    "summer": {152: "1 Jun", 182: "1 Jul", 213: "1 Aug", 243: "31 Aug"},
}


def comparison_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return one row per test, number of sites and network: the number of runs and the mean of each score.

    Beside each score of `PANELS` is half its 95 % confidence interval over the runs (Student's t), named `..._ci95`;
    NaN for a single run.
    """
    table = pd.DataFrame(list(rows), columns=[field.name for field in fields(Row)])
    groups = table.groupby(GROUPS, sort=False)
    means = groups[list(SCORES)].mean()
    runs = groups.size().rename("runs")
    quantiles = pd.Series(student.ppf((1 + CONFIDENCE) / 2, runs - 1) / np.sqrt(runs), runs.index)
    intervals = groups[list(PANELS)].std().mul(quantiles, axis=0).add_suffix(INTERVAL)
    return pd.concat([runs, means, intervals], axis=1).reset_index()


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with scores and intervals joined as text, such as "0.95 ± 0.02"."""
    shown = table[[name for name in table if not str(name).endswith(INTERVAL)]].copy()
    for name in PANELS:
        pairs = zip(table[name], table[name + INTERVAL], strict=True)
        shown[name] = [f"{mean:.3g} ± {half:.2g}" if np.isfinite(half) else f"{mean:.3g}" for mean, half in pairs]
    return shown


def verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per test and number of sites on the advantage of KGML-ag-Carbon over pure machine learning.

    Yields nothing if the table does not have both networks.
    """
    kgml_rows, pure_rows = (
        table[table["variant"] == variant.name].set_index(["tested_on", "samples"]) for variant in (KGML, PURE_ML)
    )
    for test, samples in kgml_rows.index.intersection(pure_rows.index, sort=False):
        kgml, pure = kgml_rows.loc[(test, samples)], pure_rows.loc[(test, samples)]
        gains = ", ".join(f"{title[3:]} {kgml[name] - pure[name]:+.3f}" for name, title in R2_SCORES.items())
        where = f"{test}, {samples} {'site' if samples == 1 else 'sites'}"
        yield (
            f"{where}: R² of KGML minus R² of pure ML: {gains}; mean |imbalance| {kgml['imbalance']:.3g} against "
            f"{pure['imbalance']:.3g} g C m-2 d-1, annual {kgml['imbalance_annual']:.3g} against "
            f"{pure['imbalance_annual']:.3g} g C m-2 yr-1"
        )


def write_experiment(name: Experiment, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write NAME-table.csv, NAME.png, NAME.html and, if there are courses, NAME-seasons.png; return their paths."""
    table, png = comparison_table(rows), page.png_of(experiment_figure(rows))
    shown = with_intervals(table.assign(variant=table["variant"].replace(NAMES))).rename(columns=SCORES)
    courses = courses_file(name, folder)
    seasons = page.png_of(season_figure(list(read_rows(courses, CourseDay)))) if courses.exists() else None
    parts = [
        page.note(EXPLANATION),
        page.note(f"Recipe {rows[0].recipe}; {len(rows)} rows."),
        *(f"<p>{line}</p>" for line in verdicts(table)),
        page.table(shown),
        page.image(png, text=f"Scores of the experiment {name}"),
        *([page.image(seasons, text="Winter and summer by ingredient")] if seasons else []),
    ]
    paths = [folder / f"{name}-table.csv", folder / f"{name}.png", folder / f"{name}.html"]
    paths[0].write_text(table.to_csv(index=False, float_format="%.6g"), encoding="utf-8")
    paths[1].write_bytes(png)
    paths[2].write_text(page.document(f"Experiment: {name}", parts), encoding="utf-8")
    if seasons:
        paths.append(folder / f"{name}-seasons.png")
        paths[-1].write_bytes(seasons)
    return paths


def experiment_figure(rows: Sequence[Row]) -> Figure:
    """Return the scores as curves over the number of sites, or as bars for one number of sites or many networks."""
    table = pd.DataFrame(list(rows))
    curves = table["samples"].nunique() > 1 and table["variant"].nunique() <= MAX_CURVES
    drawing = Figure(figsize=(16, 3.4 if curves else 5), layout="constrained")
    panels = drawing.subplots(1, len(PANELS), sharey=not curves)
    for axes, (name, title) in zip(panels, PANELS.items(), strict=True):
        (_draw_curves if curves else _draw_bars)(axes, table, name)
        axes.set_title(title, fontsize=9)
    if not curves:
        panels[0].invert_yaxis()  # networks from top to bottom, as in the table
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    return drawing


def _draw_curves(axes: Axes, table: pd.DataFrame, name: str) -> None:
    for colour, (variant, rows) in zip(COLOURS, table.groupby("variant", sort=False), strict=False):
        mean = rows.groupby("samples")[name].mean()
        axes.plot(rows["samples"], rows[name], ".", color=colour, alpha=0.5)
        axes.plot(mean.index, mean, color=colour, label=str(variant))
    # Linear between 0, the network without flux data, and 1.
    axes.set_xscale("symlog", linthresh=1)
    sizes = sorted(set(table["samples"]))
    axes.set_xticks(sizes, list(map(str, sizes)))
    axes.set_xlabel("sites with flux data")
    if name in R2_SCORES:
        axes.set_ylim(max(LOWEST_R2, float(table[name].min()) - 0.05), 1)
    else:
        axes.set_yscale("log")  # knowledge-guided networks close the balance better by an order of magnitude


def _draw_bars(axes: Axes, table: pd.DataFrame, name: str) -> None:
    several = table["tested_on"].nunique() > 1
    tests = list(table.groupby("tested_on" if several else "samples", sort=False))
    names = list(dict.fromkeys(table["variant"]))
    height = 0.8 / len(tests)
    for i, (test, rows) in enumerate(tests):
        values = rows.groupby("variant")[name].mean().reindex(names)
        if name in R2_SCORES:
            values = values.clip(lower=0)  # one strongly negative R² would shrink all other bars
        label = str(test) if several else f"{test} sites"
        axes.barh(np.arange(len(names)) + i * height, values, height, color=COLOURS[i % len(COLOURS)], label=label)
        draws = rows[name].clip(lower=0) if name in R2_SCORES else rows[name]
        if rows["repeat"].nunique() > 1:
            at = [names.index(variant) + i * height for variant in rows["variant"]]
            axes.plot(draws, at, ".", color="black", markersize=3)
    axes.set_yticks(np.arange(len(names)) + 0.4 - 0.4 / len(tests), names, fontsize=7)


def season_figure(courses: Sequence[CourseDay]) -> Figure:
    """Return mean courses of NEE and Reco in winter and summer: a row per flux and sample, a line per ingredient."""
    table = pd.DataFrame(list(courses))
    means = table.groupby(["samples", "output", "variant", "day"])[["predicted", "truth"]].mean()
    samples, seasons = sorted(set(table["samples"])), ("winter", "summer")
    height = len(samples) * len(FLUXES)
    drawing = Figure(figsize=(11, 2.8 * height), layout="constrained")
    panels = drawing.subplots(height, len(seasons), squeeze=False)
    rows = [(size, output) for output in FLUXES for size in samples]
    for axes_row, (size, output) in zip(panels, rows, strict=True):
        for axes, season in zip(axes_row, seasons, strict=True):
            _draw_season(axes, means.loc[(size, output)], season)
            axes.set_title(f"{FLUXES[output]}, {season}, {size} {'site' if size == 1 else 'sites'}", fontsize=10)
        axes_row[0].set_ylabel(f"{FLUXES[output]} [{DAILY_UNIT}]")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return drawing


def _draw_season(axes: Axes, means: pd.DataFrame, season: str) -> None:
    days = np.flatnonzero(season_of_day()[season]) + 1
    days = np.roll(days, -int((days <= DECEMBER).sum())) if season == "winter" else days
    # Days of January and February follow December.
    x = np.where(days > DECEMBER, days - 365, days) if season == "winter" else days
    for variant, colour in zip(INGREDIENTS, COLOURS, strict=False):
        if variant.name in means.index.get_level_values("variant"):
            course = means.loc[variant.name].reindex(days)
            axes.plot(x, course["predicted"], color=colour, linewidth=1.3, label=variant.name)
    truth = means.groupby("day")["truth"].mean().reindex(days)
    axes.plot(x, truth, color="black", linewidth=1.6, linestyle="--", label="truth")
    axes.set_xticks(list(SEASON_TICKS[season]), list(SEASON_TICKS[season].values()))
