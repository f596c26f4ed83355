"""The paper's experiments at a small size: their design, their losses, and tables that go on where they were killed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import model.experiments.run as experiments
from model.data.records import DAYS, SiteSequences
from model.data.sites import output_scalers
from model.evaluation.scores import Carbon
from model.experiments.baselines import FitSample
from model.experiments.rows import CourseDay, Row, read_rows
from model.experiments.run import (
    INGREDIENTS,
    KGML,
    PURE_ML,
    Cell,
    ExperimentData,
    Variant,
    WithoutGPP,
    cells,
    folds,
    run_experiment,
    seen_loss,
)
from model.features import FEATURES, GPP
from model.network import YearResult
from model.recipe.experiments import ExperimentRecipe
from model.recipe.toml import RecipeError, read_toml

FOLDER = Path(experiments.__file__).parent / "recipes"


@pytest.fixture(scope="module")
def recipe() -> ExperimentRecipe:
    return read_toml(FOLDER / "tiny.toml", ExperimentRecipe)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_experiment_recipes_are_read(path: Path) -> None:
    recipe = read_toml(path, ExperimentRecipe)
    assert [len(cells(name, recipe)) for name in get_args(experiments.Experiment)] == [
        1 + 2 * len(recipe.sample_sizes) * recipe.repeats,
        16 * len(recipe.ablation_sizes) * recipe.ablation_repeats,
        2,
        6,
        2 * min(recipe.pool_sites, 3),
    ]


def test_ra_and_rh_are_not_separated_by_towers_that_observe_their_sum(sequences: SiteSequences) -> None:
    scalers = output_scalers(sequences)
    rng = torch.Generator().manual_seed(0)
    x, flux = torch.randn(2, DAYS, len(FEATURES), generator=rng), torch.randn(2, DAYS, 3, generator=rng)
    grain = torch.randn(2, generator=rng)
    loss = seen_loss(scalers, knowledge=False)
    assert float(loss(FitSample(x, flux, grain, flux, grain))) == 0
    outputs, moved = scalers.outputs, flux.clone()
    moved[..., 0] += 1 / outputs["ra"].std
    moved[..., 1] -= 1 / outputs["rh"].std
    assert float(loss(FitSample(x, moved, grain, flux, grain))) == pytest.approx(0, abs=1e-9)
    moved[..., 1] += 3 / outputs["rh"].std
    expected = 9 / outputs["ra"].std ** 2
    assert float(loss(FitSample(x, moved, grain, flux, grain))) == pytest.approx(expected, rel=1e-4)


def test_knowledge_adds_the_imbalance_and_yields_beyond_their_bounds(sequences: SiteSequences) -> None:
    scalers = output_scalers(sequences)
    outputs = scalers.outputs

    def z(name: str, value: float) -> float:
        return (value - outputs[name].mean) / outputs[name].std

    x = torch.zeros(1, DAYS, len(FEATURES))
    x[..., GPP] = (2.0 - scalers.features[GPP].mean) / scalers.features[GPP].std
    flux = torch.tensor([z("ra", -0.6), z("rh", -0.4), z("nee", -0.5)]).expand(1, DAYS, 3)
    grain = torch.tensor([z("yield", 400.0)])
    extra = float(seen_loss(scalers, knowledge=True)(FitSample(x, flux, grain, flux, grain)))
    assert extra == pytest.approx((0.5 - 0.01) + (400 - 365), rel=1e-4)


def test_a_network_without_gpp_predicts_the_same_for_any_gpp() -> None:
    seen = []

    class Probe(torch.nn.Module):
        def forward(self, x_BTF: torch.Tensor, state: object) -> YearResult:
            seen.append(x_BTF)
            return YearResult(x_BTF[..., :3], x_BTF[:, 0, 0], state)  # type: ignore[arg-type]

    x = torch.randn(2, 3, len(FEATURES))
    given = x.clone()
    WithoutGPP(Probe())(x)
    assert torch.equal(x, given)
    assert (seen[0][..., GPP] == 0).all()
    kept = [i for i in range(len(FEATURES)) if i != GPP]
    assert torch.equal(seen[0][..., kept], x[..., kept])


def test_samples_grow_by_adding_sites_and_extreme_years_are_never_trained_on(
    recipe: ExperimentRecipe, tmp_path: Path
) -> None:
    data = ExperimentData(recipe, tmp_path)
    held_out = data.held_out(Cell(KGML, 2), "extreme-years")
    extreme, ordinary = held_out["extreme years"], held_out["ordinary years"]
    assert extreme.any()
    assert not (extreme & ordinary).any()
    assert extreme.sum() == ordinary.sum() or (extreme | ordinary)[: recipe.pool_sites].all()
    assert not (extreme | ordinary)[recipe.pool_sites :].any()
    for experiment in ("leave-years-out", "leave-sites-out"):
        parts = [
            data.held_out(Cell(KGML, 2, i), experiment)[fold.name] for i, fold in enumerate(folds(experiment, recipe))
        ]
        assert (sum(part[: recipe.pool_sites].astype(int) for part in parts) == 1).all()
        assert not any(part[recipe.pool_sites :].any() for part in parts)
    assert data.held_out(Cell(KGML, 2), "ablation") == {}
    masks = []

    def capture(*_: object, data: experiments.FitData, **__: object) -> None:
        masks.append(data.training_NY.numpy())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "fit", capture)
        # Held-out years may be all years of a site of this small recipe: growing samples are seen without them.
        for size, without in ((1, data._none()), (2, data._none()), (2, extreme)):
            data.trained(Cell(PURE_ML, size), without_NY=without)
    assert [mask.any(1).sum() for mask in masks[:2]] == [1, 2]
    assert not (masks[0] & ~masks[1]).any()
    assert (masks[2] == (masks[1] & ~extreme)).all()


@pytest.mark.slow
def test_an_interrupted_table_resumes_and_ends_the_same(recipe: ExperimentRecipe, tmp_path: Path) -> None:
    recipe = replace(recipe, sample_sizes=(1,), source_sites=1)
    whole = run_experiment("sample-size", recipe, tmp_path / "whole")
    assert [(row.variant, row.samples) for row in whole] == [(KGML.name, 0), (KGML.name, 1), (PURE_ML.name, 1)]

    class KilledError(Exception):
        pass

    def kill(*_: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        run_experiment("sample-size", recipe, tmp_path / "cut", progress=kill)
    assert len(list(read_rows(tmp_path / "cut" / "sample-size.csv", Row))) == 1
    counted: list[int] = []
    again = run_experiment("sample-size", recipe, tmp_path / "cut", progress=lambda _, done, __: counted.append(done))
    assert counted == [2, 3]
    assert again == whole
    first, second = ((tmp_path / name / "sample-size.csv").read_bytes() for name in ("whole", "cut"))
    assert first == second
    with pytest.raises(RecipeError, match="another recipe"):
        run_experiment("sample-size", replace(recipe, seed=8), tmp_path / "cut")


def test_the_factorial_names_each_of_its_sixteen_networks_once(recipe: ExperimentRecipe) -> None:
    names = [cell.variant.name for cell in cells("ablation", recipe)]
    assert len(set(names)) == 16
    assert KGML.name == "ML + GPP + pre-training + structure + KG"
    assert Variant(False, False, False, False).name == "ML"


def test_the_ingredients_add_one_part_each() -> None:
    names = [variant.name for variant in INGREDIENTS]
    assert names[0] == "ML"
    assert names[-1] == KGML.name
    assert all(later.startswith(earlier) for earlier, later in pairwise(names))


def test_without_flux_samples_only_the_yield_head_learns_and_only_yields(
    recipe: ExperimentRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ExperimentData(recipe, tmp_path)
    # Pre-training would take the time of a slow test; weights of any kind show what is trained.
    monkeypatch.setattr(data, "pretrained", data.untrained)
    before = data.untrained(KGML).state_dict()
    seen = []
    fit = experiments.fit

    def spy(network: torch.nn.Module, *, data: experiments.FitData, **rest: Any) -> None:
        seen.append(data)
        fit(network, data=data, **rest)

    monkeypatch.setattr(experiments, "fit", spy)
    network = data.trained(Cell(KGML, 0), without_NY=data._none())
    assert torch.isnan(seen[0].fluxes_NYTO).all()
    assert seen[0].training_NY[: recipe.pool_sites].all()
    assert not seen[0].training_NY[recipe.pool_sites :].any()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert {name.split(".")[0] for name in changed} <= {"attn", "densor_yield"}


def test_courses_are_means_over_the_test_site_years(recipe: ExperimentRecipe, tmp_path: Path) -> None:
    data = ExperimentData(recipe, tmp_path)
    truth = Carbon.of_sites(data.truth)
    days = data.course(Cell(KGML, 2, 1), predicted=replace(truth, nee_NYT=truth.nee_NYT + 1))
    assert len(days) == 2 * DAYS
    nee = [day for day in days if day.output == "nee"]
    assert (nee[9].day, nee[9].repeat, nee[9].samples) == (10, 1, 2)
    expected = truth.nee_NYT[-recipe.test_sites :, :, 9].mean()
    assert nee[9].truth == pytest.approx(expected, rel=1e-5)
    assert nee[9].predicted == pytest.approx(expected + 1, rel=1e-5)


def test_courses_of_a_cell_killed_before_its_row_are_written_once(
    recipe: ExperimentRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth: list[Carbon] = []

    def predicted(self: ExperimentData, *_: object) -> Carbon:
        truth.append(Carbon.of_sites(self.truth))
        return truth[-1]

    monkeypatch.setattr(ExperimentData, "predicted", predicted)
    monkeypatch.setattr(experiments, "cells", lambda *_: tuple(Cell(variant, 1) for variant in INGREDIENTS[:2]))
    write = experiments.write_rows

    class KilledError(Exception):
        pass

    def killed(path: Path, rows: Any) -> None:
        if isinstance(rows[0], Row) and len(rows) == 2:
            raise KilledError
        write(path, rows)

    monkeypatch.setattr(experiments, "write_rows", killed)
    with pytest.raises(KilledError):
        run_experiment("ablation", recipe, tmp_path)
    assert len(list(read_rows(tmp_path / "ablation-courses.csv", CourseDay))) == 4 * DAYS
    monkeypatch.setattr(experiments, "write_rows", write)
    assert len(run_experiment("ablation", recipe, tmp_path)) == 2
    days = list(read_rows(tmp_path / "ablation-courses.csv", CourseDay))
    assert len(days) == len({(day.variant, day.output, day.day) for day in days}) == 4 * DAYS
    assert all(day.predicted == day.truth for day in days)
