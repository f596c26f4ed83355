"""Scores in training equal their definitions, in pieces and at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.data.run_years import Prediction
from model.data.sites import DataSet
from model.training.scores import RunningR2, held_out_scores, score


def test_r2_of_pieces_is_that_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    target, error, mask = rng.normal(-3, 2, (4, 50)), rng.normal(0, 0.5, (4, 50)), rng.random((4, 50)) < 0.7
    running = RunningR2()
    for row in range(4):
        running.add(
            torch.tensor(target[row] + error[row]), target=torch.tensor(target[row]), mask=torch.tensor(mask[row])
        )
    assert running.value == pytest.approx(1 - (error[mask] ** 2).mean() / target[mask].var())
    assert np.isnan(RunningR2().value)


def test_scores_equal_their_definitions() -> None:
    prediction, target = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 5.0])
    skill = score(prediction, target=target)
    assert skill.rmse == pytest.approx(np.sqrt(2 / 3))
    assert skill.bias == pytest.approx(-2 / 3)
    assert skill.r2 == pytest.approx(1 - (2 / 3) / (8 / 3))


def test_a_single_pair_has_no_r2() -> None:
    assert score(torch.tensor([1.0]), target=torch.tensor([3.0])).r2 is None


def test_a_perfect_prediction_scores_one_and_balances(data: DataSet) -> None:
    perfect = Prediction(data.validation.fluxes_NYT3, data.validation.yield_NY)
    scores = held_out_scores(perfect, target=data.validation, mask_NY=data.validation_mask_NY, scalers=data.scalers)
    assert scores["imbalance_daily"] < 1e-5
    assert scores["dsoc_annual"]["r2"] == 1.0
    assert scores["rh_daily"]["count"] == 4 * 365
