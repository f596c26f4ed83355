"""`agcarbon training-data`: the simulated data of a recipe as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def training_data(
    recipe: Annotated[Path, typer.Argument(help="training recipe, a TOML file")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write to")],
) -> None:
    """Write the simulated data of a recipe.

    Sites are in the published layout, county yields as a QuickStats export. sites.safetensors holds the sites, held-out
    ones last; another recipe reads it with `file` in its section [data]. If the recipe has counties,
    county_points.safetensors holds their points and county_yields.csv their yields, with SYNTHETIC as the state in
    every row.
    """
    from model.recipe.toml import read_toml
    from model.recipe.training import Recipe
    from pipeline.console import console
    from pipeline.training.course import write_training_data

    for path in write_training_data(read_toml(recipe, Recipe), output):
        console.print(str(path))
