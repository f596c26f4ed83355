"""Stages 1, 2 and 4: training on site sequences, with the response checks of stages 2 and 4.

Shape legend: N sites, Y years, B sites of a batch, T days, F features, O fluxes (3, or Ra alone in stage 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.data.run_years import Forward, Prediction, predict, run_years
from model.data.sites import DataSet, Sequences
from model.evaluation.responses import ResponseChecks, mean_respiration
from model.losses import annual_balance, flux_error, mass_balance, rise, self_paced, squared_error
from model.network import KGMLNetwork
from model.recipe.training import StageRecipe
from model.training.scores import RunningR2
from model.training.stages import physical_fluxes, physical_gpp
from model.training.trainer import Learn, Outcome


class YearSample(NamedTuple):
    """One calendar year at B sites: normalised inputs, predictions and targets, and the mask of sites that count."""

    x_BTF: Tensor
    fluxes_BTO: Tensor
    yield_B: Tensor
    target_fluxes_BT3: Tensor
    target_yield_B: Tensor
    mask_B: Tensor

    @property
    def mask_BT(self) -> Tensor:
        """The mask of each day."""
        return self.mask_B[:, None].expand(self.x_BTF.shape[:2])


def yield_and_ra_loss(sample: YearSample, *, pace: float) -> Tensor:
    """Return the self-paced squared error of Ra plus that of yield (stage 1, L1)."""
    target_BT = sample.target_fluxes_BT3[..., 0]
    ra = squared_error(sample.fluxes_BTO[..., 0], target=target_BT, mask=sample.mask_BT).mean(1)
    yield_ = squared_error(sample.yield_B, target=sample.target_yield_B, mask=sample.mask_B)
    return self_paced(ra, pace=pace) + self_paced(yield_, pace=pace)


def flux_loss(sample: YearSample, *, recipe: StageRecipe, scalers: Scalers) -> Tensor:
    """Return the squared error of Ra, Rh and NEE plus the weighted imbalances (stages 2 and 4, L2)."""
    mask_BT = sample.mask_BT
    error = flux_error(sample.fluxes_BTO, target_BT3=sample.target_fluxes_BT3, mask_BT=mask_BT)
    fluxes = physical_fluxes(sample.fluxes_BTO, scalers=scalers)
    gpp = physical_gpp(sample.x_BTF, scalers=scalers)
    balance = mass_balance(gpp, fluxes_BT3=fluxes, mask_BT=mask_BT, tolerance=recipe.balance_tolerance)
    annual = annual_balance(gpp, fluxes_BT3=fluxes, mask_BT=mask_BT)
    return error + recipe.balance_weight * balance + recipe.annual_balance_weight * annual


class Pretraining:
    """The task of stages 1, 2 and 4.

    Parameters
    ----------
    data
        Site sequences; the best epoch is chosen on the held-out years of training sites, as published, so that sites
        that are held out entirely stay independent.
    checks
        Response checks of heterotrophic respiration, on the network's device.
    stage
        Recipe of the stage.
    batch_sites
        Number of sites in a batch.
    """

    def __init__(self, data: DataSet, *, checks: ResponseChecks, stage: StageRecipe, batch_sites: int) -> None:
        self.checks, self.stage, self.batch_sites, self.scalers = checks, stage, batch_sites, data.scalers
        self.training, self.mask_NY, self.device = data.training, data.training_mask_NY, checks.x_NYTF.device
        # Sites that are held out entirely must not influence the choice of the best epoch.
        chosen_N = ~data.unseen_N
        self.held_out, self.held_out_NY = data.validation.at(chosen_N), data.validation_mask_NY[chosen_N]
        # Without weight, the checks are not even run: they cost several passes over all years.
        self.grids = checks.grids if stage.response_weight else ()
        self.outputs = ("yield", "ra") if stage.step == 1 else ("ra", "rh", "nee")

    def train(self, network: KGMLNetwork, *, learn: Learn, epoch: int) -> Outcome:
        """Train one epoch: for each batch the response checks (from the second epoch on), then its years in order."""
        forward: Forward = network.yield_and_ra if self.stage.step == 1 else network
        skill, losses = {name: RunningR2() for name in self.outputs}, []
        for sites in batches(len(self.training), size=self.batch_sites):
            # As published, the response checks are steps of their own, before the years of the batch.
            if epoch > 0:
                for i in range(len(self.grids)):
                    learn(self.response_loss(network, i))
            # As published, each year of a batch is a step of the optimiser: the state from which a year starts is that
            # of the weights before the step, and gradients stop there (backpropagation truncated to a year).
            for sample in self._samples(forward, sites):
                losses.append(learn(self._loss(sample, pace=self.stage.pace_of(epoch))))
                _count(sample, skill)
        return Outcome(sum(losses) / len(losses), {name: r2.value for name, r2 in skill.items()})

    def train_batch(self, network: KGMLNetwork, *, learn: Learn) -> None:
        """Train on one random batch of sites, a step for each of their years."""
        for sample in self._samples(network, batches(len(self.training), size=self.batch_sites)[0]):
            learn(self._loss(sample, pace=math.inf))

    def validate(self, network: KGMLNetwork) -> Outcome:
        """Return the score of the held-out years of training sites: the loss of the stage plus that of its checks."""
        sample = _held_out(predict(network, self.held_out.x_NYTF), target=self.held_out, mask_NY=self.held_out_NY)
        skill = {name: RunningR2() for name in self.outputs}
        _count(sample, skill)
        checks = sum(float(self.response_loss(network, i)) for i in range(len(self.grids)))
        loss = float(self._loss(sample, pace=math.inf)) + checks
        return Outcome(loss, {name: r2.value for name, r2 in skill.items()})

    def response_loss(self, network: KGMLNetwork, check: int) -> Tensor:
        """Return the loss of a mean Rh whose magnitude falls along an input of the stage's checks (L3, L4)."""
        grid = self.grids[check]
        curve_J = mean_respiration(network, self.checks.x_NYTF, grid=grid, scalers=self.scalers)[:, 1]
        return self.stage.response_weight * rise(curve_J, step=grid.step)

    def _samples(self, forward: Forward, sites: Tensor) -> Iterator[YearSample]:
        batch, mask_BY = self.training.at(sites), self.mask_NY[sites]
        x_BYTF = batch.x_NYTF.to(self.device)
        for year, result in enumerate(run_years(forward, x_BYTF)):
            fluxes, yield_ = batch.fluxes_NYT3[:, year], batch.yield_NY[:, year]
            target = fluxes.to(self.device), yield_.to(self.device), mask_BY[:, year].float().to(self.device)
            yield YearSample(x_BYTF[:, year], result.fluxes_BT3, result.yield_B, *target)

    def _loss(self, sample: YearSample, *, pace: float) -> Tensor:
        if self.stage.step == 1:
            return yield_and_ra_loss(sample, pace=pace)
        return flux_loss(sample, recipe=self.stage, scalers=self.scalers)


def batches(sites: int, *, size: int) -> list[Tensor]:
    """Return all sites in random order, in batches of a size; the last one also takes the remainder, as published."""
    order, count = torch.randperm(sites), max(sites // size, 1)
    return [order[i * size : None if i + 1 == count else (i + 1) * size] for i in range(count)]


def _held_out(predicted: Prediction, *, target: Sequences, mask_NY: Tensor) -> YearSample:
    """Return the held-out site-years as one sample."""
    return YearSample(
        target.x_NYTF[mask_NY],
        predicted.fluxes_NYT3[mask_NY],
        predicted.yield_NY[mask_NY],
        target.fluxes_NYT3[mask_NY],
        target.yield_NY[mask_NY],
        torch.ones(int(mask_NY.sum())),
    )


def _count(sample: YearSample, skill: dict[str, RunningR2]) -> None:
    for name, r2 in skill.items():
        if name == "yield":
            r2.add(sample.yield_B, target=sample.target_yield_B, mask=sample.mask_B)
            continue
        i = ("ra", "rh", "nee").index(name)
        r2.add(sample.fluxes_BTO[..., i], target=sample.target_fluxes_BT3[..., i], mask=sample.mask_BT)
