from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.checkpoint import Checkpoint
from model.data.published_layout import write_published_layout
from model.data.records import DataSetError
from model.data.run_years import Prediction, predict, run_years
from model.data.sites import DataSet, site_sequences, synthetic_data
from model.evaluation.responses import GRIDS, mean_respiration, mean_yield, moved
from model.features import FEATURE_NAMES, GPP
from model.network import KGMLNetwork, OutputScalers, Scaler, State
from model.recipe.toml import RecipeError
from model.recipe.training import Recipe
from model.training.course import Course, CourseData, new_network
from model.training.pretraining import Pretraining, batches
from model.training.recurrence import WrittenOutGRU, write_out
from model.training.scores import RunningR2, held_out_scores, score
from model.training.stage_record import site_year_balance
from model.training.stages import BASIS, RH_HEAD, STAGES, physical_fluxes, set_dropout
from model.training.trainer import Learn, Outcome, ProgressFile, Trainer
from tests.helpers.recipes import RECIPE, STAGE


@pytest.fixture(scope="module")
def data() -> DataSet:
    return synthetic_data(RECIPE.data, seed=RECIPE.seed)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def pretraining(data: DataSet, step: int, recipe: Recipe = RECIPE) -> Pretraining:
    course = Course(recipe, lambda: CourseData(data), Path("unused.safetensors"))
    task = course._task(step, new_network(data.scalers), CourseData(data))
    assert isinstance(task, Pretraining)
    return task


def trainer(data: DataSet, recipe: Recipe, *, step: int, path: Path) -> Trainer:
    torch.manual_seed(1)
    network = write_out(new_network(data.scalers))
    file = ProgressFile(path, key=recipe.digest, seed=3)
    return Trainer(network, task=pretraining(data, step, recipe), recipe=recipe.stage(step), file=file)


def unit_network() -> KGMLNetwork:
    unit = Scaler(0.0, 1.0)
    return KGMLNetwork(OutputScalers(unit, unit, unit, unit))


def test_sequences_hold_balanced_years_of_365_days(data: DataSet) -> None:
    sequences = data.training
    assert sequences.x_NYTF.shape == (2, 3, 365, len(FEATURE_NAMES))
    fluxes = physical_fluxes(sequences.fluxes_NYT3, scalers=data.scalers)
    gpp = sequences.x_NYTF[..., GPP] * data.scalers.outputs["gpp"].std + data.scalers.outputs["gpp"].mean
    assert (gpp + fluxes.sum(-1)).abs().max() < 1e-4
    assert fluxes[..., :2].max() <= 1e-5  # the network's signs: respiration is negative
    assert gpp.min() > -1e-5


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


def test_batches_hold_every_site_once_and_the_last_takes_the_remainder() -> None:
    parts = batches(11, size=3)
    assert [len(part) for part in parts] == [3, 3, 5]
    assert sorted(torch.cat(parts).tolist()) == list(range(11))
    assert [len(part) for part in batches(2, size=5)] == [2]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_written_out_recurrence_has_the_values_and_gradients_of_pytorchs(dropout: float) -> None:
    torch.manual_seed(0)
    theirs = unit_network()
    ours = unit_network()
    ours.load_state_dict(theirs.state_dict())
    write_out(ours)
    x_BTF, state = torch.randn(3, 60, 19), State.unpack(0.3 * torch.randn(6, 3, 64))
    results = []
    for network in (theirs, ours):
        network.residue_days = (50,)
        set_dropout(network, dropout)
        # Only without dropout between layers do the two draw the same masks.
        network.gru_basic.dropout = network.gru_Rh.dropout = 0.0
        torch.manual_seed(2)
        result = network.train()(x_BTF, state)
        (result.fluxes_BT3.square().sum() + result.yield_B.sum() + result.state.pack().sum()).backward()
        gradients = {name: p.grad for name, p in network.named_parameters()}
        results.append((result, gradients))
    (a, a_gradients), (b, b_gradients) = results
    assert torch.allclose(a.fluxes_BT3, b.fluxes_BT3, atol=1e-6)
    assert a_gradients.keys() == b_gradients.keys()
    for name, gradient in a_gradients.items():
        assert gradient is not None
        # Relative to the largest, but not below what rounding leaves of gradients that cancel.
        tolerance = max(1e-4 * float(gradient.abs().max()), 1e-6)
        assert torch.allclose(gradient, b_gradients[name], rtol=1e-3, atol=tolerance), name


def test_the_written_out_recurrence_passes_a_numerical_check_of_its_gradient() -> None:
    torch.manual_seed(0)
    gru = WrittenOutGRU(2, 3, 2, batch_first=True).double()
    x_BTI = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    start_LBH = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gru, (x_BTI, start_LBH))


