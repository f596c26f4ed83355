"""The training loop: what learns, when it ends, and which weights are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.data.sites import DataSet
from model.network import KGMLNetwork
from model.recipe.toml import RecipeError
from model.training.stages import STAGES
from model.training.trainer import Learn, Outcome
from tests.helpers.recipes import RECIPE, STAGE
from tests.helpers.training_runs import trainer


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_stage_trains_its_own_modules_and_no_others(data: DataSet, step: int, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, step=step, epochs=1, pace=100.0),))
    stage = trainer(data, recipe, step=step, path=tmp_path / "progress")
    before = {name: tensor.clone() for name, tensor in stage.network.state_dict().items()}
    stage.run()
    after = stage.network.state_dict()
    changed = {name.split(".")[0] for name, new in after.items() if not torch.equal(new, before[name])}
    assert changed == set(STAGES[step].trainable)


def test_progress_of_another_recipe_is_refused(data: DataSet, tmp_path: Path) -> None:
    trainer(data, RECIPE, step=1, path=tmp_path / "progress")._save()
    with pytest.raises(RecipeError, match="another recipe"):
        trainer(data, replace(RECIPE, seed=6), step=1, path=tmp_path / "progress")


def test_a_stage_ends_when_training_fits_or_validation_no_longer_improves(data: DataSet, tmp_path: Path) -> None:
    class Scripted:
        def __init__(self, r2: float, scores: list[float]) -> None:
            self.r2, self.scores = r2, iter(scores)

        def train(self, _network: KGMLNetwork, *, learn: Learn, **_: object) -> Outcome:
            learn(sum(p.sum() for p in stage.network.parameters() if p.requires_grad))  # type: ignore[arg-type]
            return Outcome(1.0, {"ra": self.r2})

        def validate(self, _network: KGMLNetwork) -> Outcome:
            return Outcome(next(self.scores), {"ra": 0.0})

    stage = trainer(data, replace(RECIPE, stages=(replace(STAGE, epochs=9),)), step=1, path=tmp_path / "a")
    stage.task = Scripted(0.5, [3.0, 1.0, 2.0, 1.5, 0.5])
    assert [epoch.epoch for epoch in stage.run()] == [1, 2, 3, 4]
    assert stage.progress.best_epoch == 2
    stage = fitted = trainer(data, replace(RECIPE, stages=(replace(STAGE, epochs=9),)), step=1, path=tmp_path / "b")
    fitted.task = Scripted(0.9995, [3.0, 1.0])
    assert len(fitted.run()) == 1
    stage = diverged = trainer(data, replace(RECIPE, stages=(replace(STAGE, epochs=9),)), step=1, path=tmp_path / "c")
    diverged.task = Scripted(0.5, [3.0, float("nan")])
    with pytest.raises(RecipeError, match="stage 1, epoch 2: the validation score is nan"):
        diverged.run()


def test_the_running_mean_of_the_weights_is_validated_and_kept(data: DataSet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, average_decay=0.5, epochs=1),))
    stage = trainer(data, recipe, step=1, path=tmp_path / "progress")
    seen = []
    learn = stage._learn

    def remember(loss: Tensor) -> float:
        value = learn(loss)
        seen.append(stage.network.densor_Ra.bias.detach().clone())
        return value

    stage._learn = remember  # type: ignore[method-assign]
    stage.run()
    mean = seen[0]
    for bias in seen[1:]:
        mean = 0.5 * mean + 0.5 * bias
    assert len(seen) > 2
    assert torch.allclose(stage.network.densor_Ra.bias, mean, atol=1e-7)
    assert not torch.equal(stage.network.densor_Ra.bias, seen[-1])


@pytest.mark.slow
def test_training_lowers_the_loss(data: DataSet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, epochs=4, patience=4, learning_rate=5e-3, decay=1.0, pace=10.0),))
    curve = trainer(data, recipe, step=1, path=tmp_path / "progress").run()
    assert curve[-1].training.loss < 0.7 * curve[0].training.loss
