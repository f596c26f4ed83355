"""The paper's experiments at a small size: their design, their losses, and tables that go on where they were killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

import model.experiments.run as experiments
from model.data.records import DAYS, SiteSequences
from model.data.sites import output_scalers
from model.experiments.baselines import FitSample
from model.experiments.rows import read_rows
from model.experiments.run import (
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
        2 * len(recipe.sample_sizes) * recipe.repeats,
        16 * len(recipe.ablation_sizes),
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
        for size in (1, 2):
            data.trained(Cell(PURE_ML, size), without_NY=extreme)
    assert [mask.any(1).sum() for mask in masks] == [1, 2]
    assert not (masks[0] & ~masks[1]).any()
    assert not any((mask & extreme).any() for mask in masks)


@pytest.mark.slow
def test_an_interrupted_table_resumes_and_ends_the_same(recipe: ExperimentRecipe, tmp_path: Path) -> None:
    recipe = replace(recipe, sample_sizes=(1,), source_sites=1)
    whole = run_experiment("sample-size", recipe, tmp_path / "whole")
    assert [row.variant for row in whole] == [KGML.name, PURE_ML.name]

    class KilledError(Exception):
        pass

    def kill(*_: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        run_experiment("sample-size", recipe, tmp_path / "cut", progress=kill)
    assert len(list(read_rows(tmp_path / "cut" / "sample-size.csv"))) == 1
    counted: list[int] = []
    again = run_experiment("sample-size", recipe, tmp_path / "cut", progress=lambda _, done, __: counted.append(done))
    assert counted == [2]
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
