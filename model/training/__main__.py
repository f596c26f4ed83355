"""Train a checkpoint on synthetic sites: `python -m model.training RECIPE.toml -o FILE`."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import Checkpoint
from model.training.data import DAYS, synthetic_data
from model.training.recipe import Recipe, RecipeError, read_recipe
from model.training.scores import held_out_scores
from model.training.sequence import predict
from model.training.trainer import Trainer

ORIGIN = (
    "synthetic: pre-trained on simulations of this project's own process model (model/synthetic); "
    "not the authors' weights, and never fitted to an observation"
)


def main(arguments: list[str] | None = None) -> int:
    """Train, score and save; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.training", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="checkpoint; FILE.progress resumes a run")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    try:
        train(read_recipe(options.recipe), output=options.output).save(options.output)
    except RecipeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def train(recipe: Recipe, *, output: Path) -> Checkpoint:
    """Return the trained checkpoint of a recipe; its progress lies beside the output until it is saved."""
    revision, data = _git_revision(), synthetic_data(recipe.data, seed=recipe.seed)
    trainer = Trainer(recipe, data=data, progress_file=output.with_name(output.name + ".progress"))
    trainer.run()
    weights = trainer.network.state_dict()
    scalers = data.scalers.as_json()
    return Checkpoint.from_published(weights, scalers, record={**_record(trainer), "git_revision": revision})


def _record(trainer: Trainer) -> dict[str, Any]:
    data, history = trainer.data, trainer.progress.history
    prediction = predict(trainer.network, data.validation.x_NYTF)
    unseen = data.unseen_N[:, None]
    return {
        "origin": ORIGIN,
        "recipe": trainer.recipe.as_json(),
        "calendar": f"{DAYS} days a year; 31 December of leap years is dropped",
        "epochs": {
            str(stage.step): sum(row["step"] == stage.step for row in history) for stage in trainer.recipe.stages
        },
        "scores": {
            name: held_out_scores(
                prediction, target=data.validation, mask_NY=data.validation_mask_NY & chosen, scalers=data.scalers
            )
            for name, chosen in {"held_out_sites": unseen, "held_out_years": ~unseen}.items()
        },
        "torch": torch.__version__,
    }


def _git_revision() -> str:
    """Return the revision of the source tree, or "unknown" outside a checkout."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
