from __future__ import annotations

from pathlib import Path

import pytest

import model.experiments as experiments
from model.recipe.experiments import ExperimentRecipe
from model.recipe.toml import RecipeError, read_toml

FOLDER = Path(experiments.__file__).parent / "recipes"
PINNED = {
    "small": "b853dc0542aeba69101a1a3cb4c39d5e289e0762732176d133c3a9488c9c94f2",
    "tiny": "3053e5cac48145b6c377f12ff4522f1bb2b7921deaa6afefc0ea55ad52447693",
}


def test_digests_of_committed_recipes_stay_as_they_are() -> None:
    # Tables and pre-trained networks are continued only under the digest with which they began.
    assert {path.stem: read_toml(path, ExperimentRecipe).digest for path in FOLDER.glob("*.toml")} == PINNED


def test_faulty_recipes_are_refused_by_key(tmp_path: Path) -> None:
    text = (FOLDER / "tiny.toml").read_text()
    for old, new, message in (
        ("seed = 7", "sead = 7", "unknown key 'sead'"),
        ("sample_sizes = [1, 2]", "sample_sizes = [1, 3]", "between 1 and pool_sites, 2"),
        ("rh = 0.75", "rh = 0", "world.rh = 0 must be greater than 0"),
        ("\nrepeats = 1", "", "repeats is missing"),
        ("last_year = 2003", "last_year = 2002", "2001-2002 must be at least 3 years"),
    ):
        (tmp_path / "recipe.toml").write_text(text.replace(old, new))
        with pytest.raises(RecipeError, match=message):
            read_toml(tmp_path / "recipe.toml", ExperimentRecipe)
    with pytest.raises(RecipeError, match="cannot be read"):
        read_toml(tmp_path / "absent.toml", ExperimentRecipe)
