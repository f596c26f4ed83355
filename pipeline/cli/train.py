"""`agcarbon train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="training recipe, a TOML file: data, stages and their length")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="checkpoint to write; those of the stages are written beside it")
    ],
    stage: Annotated[
        int | None, typer.Option(help="train only this stage, from the checkpoint of the stage before")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="checkpoint from which the first stage starts; random weights if absent")
    ] = None,
    towers: Annotated[Path | None, typer.Option(help="folder of the tower files named in the recipe")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, help="threads of PyTorch; another number changes the last bits of the weights")
    ] = 1,
) -> None:
    """Train a network through the stages of a recipe.

    After an interruption, the same command resumes. Stage N writes OUTPUT.stageN.safetensors and its record
    OUTPUT.stageN.json; finished stages are not trained again.
    """
    import torch

    from model.recipe.toml import read_toml
    from model.recipe.training import Recipe
    from model.training.course import Course
    from pipeline.console import progress_bars
    from pipeline.errors import UserError
    from pipeline.training.course import course_data

    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"device {device}: PyTorch finds no CUDA device; omit --device to train on the CPU")
    torch.set_num_threads(threads)
    plan = read_toml(recipe, Recipe)
    steps = plan.steps if stage is None else (plan.stage(stage).step,)
    data = course_data(plan, steps=steps, towers=towers)
    with progress_bars() as report:
        # Within the block: in a terminal the messages then appear above the bars.
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        checkpoint = Course(plan, data, output, device, start, report).run(stage)
    logging.getLogger(__name__).info("sha256 %s", checkpoint.sha256[:12])
