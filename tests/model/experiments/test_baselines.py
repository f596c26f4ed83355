"""The networks that know nothing of carbon, and the loop that trains them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.data.records import DAYS as DATASET_DAYS
from model.data.records import TowerSet
from model.data.run_years import predict
from model.experiments.baselines import (
    FitData,
    FitSample,
    fit,
    flux_error,
    seen_error,
    tower_baseline,
    yield_error,
)
from model.experiments.pure_ml import FluxBaseline, PureML, YieldBaseline
from model.features import FEATURES, GPP, PUBLISHED_FEATURE_SCALERS
from model.recipe.experiments import FitRecipe
from model.training.tower_stage import TowerData

SITES, YEARS, DAYS = 16, 3, 8
RECIPE = FitRecipe(epochs=20, patience=40, batch_sites=4, learning_rate=1e-2)

SCALERS = Scalers.parse(
    {"features": PUBLISHED_FEATURE_SCALERS}
    | dict.fromkeys(("gpp", "ra", "rh", "nee", "yield", "residue"), PUBLISHED_FEATURE_SCALERS[GPP])
)


def toy(seed: int = 0) -> FitData:
    """Fluxes are multiples of one input on the same day, yield its mean of the year."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SITES, YEARS, DAYS, len(FEATURES), generator=generator) * 0.3
    level = torch.randn(SITES, YEARS, 1, generator=generator)
    x[..., GPP] += level
    fluxes = torch.stack([-x[..., GPP], -0.5 * x[..., GPP], 0.5 * x[..., GPP]], -1)
    training = torch.ones(SITES, YEARS, dtype=torch.bool)
    training[:, -1] = False
    return FitData(x, fluxes, x[..., GPP].mean(-1), training, ~training)


def test_the_error_is_the_mean_over_observed_targets() -> None:
    target = torch.tensor([[1.0, torch.nan], [3.0, 5.0]])
    predicted = torch.tensor([[2.0, 9.0], [3.0, 2.0]], requires_grad=True)
    error = seen_error(predicted, target=target)
    assert float(error.detach()) == pytest.approx((1 + 0 + 9) / 3)
    (gradient,) = torch.autograd.grad(error, predicted)
    assert gradient[0, 1] == 0
    assert torch.isfinite(gradient).all()
    assert float(seen_error(predicted, target=torch.full((2, 2), torch.nan)).detach()) == 0


@pytest.mark.slow
def test_both_baselines_learn_a_toy_target_and_are_validated_on_other_years() -> None:
    data = toy()
    torch.manual_seed(3)
    pure = PureML()
    for network, loss in ((pure.grain, yield_error), (pure.fluxes, flux_error)):
        fit(network, data=data, loss=loss, recipe=RECIPE.doubled, seed=3)
    pure.eval()
    result = predict(pure, data.x_NYTF)  # type: ignore[arg-type]
    held_out = data.validation_NY
    for found, truth in (
        (result.fluxes_NYT3[held_out], data.fluxes_NYTO[held_out]),
        (result.yield_NY[held_out], data.yield_NY[held_out]),
    ):
        assert 1 - float(((found - truth) ** 2).mean() / truth.var(unbiased=False)) > 0.9


def test_held_out_site_years_are_never_trained_on() -> None:
    data = toy()
    spoiled = replace(
        data, fluxes_NYTO=torch.where(data.training_NY[..., None, None], data.fluxes_NYTO, data.fluxes_NYTO + 100)
    )
    once = replace(RECIPE, epochs=1)
    weights = []
    for each in (data, spoiled):
        torch.manual_seed(4)
        network = FluxBaseline()
        fit(network, data=each, loss=flux_error, recipe=once, seed=5)
        weights.append(network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_training_ends_with_the_best_epoch_and_stops_when_patience_does() -> None:
    data = toy()
    torch.manual_seed(6)
    network = YieldBaseline()
    losses = iter([5.0, 3.0, 4.0, 4.0, 4.0, 1.0])
    kept: list[dict[str, Tensor]] = []

    def scripted(sample: FitSample) -> Tensor:
        if network.training:
            return yield_error(sample)
        kept.append({name: value.clone() for name, value in network.state_dict().items()})
        return torch.tensor(next(losses))

    found = fit(network, data=data, loss=scripted, recipe=replace(RECIPE, patience=3), seed=7)
    assert (found.best_epoch, found.validation) == (2, (5.0, 3.0, 4.0, 4.0, 4.0))
    assert len(found.training) == 5
    assert all(torch.equal(value, kept[1][name]) for name, value in network.state_dict().items())
    assert not network.training


@pytest.mark.slow
def test_a_tower_baseline_learns_its_training_years_and_sees_no_other() -> None:
    rng = np.random.default_rng(8)
    x = np.zeros((3, DATASET_DAYS, len(FEATURES)), np.float32)
    x[:] = np.array(PUBLISHED_FEATURE_SCALERS)[:, 0]
    x[..., GPP] += rng.normal(0, 5, x.shape[:2])
    reco = 2 + 0.3 * x[..., GPP]
    mask = np.ones(x.shape[:2], bool)
    mask[0, ::7] = False
    tower = TowerSet("US-X", x, np.where(mask, reco, 0), np.where(mask, reco - 1, 0), mask, np.arange(2001, 2004))
    data, quick = TowerData(tower, (2001,), (2002,)), replace(RECIPE, epochs=10, learning_rate=2e-2)
    found = tower_baseline(data, scalers=SCALERS, recipe=quick, seed=1)
    assert 1 - ((found[2, :, 0] - reco[2]) ** 2).mean() / reco[2].var() > 0.7
    spoiled = replace(data, tower=replace(tower, reco_YT=tower.reco_YT + np.array([0, 0, 50], np.float32)[:, None]))
    np.testing.assert_array_equal(tower_baseline(spoiled, scalers=SCALERS, recipe=quick, seed=1), found)


def test_networks_that_are_not_pre_trained_have_twice_the_epochs() -> None:
    assert RECIPE.doubled == replace(RECIPE, epochs=40)
    data = replace(toy(), yield_NY=torch.full((SITES, YEARS), np.nan))
    network = YieldBaseline()
    assert len(fit(network, data=data, loss=yield_error, recipe=replace(RECIPE, epochs=2), seed=1).training) == 2
