"""The paper's experiments at a small size: sample-size curves, a 2^4 ablation and extreme years.

The truth is the simulator with perturbed rates and errors of observation, so that pre-training helps but is not enough.
Networks are trained on the quantities that towers and surveys observe: Reco, NEE and yield. With a sample of 0 sites,
KGML-ag-Carbon has seen no flux of the truth: its yield head is trained on the yields of all sites of the pool, as
surveys report every county, and its fluxes are those of pre-training (the paper: without stage 5).

Shape legend: N sites, Y years, B sites of a batch, T days, F inputs.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from model.checkpoint import Scalers
from model.data.records import Booleans, SiteSequences
from model.data.sites import output_scalers, simulate_sites
from model.evaluation.scores import (
    Balance,
    Carbon,
    Fold,
    annual_pair,
    balance,
    leave_sites_out,
    leave_years_out,
    predicted_carbon,
    score,
)
from model.experiments.baselines import FitData, FitSample, fit, flux_error, seen_error, yield_error
from model.experiments.perturbed_truth import extreme_years, observed, perturbed
from model.experiments.pure_ml import PureML
from model.experiments.rows import CourseDay, Row, read_rows, write_rows
from model.features import GPP
from model.losses import mass_balance, yield_bounds
from model.network import KGMLNetwork, State, YearResult
from model.recipe.experiments import ExperimentRecipe
from model.recipe.toml import RecipeError
from model.training.stages import YIELD_HEAD, physical_fluxes, physical_gpp, physical_yield

Experiment: TypeAlias = Literal["sample-size", "ablation", "extreme-years", "leave-years-out", "leave-sites-out"]
Progress = Callable[[str, int, int], None]
FOLDS = 3
"""Number of parts into which years, or sites of the pool, are divided to be held out in turn."""


@dataclass(frozen=True)
class Variant:
    """Parts of KGML-ag-Carbon that a network has, the four factors of the ablation.

    Attributes
    ----------
    gpp
        Whether GPP is among its inputs; otherwise its column holds the mean.
    pretrained
        Whether it is pre-trained on the simulator.
    structure
        Whether it has KGML-ag-Carbon's topology; otherwise that of the pure-ML networks.
    knowledge
        Whether mass balance and bounds of yield are in its loss.
    """

    gpp: bool
    pretrained: bool
    structure: bool
    knowledge: bool

    @property
    def name(self) -> str:
        """Names of the parts, joined; stored in tables and file names."""
        parts = {"GPP": self.gpp, "pre-training": self.pretrained, "structure": self.structure, "KG": self.knowledge}
        return " + ".join(["ML", *(name for name, given in parts.items() if given)])


KGML = Variant(gpp=True, pretrained=True, structure=True, knowledge=True)
PURE_ML = Variant(gpp=True, pretrained=False, structure=False, knowledge=False)
INGREDIENTS = tuple(Variant(*(i < count for i in range(4))) for count in range(5))
"""Networks of the ablation with one more part each, as the paper shows them, from none to KGML-ag-Carbon."""


@dataclass(frozen=True)
class Cell:
    """One training run of a table: the variant, the number of its training sites, and the draw of them or the fold."""

    variant: Variant
    samples: int
    repeat: int = 0


class WithoutGPP(nn.Module):
    """A network whose GPP input is held at its mean; losses and scores still use the true GPP."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BTF: Tensor, state: State | None = None) -> YearResult:
        """Run one calendar year."""
        masked_BTF = x_BTF.clone()
        masked_BTF[..., GPP] = 0.0
        result: YearResult = self.network(masked_BTF, state)
        return result


def cells(experiment: Experiment, recipe: ExperimentRecipe) -> tuple[Cell, ...]:
    """Return the training runs of a table, in order."""
    if experiment == "sample-size":
        drawn = product(recipe.sample_sizes, range(recipe.repeats), (KGML, PURE_ML))
        return (Cell(KGML, 0), *(Cell(variant, size, repeat) for size, repeat, variant in drawn))
    # 2^4 factorial of the four parts, at a small and a large sample.
    if experiment == "ablation":
        variants = [Variant(*flags) for flags in product((False, True), repeat=4)]
        drawn = product(recipe.ablation_sizes, range(recipe.ablation_repeats), variants)
        return tuple(Cell(variant, size, repeat) for size, repeat, variant in drawn)
    repeats = 1 if experiment == "extreme-years" else len(folds(experiment, recipe))
    return tuple(
        Cell(variant, recipe.pool_sites, repeat) for repeat, variant in product(range(repeats), (KGML, PURE_ML))
    )


