"""A course of training: the recipe's stages in order, each from the checkpoint of the one before.

Files of stage N of FILE.safetensors, in the order in which they are written:

- FILE.stageN.progress after each epoch: everything needed to resume, deleted when the stage is finished;
- FILE.stageN.json, the record: settings, data, learning curve, scores;
- FILE.stageN.safetensors, the checkpoint with the same record; its presence means that the stage is finished;
- FILE.safetensors after the last stage.

Each is written under another name and renamed, so that a process killed at any moment leaves the old file or the new
one. A key over recipe, data and first weights is stored with each stage: files of another run are refused, not used.

Shape legend: N sites, Y years, T 365 days, F features.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import RANGES, Checkpoint, Scalers
from model.data.records import DAYS
from model.data.sites import DataSet, Sequences
from model.evaluation.responses import COARSE, GRIDS, ResponseChecks
from model.features import Scaler
from model.inference import open_device
from model.network import KGMLNetwork
from model.recipe.toml import RecipeError
from model.recipe.training import Recipe
from model.training.county_stage import CountyData, CountyStage
from model.training.pretraining import Pretraining
from model.training.recurrence import write_out
from model.training.stage_record import StageRecord, git_revision, site_scores
from model.training.stages import STAGES
from model.training.tower_stage import TowerData, TowerStage
from model.training.trainer import ProgressFile, Report, Task, Trainer

log = logging.getLogger(__name__)

NEVER_FITTED = ", and never fitted to an observation"
ORIGIN = (
    "synthetic: pre-trained on simulations of this project's own process model (model/synthetic); "
    f"not the authors' weights{NEVER_FITTED}"
)
SITES, COUNTIES = "synthetic sites", "counties"


@dataclass(frozen=True)
class CourseData:
    """Training data of all stages.

    Attributes
    ----------
    sites
        Synthetic sites of stages 1, 2 and 4, and of the response checks and the scores of all stages.
    counties
        Counties of stage 3.
    towers
        Towers of stage 5.
    """

    sites: DataSet
    counties: CountyData | None = None
    towers: tuple[TowerData, ...] = ()

    def digests(self, step: int) -> dict[str, str]:
        """Return the digest of each data set that a stage is trained on or scored with, by its name."""
        # The synthetic sites belong to every stage: response checks and scores are computed on them.
        others = {COUNTIES: self.counties.counties.digest} if step == 3 and self.counties else {}
        if step == 5:
            others = {data.tower.site: data.tower.digest for data in self.towers}
        return {SITES: self.sites.digest, **others}

    def splits(self, step: int) -> dict[str, Any]:
        """Return the held-out part of each data set, under the names of the digests."""
        others = {COUNTIES: self.counties.split.as_json()} if step == 3 and self.counties else {}
        if step == 5:
            others = {data.tower.site: data.as_json() for data in self.towers}
        return {SITES: self.sites.split.as_json(), **others}

    def restated(self, scalers: Scalers) -> CourseData:
        """Return the data with the sites normalised by the scalers of the checkpoint that a stage starts from."""
        return self if scalers == self.sites.scalers else replace(self, sites=restated(self.sites, scalers))


@dataclass(frozen=True)
class Course:
    """The training of one recipe.

    Attributes
    ----------
    recipe
        The recipe.
    make_data
        Function that returns the data; called at most once.
    output
        FILE.safetensors, the checkpoint of the last stage; those of the other stages are written beside it.
    device
        PyTorch device of the network.
    start
        Checkpoint from which the recipe's first stage starts; None for random weights.
    report
        Called at the begin of a stage and after its epochs, see `Trainer`.
    """

    recipe: Recipe
    make_data: Callable[[], CourseData]
    output: Path
    device: str = "cpu"
    start: Path | None = None
    report: Report = lambda *_: None

    @cached_property
    def data(self) -> CourseData:
        """The data, made at first use."""
        return self.make_data()

    def file(self, step: int, suffix: str = ".safetensors") -> Path:
        """Return the path of a stage's file."""
        return self.output.with_name(f"{self.output.stem}.stage{step}{suffix}")

    def run(self, step: int | None = None) -> Checkpoint:
        """Train one stage, or all that are not finished; return the last checkpoint and write the files named above.

        Raises
        ------
        RecipeError
            If the recipe has no such stage, the checkpoint of the stage before is absent, or files are of another run.
        CheckpointError
            If the checkpoint of the stage before cannot be read.
        """
        steps = self.recipe.steps if step is None else (self.recipe.stage(step).step,)
        for each in steps:
            checkpoint = self._stage(each)
        if steps[-1] == self.recipe.steps[-1]:
            checkpoint.save(self.output)
        return checkpoint

    def _stage(self, step: int) -> Checkpoint:
        # The order matters for reproducibility: the network draws its weights before the trainer sets the stage's seed.
        start = self._start(step)
        key = self._key(step, start)
        path = self.file(step)
        if path.exists():
            done = _finished(path, step=step, key=key)
            self.file(step, ".progress").unlink(missing_ok=True)  # left by a run that was killed after it had saved
            return done
        # Later stages start from a checkpoint whose scalers may differ from those of the data at hand.
        network, data = self._network(start), self.data.restated(start.scalers) if start else self.data
        log.info("stage %d: %s", step, STAGES[step].name)
        file = ProgressFile(self.file(step, ".progress"), key, seed=self.recipe.seed * 10 + step)
        task = self._task(step, network, data)
        trainer = Trainer(network, task=task, recipe=self.recipe.stage(step), file=file, report=self.report)
        trainer.run()
        record = self._record(trainer, data, start)
        checkpoint = self._checkpoint(network, record, start)
        # The checkpoint is written last: it marks the stage as finished.
        record.write(self.file(step, ".json"))
        checkpoint.save(path)
        file.path.unlink()
        log.info("stage %d: best epoch %d, %s", step, record.best_epoch, path)
        return checkpoint

    def _start(self, step: int) -> Checkpoint | None:
        """Return the checkpoint of the stage before, or None for random weights."""
        before = [other for other in self.recipe.steps if other < step]
        if not before:
            return Checkpoint.load(self.start) if self.start else None
        path = self.file(before[-1])
        if not path.exists():
            raise RecipeError(f"{path} is absent, and stage {step} starts from it; train stage {before[-1]} first")
        return Checkpoint.load(path)

    def _key(self, step: int, start: Checkpoint | None) -> str:
        # Only earlier and this stage's settings: a longer recipe does not invalidate stages that are finished.
        parts = [self.recipe.until(step).digest, self.data.digests(step), start.sha256 if start else None]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _network(self, start: Checkpoint | None) -> KGMLNetwork:
        torch.manual_seed(self.recipe.seed)
        network = new_network(self.data.sites.scalers) if start is None else start.network()
        # On CUDA, cuDNN brings a recurrence of its own.
        return network.to(open_device(self.device)) if self.device != "cpu" else write_out(network)

    def _task(self, step: int, network: KGMLNetwork, data: CourseData) -> Task:
        """Return the data and losses of a stage, before it changes the network."""
        stage, checks = self.recipe.stage(step), self._checks(step, data.sites)
        if step == 3 and data.counties and self.recipe.counties:
            scalers = data.sites.scalers
            return CountyStage(data.counties, scalers=scalers, checks=checks, recipe=self.recipe.counties, stage=stage)
        if step == 3 or (step == 5 and not data.towers):
            raise RecipeError(f"stage {step} has no {'counties' if step == 3 else 'towers'} to learn from")
        sites = Pretraining(data.sites, checks=checks, stage=stage, batch_sites=self.recipe.batch_sites)
        return TowerStage(data.towers, network=network, checks=checks, replay=sites) if step == 5 else sites

    def _checks(self, step: int, sites: DataSet) -> ResponseChecks:
        checks, stage = self.recipe.checks, STAGES[step]
        # Checks run on training sites; they need inputs alone, no targets.
        x_NYTF = sites.training.x_NYTF[: checks.sites, : checks.years].to(self.device)
        if step != 5:
            inputs = (*stage.rising_respiration, *stage.rising_yield)
            return ResponseChecks.of(x_NYTF, inputs, stride=checks.level_stride)
        # Rh must not fall between any two published levels; other responses are kept at coarser ones, as published.
        coarse, rising = max(COARSE, checks.level_stride), STAGES[4].rising_respiration
        return ResponseChecks(x_NYTF, tuple(g if g.feature in rising else g.every(coarse) for g in GRIDS))

    def _record(self, trainer: Trainer, data: CourseData, start: Checkpoint | None) -> StageRecord:
        step = trainer.recipe.step
        return StageRecord(
            step=step,
            name=STAGES[step].name,
            key=trainer.file.key,
            settings=asdict(trainer.recipe),
            data=data.digests(step),
            split=data.splits(step),
            start_sha256=start.sha256 if start else None,
            best_epoch=trainer.progress.best_epoch,
            curve=tuple(trainer.progress.curve),
            scores=site_scores(trainer.network, data=data.sites),
            towers=trainer.task.scores(trainer.network) if isinstance(trainer.task, TowerStage) else {},
            git_revision=git_revision(),
            torch=str(torch.__version__),
            threads=torch.get_num_threads(),
            device=self.device,
        )

    def _checkpoint(self, network: KGMLNetwork, record: StageRecord, start: Checkpoint | None) -> Checkpoint:
        before: Mapping[str, Any] = start.record if start else {}
        scores = {**before.get("scores", {}), f"stage{record.step}": record.as_json()["scores"]}
        if record.towers:
            scores["towers"] = record.as_json()["towers"]
        content = {
            "origin": _origin(start, record),
            "recipe": asdict(self.recipe),
            "calendar": f"{DAYS} days a year; 31 December of leap years is dropped",
            "git_revision": record.git_revision,
            "stages": [*before.get("stages", []), record.as_json()],
            "scores": scores,
            **_ranges(record.step, self.data.sites, start),
        }
        # Scalers belong to the weights: a stage that starts from a checkpoint keeps that checkpoint's scalers.
        weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        scalers = start.scalers if start else self.data.sites.scalers
        return Checkpoint.from_published(weights, scalers.as_json(), record=content)


