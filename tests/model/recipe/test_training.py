from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import model.training as training
from model.recipe.toml import RecipeError, parse, read_toml
from model.recipe.training import Recipe
from tests.helpers.recipes import RECIPE, RECIPE_TEXT, STAGE, recipe_file

RECIPES = sorted((Path(training.__file__).parent / "recipes").glob("*.toml"))


PINNED = {
    "paper": "15fb189b107236c0928c7e1b0f5762f0e21b07a1d97eea963d2b27da7cb9bf69",
    "shipped": "a7441706166c68b7a8018bb4d008de7eda2b6aa5814e7a53caa39b5ee702527c",
    "small": "8ba74a64934c87f5081112eece98afe12dd301a4cfd8521910944d5d77c4eb28",
    "towers": "6a4f2e7e9cb6bc0dc23b019511a9780e9fd60e8dc7c8bfd8bc79f5c6207b18ce",
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_committed_recipe_is_valid(path: Path) -> None:
    recipe = read_toml(path, Recipe)
    assert recipe.steps in ((1, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4, 5), (5,))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("epochs = 1", "epochs = 0"), r"stages\.1\.epochs = 0 must be greater than or equal to 1"),
        (("patience = 1", "patience = 0"), r"stages\.1\.patience = 0 must be greater than or equal to 1"),
        (("decay_epochs = 1", "decay_epochs = 0"), r"stages\.1\.decay_epochs = 0 must be greater than or equal to 1"),
        (("learning_rate = 1e-3", "learning_rate = 0"), r"stages\.1\.learning_rate = 0 must be greater than 0"),
        (("decay = 0.5", "decay = 1.5"), r"stages\.1\.decay = 1\.5 must be less than or equal to 1"),
        (("step = 2", "step = 6"), r"stages\.2\.step = 6 must be less than or equal to 5"),
        (("step = 2", "step = 1"), "each once and in order"),
        (("patience = 1", "patience = 1\ndropout = 1.0"), r"stages\.1\.dropout = 1\.0 must be less than 1"),
        (("patience = 1", "patience = 1\naverage_decay = 1"), r"stages\.1\.average_decay = 1 must be less than 1"),
        (
            ("patience = 1", "patience = 1\nbalance_weight = -1"),
            r"stages\.1\.balance_weight = -1 must be greater than or equal to 0",
        ),
        (("level_stride = 8", "level_stride = 0"), r"checks\.level_stride = 0 must be greater than or equal to 1"),
        (("batch_sites = 2", "batch_sites = 0"), "batch_sites = 0 must be greater than or equal to 1"),
        (("held_out_years = 1", "held_out_years = 2"), "data: held_out_years 2 of 2003-2005 leave fewer than 2 years"),
        (("step = 2", "step = 3"), r"stage 3 learns from counties; add a section \[counties\]"),
        (("step = 2", "step = 5"), r"stage 5 needs sections \[\[towers\]\]"),
    ],
)
def test_an_impossible_recipe_is_refused_with_file_and_reason(
    tmp_path: Path, change: tuple[str, str], fault: str
) -> None:
    path = recipe_file(tmp_path, RECIPE_TEXT.replace(*change))
    with pytest.raises(RecipeError, match=f"recipe.toml: .*{fault}"):
        read_toml(path, Recipe)


def test_the_pace_grows_until_its_last_epoch() -> None:
    stage = replace(STAGE, pace=0.5, pace_growth=2.0, pace_epochs=3)
    assert [stage.pace_of(epoch) for epoch in (0, 1, 3, 9)] == [0.5, 1.0, 4.0, 4.0]


def test_the_digest_until_a_stage_ignores_what_follows() -> None:
    other = replace(RECIPE, stages=(*RECIPE.stages[:2], replace(RECIPE.stages[2], epochs=9)))
    assert other.until(2).digest == RECIPE.until(2).digest
    assert other.until(4).digest != RECIPE.until(4).digest


def test_members_of_an_ensemble_share_data_and_differ_in_weights(tmp_path: Path) -> None:
    text = RECIPE_TEXT.replace("seed = 5", "seed = 6\ndata_seed = 5", 1)
    first, second = read_toml(recipe_file(tmp_path), Recipe), read_toml(recipe_file(tmp_path, text), Recipe)
    assert first.seed_of_data == second.seed_of_data == 5
    assert first.digest != second.digest
    assert replace(second, seed=5, data_seed=None).digest == first.digest


def test_digests_of_committed_recipes_stay_as_they_are() -> None:
    # An interrupted training resumes only under the digest with which it began.
    assert {path.stem: read_toml(path, Recipe).digest for path in RECIPES} == PINNED
    paper = read_toml(next(path for path in RECIPES if path.stem == "paper"), Recipe)
    assert [paper.until(step).digest[:12] for step in paper.steps] == [
        "c14ca7264b68",
        "e41297ff6b3a",
        "7d2e2d321ae7",
        "d3a01646dc69",
        "15fb189b1072",
    ]


def test_an_integer_in_a_recipe_stays_an_integer_and_keeps_its_digest(tmp_path: Path) -> None:
    text = RECIPE_TEXT.replace("patience = 1", "patience = 1\npace = 2")
    stage = read_toml(recipe_file(tmp_path, text), Recipe).stages[0]
    assert repr(stage.pace) == "2"
    assert repr(replace(stage, pace=2.0).pace) == "2.0"


def test_the_recipe_in_a_checkpoints_record_is_the_one_that_was_written() -> None:
    for path in RECIPES:
        recipe = read_toml(path, Recipe)
        assert parse(json.loads(json.dumps(asdict(recipe))), Recipe) == recipe
