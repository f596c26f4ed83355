"""Annual carbon budgets at towers: dSOC = -NEE - grain, predicted beside measured with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from model.evaluation.scores import ANNUAL_COVERAGE
from model.features import CROP_NAMES
from model.recipe.training import TowerRecipe
from pipeline.evaluation.towers import TowerFluxes
from pipeline.site.tower import TowerFiles
from pipeline.sources.grain import read_grain
from pipeline.sources.towers.read import read_annual_nee

GRAIN_FILES = "towers/*_grain_*.csv"
GRAIN_CV = 0.05
"""Relative standard uncertainty of the carbon in harvested grain: its moisture, carbon content and losses; assumed."""
MEASURED = ["nee_measured", "nee_sd", "grain_measured", "grain_sd", "dsoc_measured", "dsoc_sd"]
PREDICTED = ["nee", "grain", "dsoc", "dsoc_measured_grain"]
COLUMNS = ["site", "year", "crop", "role", "model", *MEASURED, *PREDICTED]
NOTES = (
    "dSOC = -NEE - grain [g C m-2 yr-1], positive where the soil gains. Measured NEE is NEE_VUT_REF of all days, gaps "
    "filled by FLUXNET; its standard uncertainty is that of the tower's file: NEE_VUT_REF_RANDUNC and the "
    "quartiles NEE_VUT_25 and NEE_VUT_75, without errors that all eddy-covariance measurements share. "
    f"That of grain is assumed to be {GRAIN_CV:.0%}.",
    "Where no harvest is known, predicted dSOC is with the predicted grain, and none is measured; grain is positive, "
    "so that dSOC is below -NEE.",
)


def tower_budgets(towers: Sequence[TowerFluxes], recipes: Sequence[TowerRecipe], *, data: Path) -> pd.DataFrame:
    """Return one row per tower, year and model with a yield, in `COLUMNS` [g C m-2 yr-1].

    The columns `MEASURED` are NaN where NEE or grain was not measured; a year counts as measured if nine tenths of its
    days can be scored. Of the columns `PREDICTED`, dsoc is with the predicted grain, dsoc_measured_grain with the
    harvested grain. Predictions are sums over 365 days.

    Raises
    ------
    UserError
        If a file of grain or of a tower is refused.
    """
    grain = read_grain(sorted(data.glob(GRAIN_FILES))).set_index(["site", "year"])["grain_gc_m2"]
    tables = [
        _budget(fluxes, nee=read_annual_nee(*TowerFiles.of(recipe, data).tower), grain=grain)
        for fluxes, recipe in zip(towers, recipes, strict=True)
    ]
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _budget(fluxes: TowerFluxes, *, nee: pd.DataFrame, grain: pd.Series) -> pd.DataFrame:
    tower = fluxes.tower
    years = pd.Index(tower.years)
    seen = tower.mask_YT.mean(1) >= ANNUAL_COVERAGE
    measured = nee.reindex(years).where(pd.Series(seen, years), axis=0)
    harvest = grain.reindex(pd.MultiIndex.from_product([[tower.site], years])).set_axis(years)
    frame = pd.DataFrame(
        {
            "site": tower.site,
            "year": years,
            "crop": [CROP_NAMES[int(crop)] for crop in fluxes.crops],
            "role": fluxes.roles,
            "nee_measured": measured["nee"],
            "nee_sd": measured["nee_sd"],
            "grain_measured": harvest,
            "grain_sd": GRAIN_CV * harvest,
            "dsoc_measured": -measured["nee"] - harvest,
            "dsoc_sd": np.hypot(measured["nee_sd"], GRAIN_CV * harvest),
        },
        index=years,
    )
    return pd.concat([_with_model(frame, fluxes, model) for model in fluxes.yields])


def _with_model(frame: pd.DataFrame, fluxes: TowerFluxes, model: str) -> pd.DataFrame:
    nee, grain = fluxes.nee[model].sum(1), fluxes.yields[model]
    predicted = {"nee": nee, "grain": grain, "dsoc": -nee - grain}
    return frame.assign(model=model, **predicted, dsoc_measured_grain=-nee - frame["grain_measured"])


def printed_budgets(budgets: pd.DataFrame, *, model: str) -> pd.DataFrame:
    """Return the budgets of one model for the terminal; measured values with their standard uncertainty as text."""
    rows = budgets[budgets["model"] == model]
    shown = rows[["site", "year", "crop", "role"]].copy()
    for title, name in {"NEE": "nee", "grain": "grain", "dSOC": "dsoc"}.items():
        pairs = zip(rows[f"{name}_measured"], rows[f"{name}_sd"], strict=True)
        shown[f"{title} measured"] = [_with_sd(*pair) for pair in pairs]
        shown[title] = rows[name].map("{:.0f}".format)
    shown["with harvest"] = [_with_sd(value, np.nan) for value in rows["dsoc_measured_grain"]]
    return shown


def _with_sd(value: float, sd: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:.0f} ± {sd:.0f}" if np.isfinite(sd) else f"{value:.0f}"
