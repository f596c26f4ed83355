"""Stage 3 against what it should do by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.data.counties import CountyDraw, county_means, simulate_counties
from model.data.run_years import predict
from model.data.sites import normalised_inputs, output_scalers
from model.data.splits import CountySplit
from model.evaluation.responses import ResponseChecks, mean_yield
from model.features import CROP_TYPE, GPP, YEAR
from model.network import KGMLNetwork
from model.recipe.toml import RecipeError
from model.recipe.training import CountyRecipe, StageRecipe
from model.training.county_stage import CountyData, CountyStage
from model.training.course import new_network
from model.training.stages import SOIL_CARBON, STAGES, set_dropout

STAGE = StageRecipe(step=3, epochs=1, patience=1, learning_rate=1e-3, decay=0.5, decay_epochs=1, response_weight=0.0)
RECIPE = CountyRecipe(counties=4, points=3, training_points=2, batch_counties=1, first_year=2003, last_year=2005)


@pytest.fixture(scope="module")
def data() -> CountyData:
    torch.set_num_threads(1)
    counties = simulate_counties(3, draw=CountyDraw(4, 3, np.arange(2003, 2006)))
    return CountyData(counties, CountySplit(test=(0,), validation=(2, 1), training=(3,), seed=0))


@pytest.fixture(scope="module")
def network(data: CountyData) -> KGMLNetwork:
    torch.manual_seed(0)
    return new_network(output_scalers(data.counties.points))


def county_stage(data: CountyData, stage: StageRecipe = STAGE) -> CountyStage:
    scalers = output_scalers(data.counties.points)
    x_NYTF = normalised_inputs(data.counties.points.x_NYTF[:2, :2], scalers=scalers)
    checks = ResponseChecks.of(x_NYTF, STAGES[3].rising_yield, stride=6)
    return CountyStage(data, scalers=scalers, checks=checks, recipe=RECIPE, stage=stage)


def test_validation_is_the_error_of_county_means_of_the_validation_counties(
    data: CountyData, network: KGMLNetwork
) -> None:
    scalers = output_scalers(data.counties.points)
    scaler, chosen = scalers.outputs["yield"], data.counties.at((1, 2))
    yields = predict(network, normalised_inputs(chosen.points.x_NYTF, scalers=scalers)).yield_NY.numpy()
    error_CYK = (county_means(yields, counties=chosen) - (chosen.observed_CYK - scaler.mean) / scaler.std) ** 2
    physical = yields * scaler.std + scaler.mean
    gpp = chosen.points.x_NYTF[..., GPP].sum(-1)
    beyond = np.maximum(physical - 0.5 * gpp, 0) + np.maximum(-physical, 0)
    by_year = [
        np.mean([np.nanmean(error[:, k]) if np.isfinite(error[:, k]).any() else 0.0 for k in range(2)])
        for error in error_CYK.swapaxes(0, 1)
    ]
    with torch.no_grad():
        outcome = county_stage(data).validate(network.eval())
    assert outcome.loss == pytest.approx(np.mean(by_year) + beyond.mean(), rel=1e-3)


def test_each_epoch_runs_at_most_so_many_points_of_each_county(data: CountyData) -> None:
    task = county_stage(replace(data, split=CountySplit((0,), (1,), (3, 2), 0)))
    torch.manual_seed(0)
    draws = [task._draw(torch.tensor([1, 0])).tolist() for _ in range(20)]
    assert all(len(draw) == 4 and len({*draw}) == 4 for draw in draws)
    assert all({*draw[:2]} < {3, 4, 5} and {*draw[2:]} < {0, 1, 2} for draw in draws)
    assert {point for draw in draws for point in draw} == set(range(6))


def test_yield_that_falls_as_gpp_year_or_soil_carbon_rise_is_penalised_and_reversed(
    data: CountyData, network: KGMLNetwork
) -> None:
    task = county_stage(data, replace(STAGE, response_weight=1.0))
    assert [grid.feature for grid in task.checks.grids] == [GPP, YEAR, SOIL_CARBON]
    network.eval()
    with torch.no_grad():
        falls = 0.0
        for grid in task.checks.grids:
            levels = mean_yield(network, task.checks.x_NYTF, grid=grid).numpy()
            falls += float(np.maximum(levels[:-1] - levels[1:], 0).sum() / grid.step)
        assert float(task.response_loss(network)) == pytest.approx(falls, rel=1e-3, abs=1e-6)


@pytest.mark.slow
def test_stage_3_learns_county_yields(data: CountyData) -> None:
    torch.manual_seed(0)
    network = new_network(output_scalers(data.counties.points))
    STAGES[3].freeze(network)
    set_dropout(network, 0.0)
    task = county_stage(data, replace(STAGE, pace=math.inf))
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=3e-3)

    def learn(loss: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    losses = [task.train(network.train(), learn=learn, epoch=0).loss for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(
        p.grad is None for name, p in network.named_parameters() if name.startswith(("gru_R", "gru_N", "densor_R"))
    )


def test_counties_without_any_yield_are_refused(data: CountyData) -> None:
    silent = replace(data.counties, observed_CYK=np.full_like(data.counties.observed_CYK, np.nan))
    with pytest.raises(RecipeError, match="nothing to learn from"):
        county_stage(replace(data, counties=silent))


def test_crops_of_points_are_those_of_the_masks(data: CountyData) -> None:
    crop_PY = data.counties.points.x_NYTF[:, :, 0, CROP_TYPE]
    assert ((crop_PY == 1) == data.counties.corn_PY).all()
