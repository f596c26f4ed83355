"""The training loop of one stage: epochs, the best network kept, and a run that resumes where it was killed.

After each epoch, all state of the loop is written to the progress file: weights, the best weights so far, their running
mean, optimiser, schedule, learning curve and the state of the random number generators. The file is written under
another name and renamed, so that a killed process leaves the state after the last complete epoch. A resumed run repeats
the interrupted epoch with the same random numbers and ends, on the CPU, with the same weights bit for bit.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import StepLR

from model.network import KGMLNetwork
from model.recipe.toml import RecipeError
from model.recipe.training import StageRecipe
from model.training.stages import STAGES, set_dropout

log = logging.getLogger(__name__)

Learn = Callable[[Tensor], float]
"""Function that takes one step of the optimiser on a loss and returns the loss."""
Weights = dict[str, Tensor]
Report = Callable[[str, int, int], None]
"""Function of the name of a work, the number of its steps that are done, and the number of all."""


@dataclass(frozen=True)
class Outcome:
    """Result of one pass over data.

    Attributes
    ----------
    loss
        Mean over the steps of training, or the score by which the best epoch is chosen.
    r2
        R2 of each output of the stage, over all pairs that count.
    """

    loss: float
    r2: dict[str, float]

    @property
    def mean_r2(self) -> float:
        """Mean R2 over the outputs."""
        return sum(self.r2.values()) / len(self.r2)

    def __str__(self) -> str:
        """Return loss and R2 in one line."""
        skill = " ".join(f"{name} {value:.3f}" for name, value in self.r2.items())
        return f"{self.loss:.4f} (R2 {skill})"


class Task(Protocol):
    """The data and the losses of a stage."""

    def train(self, network: KGMLNetwork, *, learn: Learn, epoch: int) -> Outcome:
        """Train one epoch, counted from 0; the network is in training mode."""

    def validate(self, network: KGMLNetwork) -> Outcome:
        """Return the score on held-out data; the network is in evaluation mode and no gradient is kept."""


@dataclass(frozen=True)
class Epoch:
    """One row of a learning curve; epochs count from 1."""

    epoch: int
    learning_rate: float
    training: Outcome
    validation: Outcome


@dataclass
class Progress:
    """State of a stage between two epochs."""

    epoch: int = 0  # finished epochs
    best_epoch: int = 0
    best_score: float = math.inf
    best: Weights = field(default_factory=dict)  # weights after the best epoch
    average: Weights = field(default_factory=dict)  # running mean of the trainable weights
    curve: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class ProgressFile:
    """File of a stage's progress, the key of the run that it belongs to, and the seed of the stage's random numbers.

    Attributes
    ----------
    path
        File that is replaced after each epoch.
    key
        Hash of everything that decides the stage's result: recipe, data, first weights.
    seed
        Seed of dropout and of the order of the batches.
    """

    path: Path
    key: str
    seed: int


class Trainer:
    """Trains one stage of a network, in place.

    Parameters
    ----------
    network
        Network with the weights of the stage before, on its device.
    task
        Data and losses of the stage.
    recipe
        Recipe of the stage.
    file
        Progress file; progress of the same key is resumed.
    report
        Called with a name, the number of epochs done since now, and that of the epochs left at most now.

    Raises
    ------
    RecipeError
        If the progress file belongs to another recipe, other data or other first weights.
    """

    def __init__(
        self,
        network: KGMLNetwork,
        *,
        task: Task,
        recipe: StageRecipe,
        file: ProgressFile,
        report: Report = lambda *_: None,
    ) -> None:
        self.network, self.task, self.recipe, self.file, self.report = network, task, recipe, file, report
        stage = STAGES[recipe.step]
        stage.freeze(network)
        set_dropout(network, recipe.dropout)
        # No weight decay and no clipping of gradients, as published.
        self.optimizer = Adam(stage.parameter_groups(network, recipe=recipe))
        self.schedule = StepLR(self.optimizer, recipe.decay_epochs, recipe.decay)
        self.progress = Progress()
        # Each stage has a seed of its own, so that it ends with the same weights whether or not the same process ran
        # earlier stages.
        torch.manual_seed(file.seed)
        if file.path.exists():
            self._resume()

    def run(self) -> list[Epoch]:
        """Train the remaining epochs and return the learning curve; the network ends with its best weights.

        Raises
        ------
        RecipeError
            If training diverges.
        """
        name, before = f"epochs of stage {self.recipe.step}", self.progress.epoch
        self.report(name, 0, self.recipe.epochs - before)
        while not self._ended():
            self._epoch()
            self._save()
            self.report(name, self.progress.epoch - before, self.recipe.epochs - before)
        self.network.load_state_dict(self.progress.best)
        self.network.eval()
        return self.progress.curve

    def _ended(self) -> bool:
        progress, recipe = self.progress, self.recipe
        # A stage ends after its last epoch, when training fits almost perfectly, or when validation stops improving.
        fitted = bool(progress.curve) and progress.curve[-1].training.mean_r2 > recipe.stop_r2
        stale = progress.epoch - progress.best_epoch >= recipe.patience
        return progress.epoch >= recipe.epochs or stale or fitted

    def _epoch(self) -> None:
        started, progress = time.perf_counter(), self.progress
        rate = max(group["lr"] for group in self.optimizer.param_groups)
        self.network.train()
        training = self.task.train(self.network, learn=self._learn, epoch=progress.epoch)
        self.schedule.step()
        weights, validation = self._validate()
        progress.epoch += 1
        if not math.isfinite(validation.loss):
            raise RecipeError(
                f"stage {self.recipe.step}, epoch {progress.epoch}: the validation score is {validation.loss}, "
                f"training diverged at learning_rate {self.recipe.learning_rate:g}; lower it in the recipe"
            )
        if validation.loss < progress.best_score:
            progress.best_epoch, progress.best_score, progress.best = progress.epoch, validation.loss, weights
        progress.curve.append(Epoch(progress.epoch, rate, training, validation))
        seconds = time.perf_counter() - started
        message = "stage %d epoch %d: training %s, validation %s, %.0f s"
        log.info(message, self.recipe.step, progress.epoch, training, validation, seconds)

    def _learn(self, loss: Tensor) -> float:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.recipe.average_decay:
            self._average()
        return float(loss.detach())

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running mean of the weights towards them."""
        for name, parameter in self.network.named_parameters():
            # Frozen weights are constant; their mean is themselves.
            if parameter.requires_grad:
                mean = self.progress.average.setdefault(name, parameter.detach().clone())
                mean.lerp_(parameter, 1 - self.recipe.average_decay)

    def _validate(self) -> tuple[Weights, Outcome]:
        """Return the weights that represent this epoch, and their score.

        These are the running means of the trainable weights where the recipe averages them. Training continues from the
        last weights, not from the means.
        """
        # Copied, because the state dict holds references that the next step would change.
        last = copy.deepcopy(self.network.state_dict())
        weights = {**last, **{name: mean.clone() for name, mean in self.progress.average.items()}}
        self.network.load_state_dict(weights)
        self.network.eval()
        with torch.no_grad():
            outcome = self.task.validate(self.network)
        self.network.load_state_dict(last)
        return weights, outcome

    def _save(self) -> None:
        path, progress = self.file.path, self.progress
        partial = path.with_name(f".{path.name}.partial")
        state = {
            "key": self.file.key,
            "progress": {name: getattr(progress, name) for name in Progress.__dataclass_fields__ if name != "curve"},
            "curve": [asdict(epoch) for epoch in progress.curve],
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": _random_state(),
        }
        # Renaming within a folder is atomic: there is always one complete progress file.
        torch.save(state, partial)
        partial.replace(path)

    def _resume(self) -> None:
        device = next(self.network.parameters()).device
        # Plain tensors and values only: a progress file can run no code.
        state: dict[str, Any] = torch.load(self.file.path, map_location=device, weights_only=True)
        if state["key"] != self.file.key:
            raise RecipeError(
                f"{self.file.path} is the progress of another recipe, of other data or from other first weights; "
                f"delete it, or write to another file"
            )
        self.network.load_state_dict(state["network"])
        self.progress = Progress(**state["progress"], curve=[_epoch(row) for row in state["curve"]])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        # The random state comes last, after everything that could draw numbers.
        torch.set_rng_state(state["random"][0].cpu())
        if len(state["random"]) > 1:
            torch.cuda.set_rng_state(state["random"][1].cpu())
        log.info("stage %d: resumes after epoch %d", self.recipe.step, self.progress.epoch)


def _random_state() -> list[Tensor]:
    """Return the states of the random number generators of the CPU and, if there is one, of the GPU."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _epoch(row: dict[str, Any]) -> Epoch:
    outcomes = {name: Outcome(**row[name]) for name in ("training", "validation")}
    return Epoch(row["epoch"], row["learning_rate"], **outcomes)
