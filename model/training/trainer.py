"""The training loop: stages and epochs, the best network kept, and a run that goes on where it was killed."""

from __future__ import annotations

import copy
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from model.checkpoint import Scalers
from model.network import KGMLNetwork, OutputScalers, YearResult
from model.training.data import DataSet, Sequences
from model.training.recipe import Recipe, RecipeError, StageRecipe
from model.training.sequence import predict, run_years
from model.training.stages import STAGES, Stage, YearSample

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run stands in its stage."""

    stage: int = 0  # index in the recipe
    epoch: int = 0  # finished epochs
    best_epoch: int = 0
    best_score: float = math.inf
    best: dict[str, Tensor] = field(default_factory=dict)  # weights after the best epoch
    history: list[dict[str, float]] = field(default_factory=list)  # of all stages


class Trainer:
    """Trains a recipe on a data set, writing its progress after every epoch.

    Parameters
    ----------
    recipe, data
        What to train, and on what.
    progress_file
        Written whole after each epoch; an existing one of the same recipe is continued, to the same weights.

    Raises
    ------
    RecipeError
        If the progress file belongs to another recipe.
    """

    def __init__(self, recipe: Recipe, *, data: DataSet, progress_file: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.progress_file = recipe, data, progress_file
        self.network = new_network(data.scalers)
        self._begin(stage=0, history=[])
        if progress_file.exists():
            self._resume()

    @property
    def stage_recipe(self) -> StageRecipe:
        """The recipe of the present stage."""
        return self.recipe.stages[self.progress.stage]

    @property
    def stage(self) -> Stage:
        """The present stage."""
        return STAGES[self.stage_recipe.step]

    def run(self) -> None:
        """Train what is left; the network ends with the best weights of the last stage."""
        for stage in range(self.progress.stage, len(self.recipe.stages)):
            if stage > self.progress.stage:
                self._begin(stage=stage, history=self.progress.history)
            while not self._ended():
                self._epoch()
                self._save()
            self.network.load_state_dict(self.progress.best)

    def _begin(self, *, stage: int, history: list[dict[str, float]]) -> None:
        self.progress = Progress(stage=stage, history=history)
        self.optimizer = Adam(self.stage.freeze(self.network), lr=self.stage_recipe.learning_rate)
        self.schedule = StepLR(self.optimizer, self.stage_recipe.decay_epochs, self.stage_recipe.decay)

    def _ended(self) -> bool:
        since_best = self.progress.epoch - self.progress.best_epoch
        return self.progress.epoch >= self.stage_recipe.epochs or since_best >= self.stage_recipe.patience

    def _epoch(self) -> None:
        started, progress = time.perf_counter(), self.progress
        loss = self._train()
        self.schedule.step()
        score = self._validate()
        progress.epoch += 1
        if score < progress.best_score:
            progress.best_epoch, progress.best_score = progress.epoch, score
            progress.best = copy.deepcopy(self.network.state_dict())
        step, seconds = self.stage_recipe.step, time.perf_counter() - started
        progress.history.append({"step": step, "epoch": progress.epoch, "loss": loss, "validation": score})
        log.info("step %d epoch %d loss %.4f validation %.4f, %.0f s", step, progress.epoch, loss, score, seconds)

    def _train(self) -> float:
        """Train an epoch; return its mean loss."""
        self.network.train()
        sequences, pace = self.data.training, self.stage_recipe.pace_of(self.progress.epoch)
        batches = torch.split(torch.randperm(len(sequences)), self.recipe.batch_sites)
        losses = [
            self._learn(year_sample(result, target=batch, mask_NY=self.data.training_mask_NY[sites], year=year), pace)
            for sites in batches
            for batch in [sequences.at(sites)]
            for year, result in enumerate(run_years(self.network, batch.x_NYTF))
        ]
        return sum(losses) / len(losses)

    def _learn(self, sample: YearSample, pace: float) -> float:
        loss = self.stage.loss(sample, pace, self.data.scalers)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def _validate(self) -> float:
        """Return the loss over the held-out site-years."""
        target, mask_NY = self.data.validation, self.data.validation_mask_NY
        predicted = predict(self.network, target.x_NYTF)
        sample = YearSample(
            target.x_NYTF[mask_NY],
            predicted.fluxes_NYT3[mask_NY],
            predicted.yield_NY[mask_NY],
            target.fluxes_NYT3[mask_NY],
            target.yield_NY[mask_NY],
            torch.ones(int(mask_NY.sum())),
        )
        return float(self.stage.loss(sample, math.inf, self.data.scalers))

    def _save(self) -> None:
        partial = self.progress_file.with_name(f".{self.progress_file.name}.partial")
        state = {
            "recipe": self.recipe.digest,
            "progress": {name: getattr(self.progress, name) for name in Progress.__dataclass_fields__},
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(state, partial)
        partial.replace(self.progress_file)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self.progress_file, weights_only=True)
        if state["recipe"] != self.recipe.digest:
            raise RecipeError(
                f"{self.progress_file} is the progress of another recipe; delete it, or write to another file"
            )
        self.network.load_state_dict(state["network"])
        self._begin(stage=state["progress"]["stage"], history=[])
        self.progress = Progress(**state["progress"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        log.info("resumed at step %d after epoch %d", self.stage_recipe.step, self.progress.epoch)


def new_network(scalers: Scalers) -> KGMLNetwork:
    """Return an untrained network with these scalers, in training mode."""
    outputs = scalers.outputs
    return KGMLNetwork(OutputScalers(outputs["gpp"], outputs["ra"], outputs["yield"], outputs["residue"]))


def year_sample(result: YearResult, *, target: Sequences, mask_NY: Tensor, year: int) -> YearSample:
    """Return predictions and targets of one year, the mask as 0 and 1."""
    return YearSample(
        target.x_NYTF[:, year],
        result.fluxes_BT3,
        result.yield_B,
        target.fluxes_NYT3[:, year],
        target.yield_NY[:, year],
        mask_NY[:, year].float(),
    )
