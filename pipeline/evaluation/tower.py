"""A tower in the years that its fine-tuning never saw: networks before and after it, pure ML, and null models.

All models are scored on the same days. The input GPP of a tower is Reco - NEE, so that daily NEE is almost given: Reco
and the annual NEE say more about a model than daily NEE does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.data.records import DAYS, TowerSet
from model.evaluation.scores import Carbon, predicted_carbon
from model.experiments.baselines import tower_baseline
from model.recipe.experiments import FitRecipe
from model.recipe.training import TowerRecipe
from model.training.tower_stage import TowerData
from pipeline.errors import UserError
from pipeline.evaluation.subjects import days_of
from pipeline.site.skill import (
    SEASONAL_CYCLE,
    SEASONAL_RECO_LESS_GPP,
    Comparison,
    NullModels,
    compare,
    seasonal_nulls,
)
from pipeline.training.files import read_tower_set

Floats: TypeAlias = NDArray[np.float64]

FINE_TUNED, BEFORE, PURE = "fine-tuned", "before fine-tuning", "pure ML, this tower alone"
# Of several recipes tried, the one with which the pure-ML network was best in the validation year.
PURE_RECIPE = FitRecipe(epochs=60, patience=30, batch_sites=1, learning_rate=3e-3, decay=0.7, decay_epochs=25)
PURE_SEED = 1
COLUMNS = ["flux", "model", "days", "r2", "rmse", "bias", "years", "annual_rmse", "annual_bias"]


@dataclass(frozen=True)
class TowerFluxes:
    """Observed and predicted fluxes of a tower in all its years.

    Attributes
    ----------
    tower
        Inputs and observations.
    years
        Calendar years of training, validation and test.
    reco, nee
        Daily fluxes (Y, 365) by model [g C m-2 d-1], NEE positive to the atmosphere.
    """

    tower: TowerSet
    years: TowerRecipe
    reco: Mapping[str, Floats]
    nee: Mapping[str, Floats]


def tower_recipe(checkpoint: Checkpoint) -> TowerRecipe:
    """Return the tower that a checkpoint was fine-tuned on.

    Raises
    ------
    UserError
        If the checkpoint was fine-tuned on no tower, on several, or without test years.
    """
    towers = checkpoint.record.get("recipe", {}).get("towers", [])
    if len(towers) != 1 or not towers[0].get("test_years"):
        raise UserError(
            f"the checkpoint's record names {len(towers)} towers with test years, not one; give a checkpoint after "
            f"stage 5 of a recipe such as us-ne1.toml"
        )
    return TowerRecipe(**towers[0])


def read_tower(recipe: TowerRecipe, data: Path) -> TowerSet:
    """Return the tower of a recipe from its files in a folder.

    Raises
    ------
    UserError
        If a file is missing or cannot be read.
    """
    return read_tower_set(recipe, data)


def tower_fluxes(tower: TowerSet, years: TowerRecipe, *, fine_tuned: Checkpoint, before: Checkpoint) -> TowerFluxes:
    """Return the fluxes of each model at the tower.

    Parameters
    ----------
    tower
        Inputs and observations.
    years
        Years of training, validation and test.
    fine_tuned, before
        Checkpoints after and before stage 5.
    """
    carbon = {FINE_TUNED: _predicted(fine_tuned, tower), BEFORE: _predicted(before, tower)}
    reco = {name: each.reco_NYT[0].astype(np.float64) for name, each in carbon.items()}
    nee = {name: each.nee_NYT[0].astype(np.float64) for name, each in carbon.items()}
    data = TowerData(tower, years.training_years, years.validation_years)
    pure_YT2 = tower_baseline(data, scalers=before.scalers, recipe=PURE_RECIPE, seed=PURE_SEED)
    reco[PURE], nee[PURE] = pure_YT2[..., 0].astype(np.float64), pure_YT2[..., 1].astype(np.float64)
    nulls = _null_models(tower, years)
    reco[SEASONAL_CYCLE] = nulls.reco[SEASONAL_CYCLE].reshape(-1, DAYS)
    for name in (SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP):
        nee[name] = nulls.nee[name].reshape(-1, DAYS)
    return TowerFluxes(tower, years, reco, nee)


def _predicted(checkpoint: Checkpoint, tower: TowerSet) -> Carbon:
    return predicted_carbon(checkpoint.network(), tower.x_YTF[None], scalers=checkpoint.scalers)


def _null_models(tower: TowerSet, recipe: TowerRecipe) -> NullModels:
    """Return the null models from training and validation years; observations of test years never enter them."""
    known_Y1 = np.isin(tower.years, [*recipe.training_years, *recipe.validation_years])[:, None]
    observed, dates = Carbon.of_tower(tower), days_of(tower.years)
    reco, nee = (
        np.where(known_Y1, observed.daily(name)[0], np.nan).ravel().astype(np.float64) for name in ("reco", "nee")
    )
    # One code for all days: the few known years are averaged whatever their crop.
    one_crop = np.zeros(len(dates))
    return seasonal_nulls(reco, nee, gpp=observed.gpp_NYT[0].ravel(), dates=dates, crop=one_crop)


def compare_test_years(fluxes: TowerFluxes) -> tuple[Comparison, ...]:
    """Return daily and annual scores of Reco and NEE over the test years, on the days that all models have."""
    test = np.isin(fluxes.tower.years, fluxes.years.test_years)
    observed = Carbon.of_tower(fluxes.tower)
    dates = days_of(fluxes.tower.years).reshape(-1, DAYS)[test].ravel()
    scores = []
    for name, models in (("reco", fluxes.reco), ("nee", fluxes.nee)):
        # The fine-tuned network is the one judged; all other models are compared with as null models are.
        others = {model: flux[test].ravel() for model, flux in models.items()}
        network = others.pop(FINE_TUNED)
        truth = observed.daily(name)[0][test].ravel().astype(np.float64)
        scores += compare(name, observed=truth, network=network, nulls=others, dates=dates)
    return tuple(scores)


def tower_table(fluxes: TowerFluxes) -> pd.DataFrame:
    """Return one row per flux and model: the scores over the test years.

    Columns are `COLUMNS`: flux, "reco" or "nee", and model; days, r2 (NaN if the observations do not vary), rmse and
    bias of daily values [g C m-2 d-1]; years, annual_rmse and annual_bias of annual sums [g C m-2 yr-1].
    """
    scores = {(each.flux, each.period): {FINE_TUNED: each.network, **each.nulls} for each in compare_test_years(fluxes)}
    rows = []
    for flux in ("reco", "nee"):
        for model, day in scores[flux, "daily"].items():
            year = scores[flux, "annual"][model]
            daily = (day.count, day.r2_or_nan, day.rmse, day.bias)
            rows.append((flux, model, *daily, year.count, year.rmse, year.bias))
    return pd.DataFrame(rows, columns=COLUMNS)
