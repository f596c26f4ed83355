"""Runs that are killed, and the paper's settings: every stage in processes of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import model.training as training
from model.checkpoint import Checkpoint
from model.recipe.toml import read_toml
from model.recipe.training import Recipe

STEPS = (1, 2, 3, 4, 5)
PAPER = Path(training.__file__).parent / "recipes" / "paper.toml"
SCRIPT = """
import logging, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from model.data.counties import CountyDraw, simulate_counties
from model.training.county_stage import CountyData
from model.training.course import Course, CourseData
from model.data.sites import simulate_sites, synthetic_data
from model.data.records import TowerSet
from model.recipe.toml import read_toml
from model.recipe.training import CheckRecipe, CountyRecipe, DataRecipe, Recipe
from model.data.splits import CountySplit
from model.training.tower_stage import TowerData

torch.set_num_threads(1)
output, step, epochs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
paper = read_toml(Path(sys.argv[4]), Recipe)
recipe = replace(
    paper,
    data=DataRecipe(2, 0, 2003, 2005, 1),
    checks=CheckRecipe(1, 9, 1),
    counties=CountyRecipe(3, 2, 1, 2, 2003, 2004),
    stages=tuple(replace(stage, epochs=epochs) for stage in paper.stages),
)

def make():
    years = np.arange(2003, 2005)
    counties = CountyData(simulate_counties(3, draw=CountyDraw(3, 2, years)), CountySplit((0,), (1,), (2,), 0))
    site = simulate_sites(9, sites=1, years=years)
    reco, nee = -site.fluxes_NYT3[0, ..., :2].sum(-1), site.fluxes_NYT3[0, ..., 2]
    tower = TowerSet("XX-Sim", site.x_NYTF[0], reco, nee, np.ones(nee.shape, bool), years, "simulated")
    towers = (TowerData(tower, training=(2003,), validation=(2004,)),)
    return CourseData(synthetic_data(recipe.data, seed=recipe.seed), counties, towers)

Course(recipe, make, output).run(step)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all stages that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole") / "run.safetensors"
    for step in STEPS:
        subprocess.run(command(output, step), check=True, timeout=300)
    return output


def command(output: Path, step: int) -> list[str]:
    return [sys.executable, "-c", SCRIPT, str(output), str(step), "2", str(PAPER)]


@pytest.mark.parametrize("step", STEPS)
def test_a_stage_killed_in_an_epoch_ends_with_the_weights_of_one_that_was_not(
    whole: Path, step: int, tmp_path: Path
) -> None:
    output = tmp_path / whole.name
    if step > 1:
        before = f"run.stage{step - 1}.safetensors"
        shutil.copy(whole.with_name(before), tmp_path / before)
    progress = tmp_path / f"run.stage{step}.progress"
    process = subprocess.Popen(command(output, step))
    while not progress.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert progress.exists()
    subprocess.run(command(output, step), check=True, timeout=300)
    name = f"run.stage{step}.safetensors"
    ours, theirs = Checkpoint.load(tmp_path / name), Checkpoint.load(whole.with_name(name))
    assert ours.sha256 == theirs.sha256
    assert ours.record["stages"][-1]["curve"] == theirs.record["stages"][-1]["curve"]


def test_the_papers_settings_train_every_stage_and_are_recorded(whole: Path) -> None:
    paper: Recipe = read_toml(PAPER, Recipe)
    assert paper.steps == STEPS
    assert [stage.epochs for stage in paper.stages] == [1000, 80, 40, 40, 120]
    stages = Checkpoint.load(whole).record["stages"]
    assert [stage["step"] for stage in stages] == list(STEPS)
    for stage, published in zip(stages, paper.stages, strict=True):
        told = stage["settings"]
        assert told == {**told, **{"epochs": 2, "learning_rate": published.learning_rate, "decay": published.decay}}
        assert len(stage["curve"]) == 2
    assert set(Checkpoint.load(whole).record["scores"]) == {*(f"stage{step}" for step in STEPS), "towers"}
    assert replace(paper, batch_sites=1).digest != paper.digest
