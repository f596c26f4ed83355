"""`agcarbon train` as a user types it: what is refused before hours of work, and what a run leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import model.training as training
from model.recipe.toml import read_toml
from model.recipe.training import Recipe
from pipeline.errors import UserError
from pipeline.training.course import course_data
from tests.helpers.recipes import recipe_text

RECIPES = Path(training.__file__).parent / "recipes"
TINY = recipe_text(1, 3, counties=True)


def train(*arguments: object, expect: int) -> str:
    command = [sys.executable, "-m", "pipeline.cli", "train", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = train(tmp_path / "none.toml", "-o", tmp_path / "out.safetensors", expect=2)
    assert "none.toml: cannot be read" in said
    assert said.count("\n") == 1


def test_stage_5_without_towers_is_refused_before_anything_is_trained() -> None:
    recipe = read_toml(RECIPES / "towers.toml", Recipe)
    with pytest.raises(UserError, match=r"stage 5 learns from fluxnet/.*; give the folder of tower data with --towers"):
        course_data(recipe, steps=(5,), towers=None)


def test_all_files_of_a_tower_that_are_absent_are_named(tmp_path: Path) -> None:
    recipe = read_toml(RECIPES / "paper.toml", Recipe)
    with pytest.raises(UserError, match=r"missing .*mesoil, .*FLX_US-Ne1.*csv.*; add these files"):
        course_data(recipe, steps=(5,), towers=tmp_path)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_recipe_of_the_towers_reads_its_files(realdata: Path) -> None:
    recipe = read_toml(RECIPES / "towers.toml", Recipe)
    towers = course_data(recipe, steps=(5,), towers=realdata)().towers
    assert [tower.tower.site for tower in towers] == ["US-Ne1", "US-Ne2", "US-Ne3"]
    for tower in towers:
        years = [*tower.training, *tower.validation, *tower.test]
        assert np.array_equal(years, tower.tower.years)
        assert tower.tower.observing(years).mask_YT.mean() > 0.9
    assert not towers[2].training
    assert not towers[2].validation


@pytest.mark.slow
def test_a_stage_is_trained_from_the_one_before_and_inspect_shows_its_scores(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    output = tmp_path / "out.safetensors"
    assert "out.stage1.safetensors" in train(tmp_path / "tiny.toml", "-o", output, "--stage", 3, expect=2)
    progress = train(tmp_path / "tiny.toml", "-o", output, expect=0)
    assert "stage 1 epoch 1: training" in progress
    assert "stage 3 epoch 1: training" in progress
    record = json.loads((tmp_path / "out.stage3.json").read_text())
    assert set(record["split"]) == set(record["data"]) == {"synthetic sites", "counties"}
    command = [sys.executable, "-m", "pipeline.cli", "checkpoint", "inspect", str(output), "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert shown["scores"]["stage3"]["ra"]["r2"] == record["scores"]["ra"]["r2"]
    assert "stage 3: already finished" in train(tmp_path / "tiny.toml", "-o", output, "--stage", 3, expect=0)
