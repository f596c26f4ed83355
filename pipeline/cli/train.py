"""`agcarbon train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    pass


def train(
    recipe: Annotated[Path, typer.Argument(help="what to train, on what and how long: a TOML file")],
    output: Annotated[Path, typer.Option("-o", "--output", help="checkpoint to write; each stage's lies beside it")],
    stage: Annotated[
        int | None, typer.Option(help="train only this stage, from the checkpoint of the one before")
    ] = None,
    start: Annotated[Path | None, typer.Option(help="checkpoint that the first stage starts from")] = None,
    towers: Annotated[Path | None, typer.Option(help="folder of the tower data that the recipe names")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="threads of PyTorch; another number changes the last bits")] = 1,
) -> None:
    """Train a network through the stages of a recipe; killed at any moment, the same command goes on.

    Stage N leaves OUTPUT.stageN.safetensors and its record OUTPUT.stageN.json; finished stages are not trained again.
    """
    import torch

    from model.recipe.training import read_recipe
    from model.training.course import Course
    from pipeline.errors import UserError
    from pipeline.training.course import course_data

    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device {device}: PyTorch finds no CUDA device; leave --device out to train on the CPU")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    plan = read_recipe(recipe)
    steps = plan.steps if stage is None else (plan.stage(stage).step,)
    data = course_data(plan, steps=steps, towers=towers)
    checkpoint = Course(plan, data, output, device, start).run(stage)
    logging.getLogger(__name__).info("sha256 %s", checkpoint.sha256[:12])
