"""Stage 3: yield, from county yields, which are means over points.

Shape legend: C counties, P points, Y years, K 2 crops (corn, soybean), T days, F features, B points of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.data.records import CountySet
from model.data.run_years import run_years
from model.data.sites import normalised_inputs
from model.data.splits import CountySplit
from model.evaluation.responses import ResponseChecks, mean_yield
from model.features import CROP_NAMES
from model.losses import county_yield_error, fall, yield_bounds
from model.network import KGMLNetwork
from model.recipe.toml import RecipeError
from model.recipe.training import CountyRecipe, StageRecipe
from model.training.pretraining import batches
from model.training.scores import RunningR2
from model.training.stages import physical_gpp, physical_yield
from model.training.trainer import Learn, Outcome


@dataclass(frozen=True)
class CountyData:
    """Counties and their division into test, validation and training."""

    counties: CountySet
    split: CountySplit


class CountyYear(NamedTuple):
    """One calendar year of a batch of counties, normalised."""

    x_BTF: Tensor
    yield_B: Tensor
    county_B: Tensor
    mask_BK: Tensor
    observed_CK: Tensor

    @property
    def predicted_CK(self) -> Tensor:
        """Unweighted mean yield (C, K) over the points of each crop; NaN where no point grows it."""
        shape = self.observed_CK.shape
        weight_BK = self.mask_BK.to(self.yield_B)
        total_CK = self.yield_B.new_zeros(shape).index_add(0, self.county_B, self.yield_B[:, None] * weight_BK)
        count_CK = self.yield_B.new_zeros(shape).index_add(0, self.county_B, weight_BK)
        # The clamp keeps the gradient of the unused branch finite.
        return torch.where(count_CK > 0, total_CK / count_CK.clamp(min=1), torch.nan)


class CountyStage:
    """The task of stage 3.

    Parameters
    ----------
    data
        Counties and their split.
    scalers
        Scalers of the network.
    checks
        Response checks of yield.
    recipe
        Recipe of the counties.
    stage
        Recipe of the stage.
    """

    def __init__(
        self, data: CountyData, *, scalers: Scalers, checks: ResponseChecks, recipe: CountyRecipe, stage: StageRecipe
    ) -> None:
        self.scalers, self.checks, self.recipe, self.stage = scalers, checks, recipe, stage
        self.device = checks.x_NYTF.device
        # Test counties are not held here: stage 3 never sees them.
        self.training = _Normalised(data.counties.at(data.split.training), scalers)
        self.held_out = _Normalised(data.counties.at(data.split.validation), scalers)

    def train(self, network: KGMLNetwork, *, learn: Learn, epoch: int) -> Outcome:
        """Train one epoch: per batch of counties the response checks (from the second epoch on), then its years."""
        skill, losses, pace = _running(), [], self.stage.pace_of(epoch)
        for counties in batches(self.training.counties, size=self.recipe.batch_counties):
            # As in the other stages, the first epoch is free of response checks.
            if epoch > 0 and self.stage.response_weight:
                learn(self.response_loss(network))
            points = self._draw(counties)
            for year in self._years(network, self.training, points):
                losses.append(learn(self._loss(year, pace=pace)))
                _count(year, skill)
        return Outcome(sum(losses) / len(losses), {name: r2.value for name, r2 in skill.items()})

    def validate(self, network: KGMLNetwork) -> Outcome:
        """Return the score of the validation counties: the mean loss of the years plus that of the checks."""
        skill, points = _running(), torch.arange(len(self.held_out.x_PYTF))
        losses = []
        for year in self._years(network, self.held_out, points):
            losses.append(float(self._loss(year, pace=math.inf)))
            _count(year, skill)
        checks = float(self.response_loss(network)) if self.stage.response_weight else 0.0
        return Outcome(sum(losses) / len(losses) + checks, {name: r2.value for name, r2 in skill.items()})

    def response_loss(self, network: KGMLNetwork) -> Tensor:
        """Return the loss of mean yields that fall along the inputs of the checks (L6)."""
        falls = [fall(mean_yield(network, self.checks.x_NYTF, grid=grid), step=grid.step) for grid in self.checks.grids]
        return self.stage.response_weight * torch.stack(falls).sum()

    def _draw(self, counties: Tensor) -> Tensor:
        """Return points of the counties, up to the recipe's number of each, drawn anew in each epoch."""
        parts = []
        for county in counties:
            # PyTorch's generator, whose state is in the progress file: a resumed epoch draws the same points.
            points = (self.training.county_P == county).nonzero()[:, 0]
            parts.append(points[torch.randperm(len(points))[: self.recipe.training_points]])
        return torch.cat(parts)

    def _years(self, network: KGMLNetwork, data: _Normalised, points: Tensor) -> Iterator[CountyYear]:
        x_BYTF = data.x_PYTF[points].to(self.device)
        counties, county_B = torch.unique(data.county_P[points], return_inverse=True)
        for year, result in enumerate(run_years(network.yield_alone, x_BYTF)):
            yield CountyYear(
                x_BYTF[:, year],
                result.yield_B,
                county_B.to(self.device),
                data.mask_PYK[points, year].to(self.device),
                data.observed_CYK[counties, year].to(self.device),
            )

    def _loss(self, year: CountyYear, *, pace: float) -> Tensor:
        # L7 on the counties plus L5 on their points; the bounds of each county count equally, whatever its points.
        gpp_B = physical_gpp(year.x_BTF, scalers=self.scalers).sum(1)
        yield_B, limit = physical_yield(year.yield_B, scalers=self.scalers), self.stage.yield_limit
        bounds = [
            yield_bounds(yield_B[chosen], gpp_B=gpp_B[chosen], limit=limit)
            for county in range(len(year.observed_CK))
            for chosen in [year.county_B == county]
        ]
        error = county_yield_error(year.predicted_CK, observed_CK=year.observed_CK, pace=pace)
        return error + torch.stack(bounds).mean()


class _Normalised:
    """A county set as normalised tensors."""

    def __init__(self, data: CountySet, scalers: Scalers) -> None:
        scaler = scalers.outputs["yield"]
        self.x_PYTF = normalised_inputs(data.points.x_NYTF, scalers=scalers)
        self.county_P = torch.from_numpy(data.county_P)
        self.mask_PYK = torch.from_numpy(data.mask_PYK)
        self.observed_CYK = (torch.from_numpy(data.observed_CYK) - scaler.mean) / scaler.std
        self.counties = len(data)
        if bool(torch.isnan(self.observed_CYK).all()):
            raise RecipeError(f"no county of {data.origin} has an observed yield; stage 3 has nothing to learn from")


def _running() -> dict[str, RunningR2]:
    return {name: RunningR2() for name in CROP_NAMES.values()}


def _count(year: CountyYear, skill: dict[str, RunningR2]) -> None:
    predicted_CK, observed_CK = year.predicted_CK, year.observed_CK
    known_CK = torch.isfinite(predicted_CK.detach() - observed_CK)
    for k, r2 in enumerate(skill.values()):
        r2.add(predicted_CK[:, k], target=observed_CK[:, k], mask=known_CK[:, k])
