"""Training without stages: one loss, one optimiser, the best epoch kept; for baselines and experiments.

Shape legend: N sites, B sites of a batch, Y years, T 365 days, F inputs, O fluxes, X site-years or days in one axis.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from model.checkpoint import Scalers
from model.data.records import Booleans, SiteSequences
from model.data.run_years import run_years
from model.data.sites import normalise, normalised_inputs
from model.experiments.pure_ml import FluxBaseline
from model.network import YearResult
from model.recipe.experiments import FitRecipe
from model.training.recurrence import write_out
from model.training.tower_stage import TowerData


@dataclass(frozen=True)
class FitData:
    """Normalised inputs and targets, and which site-years train and validate.

    Attributes
    ----------
    x_NYTF
        Inputs; every year is run, so that the state is carried through years without a target too.
    fluxes_NYTO, yield_NY
        Targets; NaN where nothing was observed, which is left out of losses.
    training_NY, validation_NY
        Site-years whose targets are trained on, and by which the best epoch is chosen.
    """

    x_NYTF: Tensor
    fluxes_NYTO: Tensor
    yield_NY: Tensor
    training_NY: Tensor
    validation_NY: Tensor

    @classmethod
    def of(
        cls, sequences: SiteSequences, *, scalers: Scalers, training_NY: Booleans, validation_NY: Booleans
    ) -> FitData:
        """Return normalised sequences with these masks."""
        normalised = normalise(sequences, scalers=scalers)
        return cls(
            normalised.x_NYTF,
            normalised.fluxes_NYT3,
            normalised.yield_NY,
            torch.from_numpy(training_NY),
            torch.from_numpy(validation_NY),
        )

    def seeing(self, mask_NY: Tensor) -> FitData:
        """Return the data with the targets of these site-years alone, all others NaN."""
        fluxes = torch.where(mask_NY[..., None, None], self.fluxes_NYTO, torch.nan)
        return replace(self, fluxes_NYTO=fluxes, yield_NY=torch.where(mask_NY, self.yield_NY, torch.nan))


@dataclass(frozen=True)
class FitSample:
    """One year at the sites of a batch: predictions and targets, normalised; NaN where a target does not count."""

    x_BTF: Tensor
    fluxes_BTO: Tensor
    yield_B: Tensor
    target_fluxes_BTO: Tensor
    target_yield_B: Tensor


Loss = Callable[[FitSample], Tensor]


@dataclass(frozen=True)
class Fit:
    """Result of a training: losses of each epoch, and the epoch (from 1) whose weights were kept."""

    training: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int


def seen_error(predicted: Tensor, *, target: Tensor) -> Tensor:
    """Return the mean squared error over the targets that are not NaN; 0 if there are none.

    >>> predicted, target = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, torch.nan, 5.0])
    >>> float(seen_error(predicted, target=target))
    2.0
    """
    # NaN is replaced before the square: the gradient of a NaN's square is NaN, even times zero.
    seen = torch.isfinite(target)
    error = torch.where(seen, predicted - torch.where(seen, target, 0.0), 0.0) ** 2
    return error.sum() / seen.sum().clamp(min=1)


def yield_error(sample: FitSample) -> Tensor:
    """Return the mean squared error of yield."""
    return seen_error(sample.yield_B, target=sample.target_yield_B)


def flux_error(sample: FitSample) -> Tensor:
    """Return the sum over fluxes of their mean squared error."""
    pairs = zip(sample.fluxes_BTO.unbind(-1), sample.target_fluxes_BTO.unbind(-1), strict=True)
    return torch.stack([seen_error(flux, target=target) for flux, target in pairs]).sum()


def fit(network: nn.Module, *, data: FitData, loss: Loss, recipe: FitRecipe, seed: int) -> Fit:
    """Train all weights of a network in place, and leave it with those of the epoch with the least validation loss.

    Parameters
    ----------
    network
        A network with the interface of `model.network.KGMLNetwork`.
    data
        Years in order carry the state; gradients stop at the start of each, and each is a step of the optimiser.
    loss
        Loss of one year of a batch.
    recipe
        Length and rate of the training.
    seed
        Seed of dropout and of the order of sites.
    """
    torch.manual_seed(seed)
    for module in list(network.modules()):
        write_out(module)  # type: ignore[arg-type]  # faster gradients of all GRUs, at any depth
    optimizer = Adam(network.parameters(), recipe.learning_rate)
    schedule = StepLR(optimizer, recipe.decay_epochs, recipe.decay)
    # If no epoch improves on infinity (a loss of NaN), the first weights stay.
    best, lowest, best_epoch = copy.deepcopy(network.state_dict()), math.inf, 0
    training: list[float] = []
    validation: list[float] = []
    for epoch in range(1, recipe.epochs + 1):
        training.append(_train(network, data=data, loss=loss, optimizer=optimizer, batch_sites=recipe.batch_sites))
        schedule.step()
        validation.append(_validate(network, data=data, loss=loss))
        if validation[-1] < lowest:
            best, lowest, best_epoch = copy.deepcopy(network.state_dict()), validation[-1], epoch
        # Best epochs count from 1; before the first, 0 counts as the best.
        if epoch - best_epoch >= recipe.patience:
            break
    network.load_state_dict(best)
    network.eval()
    return Fit(tuple(training), tuple(validation), best_epoch)


def _train(network: nn.Module, *, data: FitData, loss: Loss, optimizer: Adam, batch_sites: int) -> float:
    network.train()
    data = data.seeing(data.training_NY)
    sites = torch.nonzero(data.training_NY.any(1))[:, 0]
    # Sites without a training year are never run.
    sites = sites[torch.randperm(len(sites))]
    losses = []
    for batch in torch.tensor_split(sites, max(len(sites) // batch_sites, 1)):
        for year, result in enumerate(run_years(network, data.x_NYTF[batch])):
            value = loss(_sample(data, result, sites=batch, year=year))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(value.detach()))
    return sum(losses) / len(losses)


@torch.no_grad()
def _validate(network: nn.Module, *, data: FitData, loss: Loss) -> float:
    """Return the mean loss of the validation years, over the sites that have one."""
    network.eval()
    data = data.seeing(data.validation_NY)
    sites = torch.nonzero(data.validation_NY.any(1))[:, 0]
    losses = [
        float(loss(_sample(data, result, sites=sites, year=year)))
        for year, result in enumerate(run_years(network, data.x_NYTF[sites]))
        if data.validation_NY[sites, year].any()
    ]
    return sum(losses) / len(losses)


def _sample(data: FitData, result: YearResult, *, sites: Tensor, year: int) -> FitSample:
    return FitSample(
        data.x_NYTF[sites, year],
        result.fluxes_BT3,
        result.yield_B,
        data.fluxes_NYTO[sites, year],
        data.yield_NY[sites, year],
    )


def tower_baseline(data: TowerData, *, scalers: Scalers, recipe: FitRecipe, seed: int) -> NDArray[np.float32]:
    """Return Reco and NEE (Y, 365, 2) [g C m-2 d-1] of a pure-ML network trained on this tower alone.

    Parameters
    ----------
    data
        Tower and its training and validation years; other years are predicted, and their observations are never used.
    scalers
        Scalers of the inputs; observations are normalised with mean and standard deviation of the training years.
    recipe, seed
        Arguments of `fit`; the epochs are doubled, as for all networks that are not pre-trained.
    """
    # Scalers of the observations come from the training years alone: nothing of other years may leak into them.
    tower = data.tower
    training_NY, validation_NY = (np.isin(tower.years, years)[None] for years in (data.training, data.validation))
    observed_YT2 = np.where(tower.mask_YT[..., None], np.stack([tower.reco_YT, tower.nee_YT], -1), np.nan)
    known_X2 = observed_YT2[training_NY[0]].reshape(-1, 2)
    mean_2, std_2 = np.nanmean(known_X2, 0), np.nanstd(known_X2, 0)
    target = torch.from_numpy(((observed_YT2 - mean_2) / std_2).astype(np.float32))[None]
    x_NYTF = normalised_inputs(tower.x_YTF[None], scalers=scalers)
    nothing = torch.full(target.shape[:2], torch.nan)
    normalised = FitData(x_NYTF, target, nothing, torch.from_numpy(training_NY), torch.from_numpy(validation_NY))
    torch.manual_seed(seed)
    network = FluxBaseline(outputs=2)
    fit(network, data=normalised, loss=flux_error, recipe=recipe.doubled, seed=seed)
    with torch.no_grad():
        z_YT2 = torch.cat([year.fluxes_BT3 for year in run_years(network, x_NYTF)]).numpy()
    physical_YT2: NDArray[np.float32] = (z_YT2 * std_2 + mean_2).astype(np.float32)
    return physical_YT2
