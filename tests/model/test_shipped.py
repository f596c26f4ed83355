"""The shipped checkpoints: their records, and their skill on simulations that they were not trained or chosen on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import Checkpoint, CheckpointError
from model.data.run_years import Prediction, predict
from model.data.sites import simulate_sites, site_sequences, synthetic_data
from model.evaluation.checks import response_verdicts
from model.evaluation.responses import GRIDS, response_curves
from model.evaluation.scores import predicted_carbon, yield_bounds
from model.features import FEATURE_NAMES
from model.recipe.toml import parse, read_toml
from model.recipe.training import DataRecipe, Recipe
from model.shipped import DEFAULT, SIMULATED, checkpoint_file
from model.training.scores import held_out_scores
from model.training.stages import physical_fluxes

RECIPES = Path(__file__).parents[2] / "model" / "training" / "recipes"
BATCH = 40  # sites predicted at a time


@pytest.fixture(scope="module", params=[DEFAULT, SIMULATED])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint.load(checkpoint_file(request.param))


@pytest.fixture(scope="module")
def simulated() -> Checkpoint:
    return Checkpoint.load(checkpoint_file(SIMULATED))


@pytest.fixture(scope="module")
def towers() -> Checkpoint:
    return Checkpoint.load(checkpoint_file())


def test_the_origins_name_the_simulations_and_the_towers(simulated: Checkpoint, towers: Checkpoint) -> None:
    assert simulated.record["origin"].startswith("synthetic")
    assert "not the authors' weights" in simulated.record["origin"]
    assert towers.record["origin"].startswith("fine-tuned on the towers US-Ne1, US-Ne2; before: synthetic")


def test_both_are_judged_by_the_ranges_of_the_same_simulations(simulated: Checkpoint, towers: Checkpoint) -> None:
    assert simulated.record["training_ranges"] == towers.record["training_ranges"]


LEAST_R2 = {"yield": 0.97, "ra_daily": 0.98, "rh_daily": 0.9, "nee_daily": 0.975}


def test_the_shipped_checkpoints_predict_simulations_of_another_seed(checkpoint: Checkpoint) -> None:
    torch.set_num_threads(1)
    data = synthetic_data(DataRecipe(7, 1, 2001, 2006, 1), seed=99)
    predicted = predict(checkpoint.network(), data.training.x_NYTF)
    own, fresh = checkpoint.scalers.outputs, data.scalers.outputs
    restated = Prediction(
        torch.stack(
            [
                (physical_fluxes(predicted.fluxes_NYT3, scalers=checkpoint.scalers)[..., i] - fresh[name].mean)
                / fresh[name].std
                for i, name in enumerate(("ra", "rh", "nee"))
            ],
            -1,
        ),
        (predicted.yield_NY * own["yield"].std + own["yield"].mean - fresh["yield"].mean) / fresh["yield"].std,
    )
    everything = torch.ones(7, 6, dtype=torch.bool)
    scores = held_out_scores(restated, target=data.training, mask_NY=everything, scalers=data.scalers)
    r2 = {name: scores[name]["r2"] for name in LEAST_R2}
    assert all(r2[name] >= least for name, least in LEAST_R2.items()), r2
    assert scores["imbalance_daily"] < 0.03


def test_the_records_are_those_of_the_committed_recipes(simulated: Checkpoint, towers: Checkpoint) -> None:
    for checkpoint, recipe in ((simulated, "shipped"), (towers, "towers")):
        assert parse(checkpoint.record["recipe"], Recipe) == read_toml(RECIPES / f"{recipe}.toml", Recipe)
    assert [stage["step"] for stage in towers.record["stages"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("stage", ["stage2", "stage4", "stage5"])
def test_the_record_has_the_required_skill_and_balance(towers: Checkpoint, stage: str) -> None:
    scores = towers.record["scores"][stage]
    for name, least in {"yield": 0.98, "ra": 0.98, "rh": 0.95, "nee": 0.95}.items():
        assert scores[name]["r2"] >= least, name
        assert scores["held_out_years"][name]["r2"] >= least, name
    for balance in (scores["balance"], scores["held_out_years"]["balance"]):
        assert balance["daily_share"] <= 0.02
        assert balance["annual"] <= 8
        assert abs(balance["annual_bias"]) <= 2


def test_fine_tuning_costs_little_skill_on_simulated_sites(towers: Checkpoint) -> None:
    before, after = (towers.record["scores"][stage] for stage in ("stage4", "stage5"))
    for name in ("yield", "ra", "rh", "nee"):
        assert after[name]["r2"] > before[name]["r2"] - 0.02, name


@pytest.mark.slow
def test_yields_of_all_training_sites_lie_between_zero_and_half_of_gpp(simulated: Checkpoint) -> None:
    torch.set_num_threads(1)  # stage 5 leaves yields as they are
    recipe = simulated.record["recipe"]
    seed = recipe["seed"] if recipe.get("data_seed") is None else recipe["data_seed"]
    sequences = site_sequences(DataRecipe(**recipe["data"]), seed=seed)
    network, low, high = simulated.network(), 0, 0
    for start in range(0, len(sequences), BATCH):
        some = sequences.at(slice(start, start + BATCH))
        bounds = yield_bounds(predicted_carbon(network, some.x_NYTF, scalers=simulated.scalers))
        low, high = low + bounds.negative, high + bounds.above
    assert len(sequences) >= 200
    assert (low, high) == (0, 0)


@pytest.mark.slow
def test_respiration_rises_with_soil_carbon_and_yield_with_gpp(checkpoint: Checkpoint) -> None:
    torch.set_num_threads(1)
    x_NYTF = simulate_sites(98, sites=3, years=np.arange(2001, 2004)).x_NYTF
    grids = [GRIDS[FEATURE_NAMES.index(name)] for name in ("TSOC", "GPP")]
    curves = response_curves(checkpoint.network(), x_NYTF, scalers=checkpoint.scalers, grids=grids)
    found = {verdict.check: verdict for verdict in response_verdicts(curves)}
    for check, verdict in found.items():
        assert verdict.holds, f"{check}: {verdict.found}"
    assert len(found) == 3


def test_a_name_that_is_not_included_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        CheckpointError, match=f"us-ne1: not a readable checkpoint .no such file.; .*{DEFAULT}, {SIMULATED}"
    ):
        Checkpoint.load(checkpoint_file("us-ne1"))
