from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import model.training as training
from model.checkpoint import Checkpoint
from model.features import FEATURE_NAMES, GPP
from model.network import State
from model.training.__main__ import main
from model.training.data import DataSet, synthetic_data
from model.training.recipe import DataRecipe, Recipe, RecipeError, StageRecipe, read_recipe
from model.training.scores import held_out_scores, score
from model.training.sequence import Prediction, predict, run_years
from model.training.stages import STAGES, physical_fluxes
from model.training.trainer import Trainer, new_network

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.toml"))
STAGE = StageRecipe(step=1, epochs=2, patience=2, learning_rate=1e-3, decay=0.5, decay_epochs=1)
RECIPE = Recipe(
    seed=5,
    batch_sites=2,
    data=DataRecipe(sites=2, held_out_sites=1, first_year=2003, last_year=2005, held_out_years=1),
    stages=(STAGE, replace(STAGE, step=2)),
)


RECIPE_TEXT = """
seed = 5
batch_sites = 2

[data]
sites = 2
held_out_sites = 1
first_year = 2003
last_year = 2005
held_out_years = 1
""" + "".join(
    f"""
[[stages]]
step = {step}
epochs = 1
patience = 1
learning_rate = 1e-3
decay = 0.5
decay_epochs = 1
"""
    for step in (1, 2)
)


def recipe_file(folder: Path, text: str = RECIPE_TEXT) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def data() -> DataSet:
    return synthetic_data(RECIPE.data, seed=RECIPE.seed)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_committed_recipe_is_valid(path: Path) -> None:
    recipe = read_recipe(path)
    assert [stage.step for stage in recipe.stages] == [1, 2]


def test_a_recipe_with_an_unknown_key_is_refused_by_its_name(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, RECIPE_TEXT.replace("held_out_years", "held_out_year"))
    with pytest.raises(RecipeError, match="unknown key 'held_out_year'"):
        read_recipe(path)


def test_an_impossible_recipe_ends_the_command_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe_file(tmp_path, RECIPE_TEXT.replace("epochs = 1", "epochs = 0"))
    assert main([str(path), "-o", str(tmp_path / "out.safetensors")]) == 2
    assert "epochs, patience and decay_epochs must be at least 1" in capsys.readouterr().err


def test_sequences_hold_balanced_years_of_365_days(data: DataSet) -> None:
    sequences = data.training
    assert sequences.x_NYTF.shape == (2, 3, 365, len(FEATURE_NAMES))
    fluxes = physical_fluxes(sequences.fluxes_NYT3, scalers=data.scalers)
    gpp = sequences.x_NYTF[..., GPP] * data.scalers.outputs["gpp"].std + data.scalers.outputs["gpp"].mean
    assert (gpp + fluxes.sum(-1)).abs().max() < 1e-4
    assert fluxes[..., :2].max() <= 1e-5  # the network's signs: respiration is negative
    assert gpp.min() > -1e-5


def test_held_out_site_years_never_train(data: DataSet) -> None:
    assert data.training_mask_NY.sum(1).tolist() == [2, 2]
    assert data.unseen_N.tolist() == [False, True]
    assert torch.equal(data.validation_mask_NY[0], ~data.training_mask_NY[0])
    assert data.validation_mask_NY[1].all()
    assert torch.equal(data.validation.x_NYTF[0], data.training.x_NYTF[0])


def test_years_run_after_a_spin_up_over_the_first_two(data: DataSet) -> None:
    network, x_NYTF = new_network(data.scalers).eval(), data.training.x_NYTF
    state: State | None = None
    for year in (0, 1, 0, 1):
        result = network(x_NYTF[:, year], state)
        state = result.state
    second = list(run_years(network, x_NYTF))[1]
    assert torch.allclose(second.fluxes_BT3, result.fluxes_BT3, atol=1e-6)


def test_predictions_do_not_depend_on_the_batches(data: DataSet) -> None:
    network = new_network(data.scalers)
    whole, single = (predict(network, data.training.x_NYTF, batch_sites=size) for size in (2, 1))
    assert torch.allclose(whole.fluxes_NYT3, single.fluxes_NYT3, atol=1e-5)
    assert torch.allclose(whole.yield_NY, single.yield_NY, atol=1e-5)


@pytest.mark.parametrize("step", [1, 2])
def test_a_stage_trains_its_own_modules_and_no_others(data: DataSet, step: int, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, step=step, epochs=1),))
    trainer = Trainer(recipe, data=data, progress_file=tmp_path / "progress")
    before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
    trainer.run()
    changed = {
        name.split(".")[0] for name, new in trainer.network.state_dict().items() if not torch.equal(new, before[name])
    }
    assert changed == set(STAGES[step].trainable)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_a_run_killed_in_an_epoch_ends_with_the_weights_of_one_that_was_not(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Trainer(RECIPE, data=data, progress_file=tmp_path / "whole")
    whole.run()

    def kill(*_: object) -> float:
        raise Killed

    for epochs in (1, 2):  # killed in the second epoch of either stage
        broken = Trainer(RECIPE, data=data, progress_file=tmp_path / "broken")
        validate = broken._validate
        scores = iter([validate] * epochs + [kill])
        monkeypatch.setattr(broken, "_validate", lambda scores=scores: next(scores)())
        with pytest.raises(Killed):
            broken.run()
    resumed = Trainer(RECIPE, data=data, progress_file=tmp_path / "broken")
    resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True))
    assert resumed.progress.history == whole.progress.history


def test_progress_of_another_recipe_is_refused(data: DataSet, tmp_path: Path) -> None:
    Trainer(RECIPE, data=data, progress_file=tmp_path / "progress")._save()
    with pytest.raises(RecipeError, match="another recipe"):
        Trainer(replace(RECIPE, seed=6), data=data, progress_file=tmp_path / "progress")


@pytest.mark.slow
def test_training_lowers_the_loss(data: DataSet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, epochs=4, patience=4, learning_rate=5e-3, decay=1.0, pace=10.0),))
    trainer = Trainer(recipe, data=data, progress_file=tmp_path / "progress")
    trainer.run()
    losses = [row["loss"] for row in trainer.progress.history]
    assert losses[-1] < 0.7 * losses[0]


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


@pytest.mark.slow
def test_the_command_writes_a_checkpoint_that_says_what_it_is(tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    assert main([str(recipe_file(tmp_path)), "-o", str(output)]) == 0
    record = Checkpoint.load(output).record
    assert record["origin"].startswith("synthetic")
    assert record["epochs"] == {"1": 1, "2": 1}
    assert set(record["scores"]) == {"held_out_sites", "held_out_years"}
