"""`agcarbon training-data`: files that say they are synthetic, and that training takes back as they were."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from model.data.published_layout import read_published_layout
from model.recipe.toml import read_toml
from model.recipe.training import Recipe
from pipeline.cli.main import app
from pipeline.sources.quickstats import read_quickstats
from pipeline.training.course import course_data, recipe_counties
from pipeline.training.files import county_table
from tests.helpers.recipes import recipe_text

RECIPE = recipe_text(3, counties=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "recipe.toml").write_text(RECIPE)
    done = CliRunner().invoke(app, ["training-data", str(folder / "recipe.toml"), "-o", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def recipe(written: Path) -> Recipe:
    return read_toml(written / "recipe.toml", Recipe)


def test_every_row_and_file_is_marked_as_synthetic(written: Path) -> None:
    rows = pd.read_csv(written / "county_yields.csv", dtype=str)
    assert set(rows["State"]) == {"SYNTHETIC"}
    assert rows["County"].str.startswith("SYNTHETIC ").all()
    assert set(rows["State ANSI"]) == {"43"}  # no state's
    for name in ("sites", "county_points"):
        assert read_published_layout(written / f"{name}.safetensors").origin.startswith("synthetic")


def test_county_yields_are_those_that_the_recipe_trains_on(written: Path, recipe: Recipe) -> None:
    assert recipe.counties is not None
    expected = county_table(recipe_counties(recipe.counties, seed=5)).set_index(["fips", "year", "crop"])
    found = read_quickstats([written / "county_yields.csv"]).table.set_index(["fips", "year", "crop"])
    assert set(found.index) == set(expected.index)
    # Surveys give tenths of a bushel per acre.
    assert (found["yield_gc_m2"] - expected["yield_gc_m2"]).abs().max() < 0.05 / 0.3165 + 1e-3


def test_a_recipe_of_the_file_trains_on_the_same_sites(written: Path, recipe: Recipe) -> None:
    text = RECIPE.replace("[data]\n", f'[data]\nfile = "{written / "sites.safetensors"}"\n')
    (written / "of_file.toml").write_text(text)
    of_file = read_toml(written / "of_file.toml", Recipe)
    assert of_file.digest != recipe.digest
    simulated, read = (course_data(each, steps=(1,), towers=None)().sites for each in (recipe, of_file))
    assert torch.allclose(simulated.training.x_NYTF, read.training.x_NYTF, atol=1e-4)
    assert torch.allclose(simulated.training.fluxes_NYT3, read.training.fluxes_NYT3, atol=1e-3)
    assert torch.equal(simulated.training_mask_NY, read.training_mask_NY)
