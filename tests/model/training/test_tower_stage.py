"""Stage 5 against what it should do by hand, on a tower made of the simulator's fluxes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from model.data.records import TowerSet
from model.data.run_years import predict
from model.data.sites import DataSet, normalised_inputs, simulate_sites, synthetic_data
from model.evaluation.responses import ResponseChecks
from model.features import FEATURES, GPP
from model.network import KGMLNetwork
from model.recipe.training import DataRecipe, StageRecipe
from model.training.course import new_network, restated
from model.training.pretraining import Pretraining
from model.training.stages import SOIL_CARBON, physical_fluxes
from model.training.tower_stage import TowerData, TowerStage

STAGE = StageRecipe(step=5, epochs=1, patience=1, learning_rate=1e-3, decay=0.5, decay_epochs=1)
YEARS = np.arange(2003, 2006)


def tower_set() -> TowerSet:
    site = simulate_sites(9, sites=1, years=YEARS)
    ra, rh, nee = np.moveaxis(site.fluxes_NYT3[0], -1, 0)
    mask = np.random.default_rng(0).random(nee.shape) < 0.8
    reco = np.where(mask, -(ra + rh), 0).astype(np.float32)
    return TowerSet("XX-Sim", site.x_NYTF[0], reco, np.where(mask, nee, 0).astype(np.float32), mask, YEARS, "simulated")


@pytest.fixture(scope="module")
def sites() -> DataSet:
    torch.set_num_threads(1)
    return synthetic_data(DataRecipe(2, 1, 2003, 2005, 1), seed=5)


@pytest.fixture(scope="module")
def network(sites: DataSet) -> KGMLNetwork:
    torch.manual_seed(0)
    return new_network(sites.scalers).eval()


@pytest.fixture(scope="module")
def stage(sites: DataSet, network: KGMLNetwork) -> TowerStage:
    checks = ResponseChecks.of(sites.training.x_NYTF[:1, :1], tuple(range(len(FEATURES))), stride=9)
    tower = TowerData(tower_set(), training=(2003,), validation=(2004,), test=(2005,))
    replay = Pretraining(sites, checks=checks, stage=STAGE, batch_sites=2)
    return TowerStage([tower], network=network, checks=checks, replay=replay)


def predicted(stage: TowerStage, network: KGMLNetwork) -> np.ndarray:
    x_YTF = normalised_inputs(stage.towers[0].tower.x_YTF, scalers=stage.scalers)
    return physical_fluxes(predict(network, x_YTF[None]).fluxes_NYT3[0], scalers=stage.scalers).numpy()


def test_validation_adds_the_errors_of_reco_and_nee_and_the_imbalance_of_its_years(
    stage: TowerStage, network: KGMLNetwork
) -> None:
    tower, fluxes = stage.towers[0].tower, predicted(stage, network)
    mask, reco = tower.mask_YT.copy(), -fluxes[..., :2].sum(-1)
    mask[[0, 2]] = False
    imbalance = np.abs(tower.x_YTF[..., GPP] + fluxes.sum(-1)) - 0.01 * np.abs(reco)
    by_hand = (mask * ((reco - tower.reco_YT) ** 2 + (fluxes[..., 2] - tower.nee_YT) ** 2)).mean()
    by_hand += (mask * np.maximum(imbalance, 0)).mean()
    with torch.no_grad():
        outcome = stage.validate(network)
    assert outcome.loss == pytest.approx(by_hand, rel=1e-3)
    kept = mask[1]
    nee = 1 - ((fluxes[1, kept, 2] - tower.nee_YT[1, kept]) ** 2).mean() / tower.nee_YT[1, kept].var()
    assert outcome.r2["nee"] == pytest.approx(nee, rel=1e-3)


def test_test_years_are_scored_alone(stage: TowerStage, network: KGMLNetwork) -> None:
    tower, fluxes = stage.towers[0].tower, predicted(stage, network)
    table = stage.scores(network)["XX-Sim"]
    assert set(table) == {"2005"}
    kept = tower.mask_YT[2]
    error = -fluxes[2, kept, :2].sum(-1) - tower.reco_YT[2, kept]
    assert table["2005"]["reco"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-3)
    assert table["2005"]["reco"]["count"] == kept.sum()


def test_responses_as_they_were_cost_nothing_and_turned_ones_do(stage: TowerStage, network: KGMLNetwork) -> None:
    radiation, carbon = 0, SOIL_CARBON
    other = new_network(stage.scalers).eval()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        assert float(stage.response_loss(network, radiation)) < 1e-4
        before = float(stage.response_loss(network, carbon))
        for head in (other.densor_Ra, other.densor_Rh):
            head.weight *= -1  # both responses turn: correlation -1
        assert float(stage.response_loss(other, radiation)) == pytest.approx(0.8 + 1 + 0.8 + 1, abs=0.05)
        # Soil: Ra by the correlation, threshold 0.9; Rh by R2, which is far below 0.99.
        assert float(stage.response_loss(other, carbon)) + before > 0.9 + 1 + 0.99


def test_rh_that_falls_with_soil_carbon_costs_even_if_it_fell_before(stage: TowerStage, network: KGMLNetwork) -> None:
    rh_J, step = stage.references_J2[SOIL_CARBON][:, 1], stage.checks.grids[SOIL_CARBON].step
    fall = sum(max(float(later - earlier), 0) / step for earlier, later in pairwise(rh_J))  # Rh is negative here
    with torch.no_grad():
        assert float(stage.response_loss(network, SOIL_CARBON)) == pytest.approx(fall, abs=1e-4)


def test_replayed_sites_are_a_step_for_each_of_their_years(
    stage: TowerStage, sites: DataSet, network: KGMLNetwork
) -> None:
    losses: list[float] = []

    def learn(loss: torch.Tensor) -> float:
        losses.append(float(loss.detach()))
        return losses[-1]

    replay = replace(STAGE, replay_weight=0.5)
    tower = TowerStage(
        stage.towers,
        network=network,
        checks=stage.checks,
        replay=Pretraining(sites, checks=stage.checks, stage=replay, batch_sites=2),
    )
    tower.train(network, learn=learn, epoch=0)
    assert len(losses) == 1 + len(YEARS)


def test_a_tower_of_months_sees_the_means_of_its_months(stage: TowerStage, network: KGMLNetwork) -> None:
    months = replace(stage.towers[0].tower, monthly=True)
    with torch.no_grad():
        run = stage._run(network, months)
    for flux in range(3):
        expected = months.as_observed(run.fluxes_YT3[..., flux].numpy())
        assert run.seen_YT3[..., flux].numpy() == pytest.approx(expected, abs=1e-4)
    first = pd.date_range("2003-01-01", "2003-12-31").month.to_numpy()
    by_hand = pd.Series(run.fluxes_YT3[0, :, 1].numpy()).groupby(first).transform("mean")
    assert run.seen_YT3[0, :, 1].numpy() == pytest.approx(by_hand.to_numpy(), abs=1e-4)


def test_one_step_serves_all_towers_and_later_epochs_add_one_per_input(stage: TowerStage, network: KGMLNetwork) -> None:
    steps: list[float] = []

    def learn(loss: torch.Tensor) -> float:
        steps.append(float(loss.detach()))
        return steps[-1]

    stage.train(network, learn=learn, epoch=0)
    assert len(steps) == 1
    stage.train(network, learn=learn, epoch=1)
    assert len(steps) == 2 + len(FEATURES)


def test_restated_data_mean_the_same_in_other_scalers(sites: DataSet) -> None:
    outputs = dict(sites.scalers.outputs)
    outputs["rh"] = outputs["rh"]._replace(mean=-2.0, std=3.0)
    outputs["yield"] = outputs["yield"]._replace(std=50.0)
    scalers = type(sites.scalers)(sites.scalers.features, outputs)
    other = restated(sites, scalers)
    for one, two in ((sites.training, other.training), (sites.validation, other.validation)):
        before = physical_fluxes(one.fluxes_NYT3, scalers=sites.scalers)
        assert torch.allclose(before, physical_fluxes(two.fluxes_NYT3, scalers=scalers), atol=1e-4)
        assert torch.equal(one.x_NYTF, two.x_NYTF)
    grain = sites.scalers.outputs["yield"]
    assert torch.allclose(sites.training.yield_NY * grain.std, other.training.yield_NY * 50.0, atol=1e-3)
