"""Stages 1, 2 and 4: batches, response checks and validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from model.data.sites import DataSet
from model.features import FEATURE_NAMES
from model.training.pretraining import Pretraining, batches
from tests.helpers.recipes import RECIPE, STAGE
from tests.helpers.training_runs import pretraining, trainer


def test_batches_hold_every_site_once_and_the_last_takes_the_remainder() -> None:
    parts = batches(11, size=3)
    assert [len(part) for part in parts] == [3, 3, 5]
    assert sorted(torch.cat(parts).tolist()) == list(range(11))
    assert [len(part) for part in batches(2, size=5)] == [2]


def test_the_response_check_reverses_respiration_that_falls_with_soil_carbon(data: DataSet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, step=2, learning_rate=1e-2),))
    stage = trainer(data, recipe, step=2, path=tmp_path / "progress")
    task: Pretraining = stage.task  # type: ignore[assignment]
    with torch.no_grad():  # soil carbon now lowers the magnitude of Rh
        stage.network.gru_Rh.weight_ih_l0[:, -3] *= 20
        start = task.response_loss(stage.network.eval(), 0)
        if float(start) == 0:
            stage.network.densor_Rh.weight *= -1
            start = task.response_loss(stage.network, 0)
    assert float(start) > 0
    for _ in range(8):
        stage._learn(task.response_loss(stage.network, 0))
    with torch.no_grad():
        assert float(task.response_loss(stage.network, 0)) < 0.5 * float(start)


def test_checks_run_along_soil_carbon_in_stage_2_and_along_gpp_too_in_stage_4(data: DataSet) -> None:
    names = {step: [FEATURE_NAMES[grid.feature] for grid in pretraining(data, step).grids] for step in (1, 2, 4)}
    assert names == {1: [], 2: ["TSOC"], 4: ["TSOC", "GPP"]}
    silent = replace(RECIPE, stages=(replace(STAGE, step=4, response_weight=0.0),))
    assert pretraining(data, 4, silent).grids == ()


def test_validation_counts_the_held_out_years_of_training_sites_alone(data: DataSet) -> None:
    task = pretraining(data, 2)
    assert len(task.held_out) == 1
    assert torch.equal(task.held_out.x_NYTF[0], data.training.x_NYTF[0])
    assert torch.equal(task.held_out_NY[0], ~data.training_mask_NY[0])
