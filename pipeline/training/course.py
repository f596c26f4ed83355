"""The data of a training recipe: simulated sites and counties, and the user's towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from model.data.counties import CountyDraw, simulate_counties
from model.data.published_layout import write_published_layout
from model.data.records import CountySet
from model.data.sites import site_sequences, synthetic_data
from model.data.splits import split_counties
from model.recipe.training import CountyRecipe, Recipe, TowerRecipe
from model.training.county_stage import CountyData
from model.training.course import CourseData
from model.training.tower_stage import TowerData
from pipeline.errors import UserError
from pipeline.training.files import read_tower_set, write_county_yields


def course_data(recipe: Recipe, *, steps: Sequence[int], towers: Path | None) -> Callable[[], CourseData]:
    """Return a function that makes the data of some stages.

    Files are read at once, so that a fault shows before hours of simulation and training; simulations run on call.

    Parameters
    ----------
    recipe, steps
        Recipe, and numbers of the stages to train.
    towers
        Folder of the files named by the recipe's towers.

    Raises
    ------
    UserError
        If stage 5 is among the stages and the folder is not given, or a file cannot be used.
    DataSetError
        If the recipe's file of sequences cannot be read.
    """
    seed = recipe.seed_of_data
    observed = tuple(_tower(tower, towers) for tower in recipe.towers) if 5 in steps else ()
    of_file = synthetic_data(recipe.data, seed=seed) if recipe.data.file else None

    def make() -> CourseData:
        counties = _counties(recipe.counties, seed=seed) if recipe.counties and 3 in steps else None
        return CourseData(of_file or synthetic_data(recipe.data, seed=seed), counties, observed)

    return make


def _counties(recipe: CountyRecipe, *, seed: int) -> CountyData:
    return CountyData(recipe_counties(recipe, seed=seed), split_counties(seed, counties=recipe.counties))


def recipe_counties(recipe: CountyRecipe, *, seed: int) -> CountySet:
    """Return the simulated counties of a recipe."""
    # With another seed than the sites, whose weather and soils the counties must not repeat.
    years = np.arange(recipe.first_year, recipe.last_year + 1)
    return simulate_counties(seed + 1000, draw=CountyDraw(recipe.counties, recipe.points, years))


def _tower(recipe: TowerRecipe, folder: Path | None) -> TowerData:
    if folder is None:
        raise UserError(f"stage 5 learns from {', '.join(recipe.tower)}; give the folder of tower data with --towers")
    tower = read_tower_set(recipe, folder)
    used = {*recipe.training_years, *recipe.validation_years, *recipe.test_years}
    absent = sorted(used - set(tower.years.tolist()))
    if absent:
        raise UserError(
            f"{tower.site}: the recipe uses {absent[0]}, which is not in its years, {recipe.years}; extend them"
        )
    return TowerData(tower, recipe.training_years, recipe.validation_years, recipe.test_years, recipe.weight)


def write_training_data(recipe: Recipe, folder: Path) -> list[Path]:
    """Write the recipe's sites and, if it has counties, their points and yields; return the paths of the files.

    Raises
    ------
    DataSetError
        If the recipe's file of sequences cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sites = folder / "sites.safetensors"
    write_published_layout(sites, site_sequences(recipe.data, seed=recipe.seed_of_data))
    if recipe.counties is None:
        return [sites]
    counties = recipe_counties(recipe.counties, seed=recipe.seed_of_data)
    points, yields = folder / "county_points.safetensors", folder / "county_yields.csv"
    write_published_layout(points, counties.points)
    write_county_yields(yields, counties)
    return [sites, points, yields]
