"""`agcarbon training-data`: the simulated data of a recipe as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def training_data(
    recipe: Annotated[Path, typer.Argument(help="a training recipe, TOML")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write to")],
) -> None:
    """Write what a recipe trains on as files: sites in the published layout, county yields in the form of NASS.

    sites.safetensors holds the sites, those held out last; another recipe reads it by `file` in its section [data]. Of
    a recipe with counties, county_points.safetensors holds their points and county_yields.csv their yields, as a
    QuickStats export whose every row says SYNTHETIC.
    """
    from model.recipe.training import read_recipe
    from pipeline.console import console
    from pipeline.training.course import write_training_data

    for path in write_training_data(read_recipe(recipe), output):
        console.print(str(path))
