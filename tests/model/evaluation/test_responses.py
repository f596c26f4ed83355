"""Response curves: published grids, and curves that are mean predictions with one input set everywhere."""

from __future__ import annotations

import pytest
import torch

from model.data.run_years import predict
from model.data.sites import DataSet
from model.evaluation.responses import GRIDS, Grid, mean_respiration, mean_yield, moved, response_curves
from model.evaluation.scores import (
    predicted_carbon,
)
from model.features import FEATURE_NAMES, GPP, PUBLISHED_FEATURE_SCALERS
from model.training.course import new_network
from model.training.stages import physical_fluxes
from tests.helpers.networks import SCALERS, inputs, network


def test_response_grids_have_the_published_numbers_of_levels() -> None:
    fine = [21, 21, 16, 21, 18, 16, 21, 2, 23, 18, 25, 20, 19, 20, 23, 18, 23, 16, 22]
    coarse = [7, 7, 6, 7, 6, 6, 7, 2, 8, 6, 9, 7, 7, 7, 8, 6, 8, 6, 8]
    assert [len(grid.levels) for grid in GRIDS] == fine
    assert [len(grid.every(3).levels) for grid in GRIDS] == coarse


def test_a_response_curve_is_the_mean_prediction_at_each_level(data: DataSet) -> None:
    network, x_NYTF, grid = new_network(data.scalers).eval(), data.training.x_NYTF, GRIDS[GPP].every(6)
    with torch.no_grad():
        ra_rh_J2 = mean_respiration(network, x_NYTF, grid=grid, scalers=data.scalers)
        yield_J = mean_yield(network, x_NYTF, grid=grid)
        for j, level in enumerate(grid.levels):
            changed = x_NYTF.clone()
            changed[..., GPP] = level
            prediction = predict(network, changed)
            fluxes = physical_fluxes(prediction.fluxes_NYT3, scalers=data.scalers)
            assert torch.allclose(ra_rh_J2[j], fluxes[..., :2].mean((0, 1, 2)), atol=1e-4)
            assert torch.allclose(yield_J[j], prediction.yield_NY.mean(), atol=1e-5)
    assert moved(x_NYTF, feature=GPP, levels=grid.levels).shape == (len(grid.levels) * 2, 3, 365, 19)


def test_a_response_is_the_mean_prediction_with_one_input_set_everywhere() -> None:
    x, net = inputs(), network()
    tsoc = FEATURE_NAMES.index("TSOC")
    (curve,) = response_curves(net, x, scalers=SCALERS, grids=[Grid(tsoc, -0.5, 1.5, 1.0)])
    mean, std = PUBLISHED_FEATURE_SCALERS[tsoc]
    assert curve.feature == "TSOC"
    assert curve.levels == pytest.approx([mean - 0.5 * std, mean + 0.5 * std, mean + 1.5 * std])
    for level, ra, rh, grain in zip(curve.levels, curve.ra, curve.rh, curve.grain, strict=True):
        moved = x.copy()
        moved[..., tsoc] = level
        found = predicted_carbon(net, moved, scalers=SCALERS)
        expected = [found.ra_NYT.mean(), found.rh_NYT.mean(), found.yield_NY.mean()]
        assert [ra, rh, grain] == pytest.approx(expected, rel=1e-4)
