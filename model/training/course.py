"""A course of training: the recipe's stages in order, each from the checkpoint of the one before.

Stage N of FILE.safetensors leaves FILE.stageN.safetensors and FILE.stageN.json; while it trains, its progress lies in
FILE.stageN.progress.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Checkpoint, Scalers
from model.network import KGMLNetwork, OutputScalers
from model.training.data import DAYS, DataSet
from model.training.pretraining import Pretraining
from model.training.recipe import Recipe, RecipeError
from model.training.records import StageRecord, git_revision, site_scores, torch_version
from model.training.recurrence import write_out
from model.training.stages import STAGES
from model.training.trainer import ProgressFile, Task, Trainer

log = logging.getLogger(__name__)

ORIGIN = (
    "synthetic: pre-trained on simulations of this project's own process model (model/synthetic); "
    "not the authors' weights, and never fitted to an observation"
)
SITES = "synthetic sites"


@dataclass(frozen=True)
class CourseData:
    """What the stages learn from.

    Attributes
    ----------
    sites
        Synthetic sites: stages 1, 2, 4 and the response checks of all.
    """

    sites: DataSet

    def digests(self, step: int) -> dict[str, str]:
        """Return the digest of each data set that decides a stage."""
        del step
        return {SITES: self.sites.digest}


@dataclass(frozen=True)
class Course:
    """A recipe at work.

    Attributes
    ----------
    recipe
        What to train.
    data
        Returns the data; called once, when a stage has work to do.
    output
        FILE.safetensors: the last stage's checkpoint; the others lie beside it.
    device
        Torch device of the network.
    """

    recipe: Recipe
    make_data: Callable[[], CourseData]
    output: Path
    device: str = "cpu"

    @cached_property
    def data(self) -> CourseData:
        """The data, made when first asked for."""
        return self.make_data()

    def file(self, step: int, suffix: str = ".safetensors") -> Path:
        """Return the path of a stage's file."""
        return self.output.with_name(f"{self.output.stem}.stage{step}{suffix}")

    def run(self, step: int | None = None) -> Checkpoint:
        """Train one stage, or all that are not done yet; return the last checkpoint and write what is said above.

        Raises
        ------
        RecipeError
            If the recipe has no such stage, the checkpoint before it is absent, or a file of another run is in the way.
        CheckpointError
            If the checkpoint before it cannot be read.
        """
        steps = self.recipe.steps if step is None else (self.recipe.stage(step).step,)
        for each in steps:
            checkpoint = self._stage(each)
        if steps[-1] == self.recipe.steps[-1]:
            checkpoint.save(self.output)
        return checkpoint

    def _stage(self, step: int) -> Checkpoint:
        start = self._start(step)
        key = self._key(step, start)
        path = self.file(step)
        if path.exists():
            return _finished(path, step=step, key=key)
        network = self._network(start)
        log.info("stage %d: %s", step, STAGES[step].name)
        file = ProgressFile(self.file(step, ".progress"), key, seed=self.recipe.seed * 10 + step)
        trainer = Trainer(network, task=self._task(step), recipe=self.recipe.stage(step), file=file)
        trainer.run()
        record = self._record(trainer, start)
        checkpoint = self._checkpoint(network, record, start)
        record.write(self.file(step, ".json"))
        checkpoint.save(path)
        file.path.unlink()
        log.info("stage %d: best epoch %d, %s", step, record.best_epoch, path)
        return checkpoint

    def _start(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of the stage before, or None for the recipe's first stage."""
        before = [other for other in self.recipe.steps if other < step]
        if not before:
            return None
        path = self.file(before[-1])
        if not path.exists():
            raise RecipeError(f"{path}: stage {step} starts from it, and it is absent; train stage {before[-1]} first")
        return Checkpoint.load(path)

    def _key(self, step: int, start: Checkpoint | None) -> str:
        parts = [self.recipe.until(step).digest, self.data.digests(step), start and start.sha256]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _network(self, start: Checkpoint | None) -> KGMLNetwork:
        torch.manual_seed(self.recipe.seed)
        network = new_network(self.data.sites.scalers) if start is None else start.network()
        # cuDNN has its own recurrence.
        return network.to(self.device) if self.device != "cpu" else write_out(network)

    def _task(self, step: int) -> Task:
        return Pretraining(self.data.sites, recipe=self.recipe, step=step, device=torch.device(self.device))

    def _record(self, trainer: Trainer, start: Checkpoint | None) -> StageRecord:
        step = trainer.recipe.step
        return StageRecord(
            step=step,
            name=STAGES[step].name,
            key=trainer.file.key,
            settings=asdict(trainer.recipe),
            data=self.data.digests(step),
            split={SITES: self.data.sites.split.as_json()},
            start_sha256=start.sha256 if start else None,
            best_epoch=trainer.progress.best_epoch,
            curve=tuple(trainer.progress.curve),
            scores=site_scores(trainer.network, data=self.data.sites),
            git_revision=git_revision(),
            torch=torch_version(),
            threads=torch.get_num_threads(),
            device=self.device,
        )

    def _checkpoint(self, network: KGMLNetwork, record: StageRecord, start: Checkpoint | None) -> Checkpoint:
        before: Mapping[str, Any] = start.record if start else {}
        content = {
            "origin": ORIGIN,
            "recipe": self.recipe.as_json(),
            "calendar": f"{DAYS} days a year; 31 December of leap years is dropped",
            "git_revision": record.git_revision,
            "stages": [*before.get("stages", []), record.as_json()],
            "scores": {**before.get("scores", {}), f"stage{record.step}": record.as_json()["scores"]},
        }
        weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        return Checkpoint.from_published(weights, self.data.sites.scalers.as_json(), record=content)


def _finished(path: Path, *, step: int, key: str) -> Checkpoint:
    """Return the checkpoint of a stage that is done, if it is the one that would be trained."""
    checkpoint = Checkpoint.load(path)
    stages = checkpoint.record.get("stages", [])
    if not stages or stages[-1].get("key") != key:
        raise RecipeError(
            f"{path} is stage {step} of another recipe, of other data or from other weights; "
            f"delete it, or write to another file"
        )
    log.info("stage %d: done, %s", step, path)
    return checkpoint


def new_network(scalers: Scalers) -> KGMLNetwork:
    """Return an untrained network with these scalers."""
    outputs = scalers.outputs
    return KGMLNetwork(OutputScalers(outputs["gpp"], outputs["ra"], outputs["yield"], outputs["residue"]))
