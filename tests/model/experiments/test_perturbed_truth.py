from __future__ import annotations

import numpy as np
import pytest

from model.data.records import DAYS, SiteSequences
from model.experiments.perturbed_truth import extreme_years, observed, perturbed
from model.features import CROP_TYPE, FEATURES, GPP, YEAR
from model.recipe.experiments import WorldRecipe

WORLD = WorldRecipe(ra=1.1, rh=0.75, grain=0.85, flux_error=0.2, grain_error=0.04)


def test_the_observed_world_has_other_rates_and_a_closed_balance(sequences: SiteSequences) -> None:
    truth = perturbed(sequences, world=WORLD)
    np.testing.assert_allclose(truth.fluxes_NYT3[..., 1], 0.75 * sequences.fluxes_NYT3[..., 1], rtol=1e-6)
    np.testing.assert_allclose(truth.yield_NY, 0.85 * sequences.yield_NY, rtol=1e-6)
    seen = observed(truth, world=WORLD, seed=1)
    for each in (truth, seen):
        np.testing.assert_allclose(each.x_NYTF[..., GPP] + each.fluxes_NYT3.sum(-1), 0, atol=1e-4)
    ratio = seen.fluxes_NYT3[..., :2].sum(-1) / truth.fluxes_NYT3[..., :2].sum(-1)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert ratio.std() == pytest.approx(0.2, rel=0.1)


def test_extreme_years_leave_the_trend_of_their_crop() -> None:
    years, sites = np.arange(2001, 2011), 4
    rng = np.random.default_rng(5)
    grain = 200.0 + 3 * (years - 2001) + 40 * np.arange(sites)[:, None] + rng.normal(0, 2, (sites, len(years)))
    grain[1, 4] -= 80
    x = np.ones((sites, len(years), DAYS, len(FEATURES)), np.float32)
    x[..., YEAR], x[..., CROP_TYPE] = years[:, None], 1
    fluxes = np.zeros((sites, len(years), DAYS, 3), np.float32)
    truth = SiteSequences(x, fluxes, grain.astype(np.float32), years, tuple("abcd"), "synthetic: a trend")
    assert np.argwhere(extreme_years(truth, deviations=3)).tolist() == [[1, 4]]
    assert not extreme_years(truth, deviations=9).any()