def _finished(path: Path, *, step: int, key: str) -> Checkpoint:
    """Return the checkpoint of a finished stage, if it is the one that would be trained."""
    checkpoint = Checkpoint.load(path)
    stages = checkpoint.record.get("stages", [])
    if not stages or stages[-1].get("key") != key:
        raise RecipeError(
            f"{path} is stage {step} of another recipe, of other data or from other first weights; "
            f"delete it, or write to another file"
        )
    log.info("stage %d: already finished, %s", step, path)
    return checkpoint


def _origin(start: Checkpoint | None, record: StageRecord) -> str:
    """Return the origin of the weights, in words."""
    if record.step == 5:
        before = str(start.record.get("origin", "unknown")).removesuffix(NEVER_FITTED) if start else "random weights"
        learned = [name for name, split in record.split.items() if name in record.towers and split["training"]]
        return f"fine-tuned on the towers {', '.join(learned)}; before: {before}"
    return ORIGIN if start is None else str(start.record.get("origin", ORIGIN))


def _ranges(step: int, sites: DataSet, start: Checkpoint | None) -> dict[str, Any]:
    """Return the record's entry of training ranges."""
    # Counties teach yield alone, and towers a few soils: neither widens the ranges over which fluxes were learned.
    if step in (3, 5):
        return {RANGES: start.record[RANGES]} if start and start.has_ranges else {}
    return {RANGES: sites.ranges.as_json()}


def restated(data: DataSet, scalers: Scalers) -> DataSet:
    """Return a data set normalised by other scalers."""

    def other(sequences: Sequences) -> Sequences:
        pairs = zip(data.scalers.features, scalers.features, strict=True)
        x_NYTF = torch.stack([_restated(sequences.x_NYTF[..., i], *pair) for i, pair in enumerate(pairs)], -1)
        names = ("ra", "rh", "nee")
        outputs = {name: (data.scalers.outputs[name], scalers.outputs[name]) for name in (*names, "yield")}
        fluxes = [_restated(sequences.fluxes_NYT3[..., i], *outputs[name]) for i, name in enumerate(names)]
        return Sequences(x_NYTF, torch.stack(fluxes, -1), _restated(sequences.yield_NY, *outputs["yield"]))

    return data._replace(training=other(data.training), validation=other(data.validation), scalers=scalers)


def _restated(values: Tensor, own: Scaler, other: Scaler) -> Tensor:
    # Equal scalers leave the values untouched, bit for bit.
    return values if own == other else (values * own.std + own.mean - other.mean) / other.std


def new_network(scalers: Scalers) -> KGMLNetwork:
    """Return an untrained network with these scalers."""
    return KGMLNetwork(scalers.of_network)