def test_yield_and_ra_alone_have_the_gradients_of_the_whole_network(data: DataSet) -> None:
    torch.manual_seed(0)
    network = new_network(data.scalers)
    STAGES[1].freeze(network)
    set_dropout(network, 0.0)
    x_BTF = data.training.x_NYTF[:, 0]
    gradients: list[list[Tensor]] = []
    for forward in (network, network.yield_and_ra):
        network.zero_grad()
        result = forward(x_BTF, State.zeros(2, like=x_BTF))
        (result.fluxes_BT3[..., 0].square().mean() + result.yield_B.square().mean()).backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.requires_grad and p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_stage_trains_its_own_modules_and_no_others(data: DataSet, step: int, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(STAGE, step=step, epochs=1, pace=100.0),))
    stage = trainer(data, recipe, step=step, path=tmp_path / "progress")
    before = {name: tensor.clone() for name, tensor in stage.network.state_dict().items()}
    stage.run()
    after = stage.network.state_dict()
    changed = {name.split(".")[0] for name, new in after.items() if not torch.equal(new, before[name])}
    assert changed == set(STAGES[step].trainable)


def test_stages_3_and_5_slow_the_shared_and_the_heterotrophic_block() -> None:
    network = unit_network()
    for step, slow, factor in ((3, BASIS, 0.2), (5, RH_HEAD, 0.4)):
        groups = STAGES[step].parameter_groups(network, recipe=replace(STAGE, step=step))
        slow_parameters = {id(p) for name in slow for p in getattr(network, name).parameters()}
        for group in groups:
            expected = 1e-3 * (factor if id(group["params"][0]) in slow_parameters else 1.0)
            assert group["lr"] == pytest.approx(expected)
        assert len(groups) == len(STAGES[step].trainable)


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


def test_the_response_check_turns_respiration_that_falls_with_soil_carbon(data: DataSet, tmp_path: Path) -> None:
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


def test_balance_scores_equal_their_definitions() -> None:
    gpp_NT, fluxes_NT3 = torch.tensor([[4.0, 6.0], [1.0, 1.0]]), torch.zeros(2, 2, 3)
    fluxes_NT3[..., 2] = torch.tensor([[-3.0, -7.0], [-1.0, 2.0]])  # residuals 1, -1; 0, 3
    balance = site_year_balance(gpp_NT, fluxes_NT3=fluxes_NT3)
    assert balance.daily == pytest.approx(5 / 4)
    assert balance.daily_share == pytest.approx(5 / 4 / 3)
    assert balance.annual_bias == pytest.approx(1.5)
    assert balance.annual == pytest.approx(1.5)


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
def test_stages_one_by_one_end_with_the_weights_of_a_whole_run_and_say_how(data: DataSet, tmp_path: Path) -> None:
    whole = Course(RECIPE, lambda: CourseData(data), tmp_path / "whole.safetensors").run()
    single = Course(RECIPE, lambda: CourseData(data), tmp_path / "single.safetensors")
    for step in RECIPE.steps:
        single.run(step)
    assert Checkpoint.load(single.output).sha256 == whole.sha256
    record = Checkpoint.load(tmp_path / "whole.safetensors").record
    assert record["origin"].startswith("synthetic")
    assert [stage["step"] for stage in record["stages"]] == [1, 2, 4]
    assert {"yield", "ra", "rh", "nee", "balance", "held_out_years"} <= set(record["scores"]["stage2"])
    assert record["stages"][1]["start_sha256"] == Checkpoint.load(single.file(1)).sha256
    assert not list(tmp_path.glob("*.progress"))
    done = Course(RECIPE, lambda: CourseData(data), tmp_path / "whole.safetensors").run()  # trains nothing again
    assert done.sha256 == whole.sha256
    with pytest.raises(RecipeError, match="another recipe"):
        Course(replace(RECIPE, batch_sites=1), lambda: CourseData(data), tmp_path / "whole.safetensors").run(1)


def test_a_stage_without_the_one_before_it_is_refused(data: DataSet, tmp_path: Path) -> None:
    course = Course(RECIPE, lambda: CourseData(data), tmp_path / "out.safetensors")
    with pytest.raises(RecipeError, match="is absent, and stage 2 starts from it; train stage 1 first"):
        course.run(2)
    with pytest.raises(RecipeError, match="no stage 3; it has 1, 2, 4"):
        course.run(3)


def test_the_sites_of_a_file_are_those_that_were_written(tmp_path: Path) -> None:
    simulated = site_sequences(RECIPE.data, seed=5)
    write_published_layout(tmp_path / "sites.safetensors", simulated)
    recipe = replace(RECIPE.data, file=str(tmp_path / "sites.safetensors"))
    found, expected = synthetic_data(recipe, seed=5), synthetic_data(RECIPE.data, seed=5)
    assert torch.equal(found.training_mask_NY, expected.training_mask_NY)
    assert torch.allclose(found.training.x_NYTF, expected.training.x_NYTF, atol=1e-4)
    assert torch.allclose(found.validation.yield_NY, expected.validation.yield_NY, atol=1e-4)
    fewer = synthetic_data(replace(recipe, sites=1), seed=5)
    assert len(fewer.training) == 1
    for changed in (replace(recipe, sites=3), replace(recipe, first_year=2002)):
        with pytest.raises(DataSetError, match=r"sites\.safetensors has 3 sites of 2003-2005, and the recipe asks"):
            synthetic_data(changed, seed=5)
    with pytest.raises(DataSetError, match=r"no such file|not readable"):
        synthetic_data(replace(recipe, file=str(tmp_path / "absent.safetensors")), seed=5)
