"""Faults of a TOML file: all are named, with place, value and limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.recipe.toml import RecipeError, read_toml
from model.recipe.training import Recipe
from tests.helpers.recipes import RECIPE_TEXT, recipe_file


def test_a_recipe_with_an_unknown_key_is_refused_by_its_name(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, RECIPE_TEXT.replace("held_out_years", "held_out_year"))
    with pytest.raises(RecipeError, match="unknown key 'held_out_year'"):
        read_toml(path, Recipe)


def test_all_faults_of_a_recipe_are_named_at_once(tmp_path: Path) -> None:
    text = RECIPE_TEXT.replace("step = 2", "step = 6").replace("sites = 2\nheld", "held").replace("seed = 5", "sed = 5")
    with pytest.raises(RecipeError) as refused:
        read_toml(recipe_file(tmp_path, text), Recipe)
    said = str(refused.value)
    assert "unknown key 'sed'; known are batch_sites, checks, " in said
    assert "seed is missing" in said
    assert "data.sites is missing" in said
    assert "stages.2.step = 6 must be less than or equal to 5" in said


@pytest.mark.parametrize(("value", "fault"), [("true", "True is not a number"), ("'1'", "'1' is not a number")])
def test_values_of_another_type_are_refused_and_never_converted(tmp_path: Path, value: str, fault: str) -> None:
    text = RECIPE_TEXT.replace("patience = 1", f"patience = 1\npace = {value}").replace("seed = 5", "seed = 5.0")
    with pytest.raises(RecipeError, match=f"seed = 5.0 must be a valid integer; stages.1.pace: {fault}"):
        read_toml(recipe_file(tmp_path, text), Recipe)
