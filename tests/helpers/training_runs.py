"""Stages of a small training, made as a course makes them."""

from __future__ import annotations

from pathlib import Path

import torch

from model.data.sites import DataSet
from model.network import KGMLNetwork, OutputScalers, Scaler
from model.recipe.training import Recipe
from model.training.course import Course, CourseData, new_network
from model.training.pretraining import Pretraining
from model.training.recurrence import write_out
from model.training.trainer import ProgressFile, Trainer
from tests.helpers.recipes import RECIPE


def pretraining(data: DataSet, step: int, recipe: Recipe = RECIPE) -> Pretraining:
    course = Course(recipe, lambda: CourseData(data), Path("unused.safetensors"))
    task = course._task(step, new_network(data.scalers), CourseData(data))
    assert isinstance(task, Pretraining)
    return task


def trainer(data: DataSet, recipe: Recipe, *, step: int, path: Path) -> Trainer:
    torch.manual_seed(1)
    network = write_out(new_network(data.scalers))
    file = ProgressFile(path, key=recipe.digest, seed=3)
    return Trainer(network, task=pretraining(data, step, recipe), recipe=recipe.stage(step), file=file)


def unit_network() -> KGMLNetwork:
    unit = Scaler(0.0, 1.0)
    return KGMLNetwork(OutputScalers(unit, unit, unit, unit))
