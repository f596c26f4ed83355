"""A recipe of training that runs in seconds, as a value and as a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model.recipe.training import CheckRecipe, DataRecipe, Recipe, StageRecipe

STAGE = StageRecipe(step=1, epochs=2, patience=2, learning_rate=1e-3, decay=0.5, decay_epochs=1)


RECIPE = Recipe(
    seed=5,
    batch_sites=2,
    data=DataRecipe(sites=2, held_out_sites=1, first_year=2003, last_year=2005, held_out_years=1),
    stages=(STAGE, replace(STAGE, step=2), replace(STAGE, step=4, average_decay=0.9)),
    checks=CheckRecipe(sites=1, level_stride=8, years=1),
)


_HEAD = """
seed = 5
batch_sites = 2

[data]
sites = 2
held_out_sites = 1
first_year = 2003
last_year = 2005
held_out_years = 1

[checks]
sites = 1
level_stride = 8
years = 1
"""
COUNTIES_TEXT = """
[counties]
counties = 6
points = 2
first_year = 2003
last_year = 2004
"""
_STAGE = """
[[stages]]
step = {step}
epochs = 1
patience = 1
learning_rate = 1e-3
decay = 0.5
decay_epochs = 1
"""


def recipe_text(*steps: int, counties: bool = False) -> str:
    """Return the text of a recipe with one epoch of each of these stages."""
    return _HEAD + counties * COUNTIES_TEXT + "".join(_STAGE.format(step=step) for step in steps)


RECIPE_TEXT = recipe_text(1, 2)


def recipe_file(folder: Path, text: str = RECIPE_TEXT) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path
