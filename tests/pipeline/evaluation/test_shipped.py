"""The shipped default at towers and years that it never saw: the skill that the model card states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from model.evaluation.scores import Carbon, predicted_carbon
from model.features import CORN, CROP_TYPE, GPP, SOYBEAN
from model.recipe.toml import read_toml
from model.recipe.training import Recipe
from model.shipped import checkpoint_file
from pipeline.training.files import read_tower_set

pytestmark = [pytest.mark.slow, pytest.mark.realdata]
RECIPE = Path(__file__).parents[3] / "model" / "training" / "recipes" / "towers.toml"
CARBON_OF_GRAIN = 0.845 * 0.45 * 100  # g C m-2 of a tonne per hectare at 15.5 % moisture


def r2(predicted: np.ndarray, observed: np.ndarray) -> float:
    return float(1 - ((predicted - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum())


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(checkpoint_file())


def test_judged_years_of_us_ne1_beat_the_seasonal_cycle_and_have_the_sign_of_soil_carbon(
    realdata: Path, checkpoint: Checkpoint
) -> None:
    recipe = read_toml(RECIPE, Recipe).towers[0]
    tower = read_tower_set(recipe, realdata)
    predicted: Carbon = predicted_carbon(checkpoint.network(), tower.x_YTF[None], scalers=checkpoint.scalers)
    judged, learned = (np.isin(tower.years, years) for years in ((2008, 2009), (*recipe.training_years, 2007)))
    mask, days = tower.mask_YT[judged], np.arange(365)
    observed = {"reco": tower.reco_YT[judged], "nee": tower.nee_YT[judged]}
    cycle = np.array([tower.reco_YT[learned][:, day][tower.mask_YT[learned][:, day]].mean() for day in days])
    nulls = {"reco": np.tile(cycle, (2, 1)), "nee": cycle - tower.x_YTF[judged][..., GPP]}
    for name in ("reco", "nee"):
        network = predicted.daily(name)[0, judged]
        assert r2(network[mask], observed[name][mask]) > r2(nulls[name][mask], observed[name][mask]), name
        annual = ((network - observed[name]) * mask).sum(1) * 365 / mask.sum(1)
        assert abs(annual.mean()) <= 40, name
    grain = pd.read_csv(realdata / "towers" / "US-Ne1_grain_2001-2009.csv", index_col="year")["grain_t_ha"]
    harvest = grain.loc[[2008, 2009]].to_numpy() * CARBON_OF_GRAIN
    measured = -tower.nee_YT[judged].sum(1) * 365 / mask.sum(1) - harvest
    modelled = -predicted.nee_NYT[0, judged].sum(1) - harvest
    assert np.sign(modelled.mean()) == np.sign(measured.mean())
    assert np.abs(modelled - measured).max() <= 60


def test_us_ne3_which_was_never_learned_has_the_annual_nee_of_both_crops(
    realdata: Path, checkpoint: Checkpoint
) -> None:
    recipe = read_toml(RECIPE, Recipe).towers[2]
    assert not recipe.training_years
    tower = read_tower_set(recipe, realdata)
    predicted = predicted_carbon(checkpoint.network(), tower.x_YTF[None], scalers=checkpoint.scalers)
    error = ((tower.as_observed(predicted.nee_NYT[0]) - tower.nee_YT) * tower.mask_YT).sum(1)
    for crop in (CORN, SOYBEAN):
        assert abs(error[tower.x_YTF[:, 0, CROP_TYPE] == crop].mean()) <= 40