def folds(experiment: Experiment, recipe: ExperimentRecipe) -> tuple[Fold, ...]:
    """Return the folds of the pool: consecutive years, or groups of sites, held out in turn."""
    years, pool = np.arange(recipe.first_year, recipe.last_year + 1), recipe.pool_sites
    if experiment == "leave-years-out":
        return leave_years_out(years, sites=pool, size=-(-len(years) // FOLDS))
    return leave_sites_out([f"site group {site * FOLDS // pool + 1}" for site in range(pool)], years=len(years))


def seen_loss(scalers: Scalers, *, knowledge: bool) -> Callable[[FitSample], Tensor]:
    """Return the loss on observed quantities: squared errors of Reco, NEE and yield, normalised.

    With knowledge, mass balance and bounds of yield are added, as published.
    """

    def loss(sample: FitSample) -> Tensor:
        # Towers observe the sum of Ra and Rh: the error is that of the sum, in units of Ra's standard deviation.
        fluxes, target = (
            physical_fluxes(each, scalers=scalers) for each in (sample.fluxes_BTO, sample.target_fluxes_BTO)
        )
        reco = seen_error(fluxes[..., :2].sum(-1), target=target[..., :2].sum(-1)) / scalers.outputs["ra"].std ** 2
        error = reco + seen_error(sample.fluxes_BTO[..., 2], target=sample.target_fluxes_BTO[..., 2])
        return error + yield_error(sample) + (_knowledge(sample, scalers) if knowledge else 0.0)

    return loss


def simulated_loss(scalers: Scalers, *, knowledge: bool) -> Callable[[FitSample], Tensor]:
    """Return the loss of pre-training on simulations, where Ra and Rh are known separately."""

    def loss(sample: FitSample) -> Tensor:
        return flux_error(sample) + yield_error(sample) + (_knowledge(sample, scalers) if knowledge else 0.0)

    return loss


def without_fluxes(data: FitData, *, training_NY: Booleans) -> FitData:
    """Return the same data with yields alone as targets, trained on in other site-years."""
    unseen = torch.full_like(data.fluxes_NYTO, torch.nan)
    return replace(data, fluxes_NYTO=unseen, training_NY=torch.from_numpy(training_NY))


def _knowledge(sample: FitSample, scalers: Scalers) -> Tensor:
    # Also of networks that cannot see GPP: the true GPP is the one that must balance.
    gpp_BT = physical_gpp(sample.x_BTF, scalers=scalers)
    fluxes = physical_fluxes(sample.fluxes_BTO, scalers=scalers)
    closed = mass_balance(gpp_BT, fluxes_BT3=fluxes, mask_BT=torch.ones_like(gpp_BT))
    return closed + yield_bounds(physical_yield(sample.yield_B, scalers=scalers), gpp_B=gpp_BT.sum(1))


class ExperimentData:
    """The data of a recipe, and the training runs on them.

    Sites of the truth are ordered: the pool, from which training sites are drawn, then validation, then test sites.

    Parameters
    ----------
    recipe
        Recipe of the experiments.
    folder
        Folder in which pre-trained networks are kept for further training runs.
    """

    def __init__(self, recipe: ExperimentRecipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.years = np.arange(recipe.first_year, recipe.last_year + 1)
        sites = recipe.pool_sites + recipe.validation_sites + recipe.test_sites
        # Other sites than those of pre-training: another seed draws other weather, soils and management.
        other = simulate_sites(recipe.seed + 1, sites=sites, years=self.years)
        self.truth = perturbed(other, world=recipe.world)
        self.seen = observed(self.truth, world=recipe.world, seed=recipe.seed + 2)

    @cached_property
    def source(self) -> SiteSequences:
        """Simulations that networks are pre-trained on."""
        sites = self.recipe.source_sites + self.recipe.validation_sites
        return simulate_sites(self.recipe.seed, sites=sites, years=self.years)

    @cached_property
    def scalers(self) -> Scalers:
        """Normalisation of all networks."""
        return output_scalers(self.source)

    def predicted(self, cell: Cell, experiment: Experiment) -> Carbon:
        """Return the predictions of a cell at all sites of the truth, after training it."""
        held_out = self.held_out(cell, experiment).values()
        network = self.trained(cell, without_NY=np.logical_or.reduce([self._none(), *held_out]))
        return predicted_carbon(network, self.truth.x_NYTF, scalers=self.scalers)

    def rows(self, cell: Cell, experiment: Experiment, *, predicted: Carbon) -> list[Row]:
        """Return the scores of a cell's predictions."""
        tests = self.held_out(cell, experiment) or {"test sites": self.test_NY}
        return [self._row(cell, name, predicted, mask_NY) for name, mask_NY in tests.items() if mask_NY.any()]

    def course(self, cell: Cell, *, predicted: Carbon) -> list[CourseDay]:
        """Return the mean course of the year of a cell's predictions at the test sites, and of the truth."""
        truth = Carbon.of_sites(self.truth)
        key = (self.recipe.digest[:12], cell.variant.name, cell.samples, cell.repeat)
        means = {
            output: [each.daily(output)[self.test_NY].mean(0, dtype=np.float64) for each in (predicted, truth)]
            for output in ("reco", "nee")
        }
        return [
            CourseDay(*key, output, day, *map(float, values))
            for output, pair in means.items()
            for day, values in enumerate(zip(*pair, strict=True), start=1)
        ]

    @property
    def test_NY(self) -> Booleans:
        """(N, Y) site-years of the test sites."""
        return self._sites(slice(-self.recipe.test_sites, None))

    def held_out(self, cell: Cell, experiment: Experiment) -> dict[str, Booleans]:
        """Return the site-years of the pool that a cell does not train on, by the name of the test."""
        if experiment in ("sample-size", "ablation"):
            return {}
        if experiment == "extreme-years":
            return self.extremes()
        fold, mask_NY = folds(experiment, self.recipe)[cell.repeat], self._none()
        mask_NY[: self.recipe.pool_sites] = fold.test_NY
        return {fold.name: mask_NY}

    def extremes(self) -> dict[str, Booleans]:
        """Return the extreme site-years of the pool, and as many ordinary ones."""
        pool_NY = self._sites(slice(0, self.recipe.pool_sites))
        extreme_NY = extreme_years(self.truth, deviations=self.recipe.outlier) & pool_NY
        others = np.argwhere(pool_NY & ~extreme_NY)
        # As many ordinary years as extreme ones are held out, so that both are tested on equal numbers.
        drawn = np.random.default_rng(self.recipe.seed).permutation(others)[: int(extreme_NY.sum())]
        ordinary_NY = self._none()
        ordinary_NY[drawn[:, 0], drawn[:, 1]] = True
        return {"extreme years": extreme_NY, "ordinary years": ordinary_NY}

    def trained(self, cell: Cell, *, without_NY: Booleans) -> nn.Module:
        """Return the network of a cell, trained on its sample of sites without some site-years."""
        recipe = self.recipe
        # Within one repeat, smaller samples are subsets of larger ones, and all variants see the same sites.
        order = np.random.default_rng([recipe.seed, cell.repeat]).permutation(recipe.pool_sites)
        data = FitData.of(
            self.seen,
            scalers=self.scalers,
            training_NY=self._sites(order[: cell.samples]) & ~without_NY,
            validation_NY=self._sites(slice(recipe.pool_sites, recipe.pool_sites + recipe.validation_sites)),
        )
        network = self.pretrained(cell.variant) if cell.variant.pretrained else self.untrained(cell.variant)
        if not cell.samples:
            data = without_fluxes(data, training_NY=self._sites(slice(0, recipe.pool_sites)) & ~without_NY)
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(name.split(".")[0] in YIELD_HEAD)
        # As in the paper, networks without pre-training get twice the epochs.
        length = recipe.training if cell.variant.pretrained else recipe.training.doubled
        loss = seen_loss(self.scalers, knowledge=cell.variant.knowledge)
        fit(network, data=data, loss=loss, recipe=length, seed=recipe.seed + cell.repeat)
        return network

    def untrained(self, variant: Variant) -> nn.Module:
        """Return a variant's network with random weights."""
        torch.manual_seed(self.recipe.seed)
        network = KGMLNetwork(self.scalers.of_network) if variant.structure else PureML()
        return network if variant.gpp else WithoutGPP(network)

    def pretrained(self, variant: Variant) -> nn.Module:
        """Return a variant's network: pre-trained at its first use, read from the folder afterwards."""
        network = self.untrained(variant)
        path = self.folder / f"pretrained-{variant.name.replace(' + ', '-')}-{self.recipe.digest[:12]}.safetensors"
        if not path.exists():
            sites = np.arange(len(self.source)) < self.recipe.source_sites
            training_NY = np.repeat(sites[:, None], len(self.years), axis=1)
            data = FitData.of(self.source, scalers=self.scalers, training_NY=training_NY, validation_NY=~training_NY)
            loss = simulated_loss(self.scalers, knowledge=variant.knowledge)
            fit(network, data=data, loss=loss, recipe=self.recipe.pretraining, seed=self.recipe.seed)
            partial = path.with_name(f".{path.name}.partial")
            partial.write_bytes(safetensors.torch.save(network.state_dict()))
            partial.replace(path)
        # Read back even when just written, so that an interrupted experiment resumes with the same weights.
        network.load_state_dict(safetensors.torch.load(path.read_bytes()))
        return network

    def _sites(self, index: slice | np.ndarray) -> Booleans:
        mask_NY = self._none()
        mask_NY[index] = True
        return mask_NY

    def _none(self) -> Booleans:
        return np.zeros(self.truth.yield_NY.shape, dtype=bool)

    def _row(self, cell: Cell, tested_on: str, predicted: Carbon, mask_NY: Booleans) -> Row:
        truth = Carbon.of_sites(self.truth)
        yields = score(predicted.yield_NY[mask_NY], truth.yield_NY[mask_NY])
        reco, nee = (score(predicted.daily(name)[mask_NY], truth.daily(name)[mask_NY]) for name in ("reco", "nee"))
        annual = annual_pair(predicted, truth, output="nee")
        residual: Balance = balance(Carbon(*(getattr(predicted, field.name)[mask_NY] for field in fields(Carbon))))
        return Row(
            self.recipe.digest[:12],
            cell.variant.name,
            cell.samples,
            cell.repeat,
            tested_on,
            yield_r2=yields.r2_or_nan,
            reco_r2=reco.r2_or_nan,
            nee_r2=nee.r2_or_nan,
            yield_rmse=yields.rmse,
            reco_rmse=reco.rmse,
            nee_rmse=nee.rmse,
            nee_annual_rmse=score(annual[0][mask_NY], annual[1][mask_NY]).rmse,
            imbalance=residual.daily,
            imbalance_share=residual.daily_share,
            imbalance_annual=residual.annual,
            imbalance_annual_bias=residual.annual_bias,
        )


def run_experiment(
    experiment: Experiment, recipe: ExperimentRecipe, folder: Path, *, progress: Progress = lambda *_: None
) -> tuple[Row, ...]:
    """Train the cells that EXPERIMENT.csv in the folder does not hold yet, and return all rows of the table.

    The table is rewritten after each cell, so that the same call resumes where another was killed. The ablation leaves
    the mean courses of the networks of `INGREDIENTS` in ablation-courses.csv.

    Raises
    ------
    RecipeError
        If the table in the folder is that of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, course_path = folder / f"{experiment}.csv", courses_file(experiment, folder)
    rows = list(read_rows(path, Row)) if path.exists() else []
    if any(row.recipe != recipe.digest[:12] for row in rows):
        raise RecipeError(f"{path} holds the table of another recipe; delete it, or choose another folder")
    done = {(row.variant, row.samples, row.repeat) for row in rows}
    all_cells = cells(experiment, recipe)
    missing = [cell for cell in all_cells if (cell.variant.name, cell.samples, cell.repeat) not in done]
    if not missing:
        return tuple(rows)  # no need to simulate the data
    data = ExperimentData(recipe, folder)
    courses = list(read_rows(course_path, CourseDay)) if course_path.exists() else []
    # Courses are written before the rows: those of a cell that was killed in between are dropped and written again.
    courses = [day for day in courses if (day.variant, day.samples, day.repeat) in done]
    for number, cell in enumerate(missing, start=1 + len(all_cells) - len(missing)):
        predicted = data.predicted(cell, experiment)
        if experiment == "ablation" and cell.variant in INGREDIENTS:
            courses += data.course(cell, predicted=predicted)
            write_rows(course_path, courses)
        rows += data.rows(cell, experiment, predicted=predicted)
        write_rows(path, rows)
        progress(experiment, number, len(all_cells))
    return tuple(rows)


def courses_file(experiment: Experiment, folder: Path) -> Path:
    """Return the file of the mean courses of an experiment, which only the ablation writes."""
    return folder / f"{experiment}-courses.csv"
