"""What an experiment leaves behind: its runs, one table of networks side by side, a figure and a page of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd

from model.experiments.rows import Row
from model.experiments.run import KGML, PURE_ML, Experiment
from pipeline.evaluation import page
from pipeline.evaluation.experiment_figure import experiment_figure

GROUPS = ["tested_on", "samples", "variant"]
SCORES = {
    "yield_r2": "R² yield",
    "reco_r2": "R² Reco",
    "nee_r2": "R² NEE",
    "yield_rmse": "RMSE yield [g C m-2 yr-1]",
    "reco_rmse": "RMSE Reco [g C m-2 d-1]",
    "nee_rmse": "RMSE NEE [g C m-2 d-1]",
    "nee_annual_rmse": "RMSE annual NEE [g C m-2 yr-1]",
    "imbalance": "|imbalance| [g C m-2 d-1]",
    "imbalance_share": "|imbalance| / GPP",
    "imbalance_annual": "annual |imbalance| [g C m-2 yr-1]",
    "imbalance_annual_bias": "annual imbalance [g C m-2 yr-1]",
}
NAMES = {KGML.name: "KGML", PURE_ML.name: "pure ML"}
EXPLANATION = (
    "Means over the draws of a size or the folds. R² and RMSE are of annual yield, daily Reco and NEE and annual NEE "
    "on sites of the simulated world that no network saw, without errors of observation; the imbalance is "
    "GPP - Reco + NEE of the predictions, its absolute value averaged over days and over years."
)


def comparison_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return one row per test, number of sites and network: number of runs, and each score's mean over them.

    A score's spread, the standard deviation over the runs, stands beside each R² as `..._sd`; NaN of a single run.
    """
    table = pd.DataFrame(list(rows), columns=[field.name for field in fields(Row)])
    groups = table.groupby(GROUPS, sort=False)
    means = groups[list(SCORES)].mean()
    deviations = groups[[name for name in SCORES if name.endswith("r2")]].std().add_suffix("_sd")
    return pd.concat([groups.size().rename("runs"), means, deviations], axis=1).reset_index()


def verdicts(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per test and number of sites: what KGML-ag-Carbon gains over the pure-ML networks.

    Nothing where a table has not both.
    """
    ours, theirs = (
        table[table["variant"] == variant.name].set_index(["tested_on", "samples"]) for variant in (KGML, PURE_ML)
    )
    for test, samples in ours.index.intersection(theirs.index, sort=False):
        kgml, pure = ours.loc[(test, samples)], theirs.loc[(test, samples)]
        gains = ", ".join(f"{SCORES[name][3:]} {kgml[name] - pure[name]:+.3f}" for name in SCORES if name[-2:] == "r2")
        yield (
            f"{test}, {samples} sites: R² of KGML less that of pure ML: {gains}; imbalance "
            f"{kgml['imbalance']:.3g} against {pure['imbalance']:.3g} g C m-2 d-1, annual "
            f"{kgml['imbalance_annual']:.3g} against {pure['imbalance_annual']:.3g} g C m-2 yr-1"
        )


def write_experiment(name: Experiment, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write NAME-table.csv, NAME.png and NAME.html; return their paths."""
    table, png = comparison_table(rows), page.png_of(experiment_figure(rows))
    shown = table.assign(variant=table["variant"].replace(NAMES)).rename(columns=SCORES)
    parts = [
        page.note(EXPLANATION),
        page.note(f"Recipe {rows[0].recipe}; {len(rows)} rows."),
        *(f"<p>{line}</p>" for line in verdicts(table)),
        page.table(shown[[name for name in shown if not str(name).endswith("_sd")]]),
        page.image(png, text=f"Scores of the experiment {name}"),
    ]
    paths = [folder / f"{name}-table.csv", folder / f"{name}.png", folder / f"{name}.html"]
    paths[0].write_text(table.to_csv(index=False, float_format="%.6g"), encoding="utf-8")
    paths[1].write_bytes(png)
    paths[2].write_text(page.document(f"Experiment: {name}", parts), encoding="utf-8")
    return paths
