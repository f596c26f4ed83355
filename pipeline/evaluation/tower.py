"""One tower in the years that its fine-tuning never saw: fine-tuned, as before, pure machine learning, and nulls.

Every model predicts the same days. At a tower the input GPP is Reco - NEE, so that NEE is nearly given: Reco and the
annual NEE tell more than the daily NEE.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model.checkpoint import Checkpoint
from model.data.records import DAYS, TowerSet
from model.evaluation.scores import Carbon, predicted_carbon
from model.experiments.baselines import TowerYears, tower_baseline
from model.recipe.experiments import FitRecipe
from model.recipe.training import TowerRecipe
from pipeline.errors import UserError
from pipeline.site.skill import Comparison, compare, seasonal_cycle
from pipeline.site.tower import TowerFiles
from pipeline.training.files import read_tower_set

FINE_TUNED, BEFORE, PURE = "fine-tuned", "before fine-tuning", "pure ML, this tower alone"
SEASON, SEASON_LESS_GPP = "mean seasonal cycle", "mean seasonal Reco - GPP"
PURE_RECIPE = FitRecipe(epochs=60, patience=30, batch_sites=1, learning_rate=3e-3, decay=0.7, decay_epochs=25)
"""Of several that were tried on the validation year, the one that served the pure-ML network best."""
PURE_SEED = 1


@dataclass(frozen=True)
class TowerCourse:
    """Predicted and observed fluxes of a tower, all its years.

    Attributes
    ----------
    tower
        Inputs and observations.
    years
        Calendar years that trained, chose the epoch and test.
    reco, nee
        By model, (Y, 365) [g C m-2 d-1], NEE positive to the atmosphere.
    """

    tower: TowerSet
    years: TowerRecipe
    reco: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
    nee: dict[str, np.ndarray[Any, np.dtype[np.float64]]]


def tower_recipe(checkpoint: Checkpoint) -> TowerRecipe:
    """Return the tower that a checkpoint was fine-tuned on.

    Raises
    ------
    UserError
        If it was not, or on several, or without a year to test.
    """
    towers = checkpoint.record.get("recipe", {}).get("towers", [])
    if len(towers) != 1 or not towers[0].get("test_years"):
        raise UserError(
            f"the checkpoint's record names {len(towers)} towers with test years, not one; give one that stage 5 of a "
            f"recipe such as us-ne1.toml left"
        )
    return TowerRecipe(**towers[0])


def read_tower(recipe: TowerRecipe, data: Path) -> TowerSet:
    """Return the tower of a recipe, whose files are in a folder; raises `UserError` for what the readers refuse."""
    files = TowerFiles(data / recipe.weather, data / recipe.soil, data / recipe.tower)
    return read_tower_set(files, crop=recipe.crop, years=recipe.years)


def tower_course(tower: TowerSet, years: TowerRecipe, *, fine_tuned: Checkpoint, before: Checkpoint) -> TowerCourse:
    """Return the fluxes of each model at the tower.

    Parameters
    ----------
    tower
        Inputs and observations.
    years
        Which of its years were learned from, and which test.
    fine_tuned, before
        Checkpoints after and before stage 5.
    """
    carbon = {name: _predicted(each, tower) for name, each in {FINE_TUNED: fine_tuned, BEFORE: before}.items()}
    reco = {name: each.reco_NYT[0].astype(np.float64) for name, each in carbon.items()}
    nee = {name: each.nee_NYT[0].astype(np.float64) for name, each in carbon.items()}
    split = TowerYears(years.training_years, years.validation_years)
    pure = tower_baseline(tower, years=split, scalers=before.scalers, recipe=PURE_RECIPE, seed=PURE_SEED)
    reco[PURE], nee[PURE] = pure[..., 0].astype(np.float64), pure[..., 1].astype(np.float64)
    season = _seasons(tower, years)
    reco[SEASON], nee[SEASON] = season["reco"], season["nee"]
    nee[SEASON_LESS_GPP] = season["reco"] - Carbon.of_tower(tower).gpp_NYT[0]
    return TowerCourse(tower, years, reco, nee)


def _predicted(checkpoint: Checkpoint, tower: TowerSet) -> Carbon:
    return predicted_carbon(checkpoint.network(), tower.x_YTF[None], scalers=checkpoint.scalers)


def _seasons(tower: TowerSet, recipe: TowerRecipe) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the mean seasons (Y, 365) of the years that trained or chose; test years never enter them."""
    known = np.isin(tower.years, [*recipe.training_years, *recipe.validation_years])[:, None]
    observed, dates = Carbon.of_tower(tower), _dates(tower)
    one_crop = np.zeros(len(dates))
    return {
        name: seasonal_cycle(
            np.where(known, observed.daily(name)[0], np.nan).ravel().astype(np.float64), dates=dates, crop=one_crop
        ).reshape(-1, DAYS)
        for name in ("reco", "nee")
    }


def _dates(tower: TowerSet) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    days = pd.date_range(f"{tower.years[0]}-01-01", f"{tower.years[-1]}-12-31")
    return days[days.day_of_year <= DAYS].to_numpy()


def compare_test_years(course: TowerCourse) -> tuple[Comparison, ...]:
    """Return daily and annual scores of Reco and NEE over the test years, on days that all models have."""
    test = np.isin(course.tower.years, course.years.test_years)
    observed = Carbon.of_tower(course.tower)
    dates = _dates(course.tower).reshape(-1, DAYS)[test].ravel()
    scores = []
    for name, models in (("reco", course.reco), ("nee", course.nee)):
        of_test = {model: flux[test].ravel() for model, flux in models.items()}
        network = of_test.pop(FINE_TUNED)
        truth = observed.daily(name)[0][test].ravel().astype(np.float64)
        scores += compare(name, observed=truth, network=network, nulls=of_test, dates=dates)
    return tuple(scores)


def tower_table(course: TowerCourse) -> pd.DataFrame:
    """Return one row per flux and model: R2, RMSE and bias of test days; error of annual sums [g C m-2 yr-1]."""
    scores = {(each.flux, each.period): each for each in compare_test_years(course)}
    rows = []
    for flux in ("reco", "nee"):
        daily, annual = (
            {FINE_TUNED: scores[flux, period].network, **scores[flux, period].nulls} for period in ("daily", "annual")
        )
        rows += [
            {"flux": flux, "model": model, "days": one.count, "r2": one.r2_or_nan, "rmse": one.rmse, "bias": one.bias}
            | {"years": annual[model].count, "annual_rmse": annual[model].rmse, "annual_bias": annual[model].bias}
            for model, one in daily.items()
        ]
    return pd.DataFrame(rows)
