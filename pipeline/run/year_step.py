"""The year step of a run: where it runs, and the predictor that uses it."""

from __future__ import annotations

import torch

from model.checkpoint import Checkpoint
from model.inference import CPU_BATCH, Predictor
from model.year_step import usable
from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.storage.retry import RetryPolicy, retried

_DEFAULT_BATCH = {"cpu": CPU_BATCH, "cuda": 8192}  # cells of one forward pass of PyTorch, by device


def device_of(job: Job) -> str:
    """Return "cpu" or "cuda", as seen from this machine: workers elsewhere are taken to be alike.

    Raises
    ------
    UserError
        If CUDA is asked for and absent, or the year step does not run on it.
    """
    asked = job.execution.device
    if job.year_step == NUMBA:
        if asked == "cuda":
            raise UserError(
                f"execution.device = 'cuda', but the year step of {job.stores.cube} is numba, which runs on CPUs; use "
                "'auto' or 'cpu', or set model.year_step = 'pytorch' and another stores.cube"
            )
        return "cpu"
    if asked != "cpu" and torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise UserError("execution.device = 'cuda', but PyTorch finds no CUDA device; use 'auto' or 'cpu'")
    return "cpu"


def batch_of(job: Job) -> int:
    """Return the cells of one forward pass of PyTorch."""
    return job.execution.batch_cells or _DEFAULT_BATCH[device_of(job)]


def sentence(job: Job) -> str | None:
    """Return a sentence about the year step of a run on CPUs, where there is something to say.

    Compiles the code where it is needed, before workers start: they find it in the cache.
    """
    if retried(lambda: job.year_step, RetryPolicy(job.execution.retries)) == NUMBA:
        return None if compiled().obstacle else compiled().news
    # PyTorch by choice or on CUDA needs no explanation.
    fallen_back = job.run_file.model.year_step == "auto" and device_of(job) == "cpu"
    return compiled().news if fallen_back and compiled().obstacle else None


def open_predictor(checkpoint: Checkpoint, *, year_step: str, device: str, batch_cells: int) -> Predictor:
    """Return a predictor with this year step; raises `UserError` if it does not work on this machine."""
    if year_step != PYTORCH:
        check_usable(year_step)
    return usable.predictor(checkpoint, year_step=year_step, device=device, batch_cells=batch_cells)


def check_usable(year_step: str) -> None:
    """Raise `UserError` if a year step does not work on this machine."""
    if year_step != PYTORCH and (obstacle := compiled().obstacle):
        raise UserError(
            f"the cube's year step is {year_step}, which does not work here: {obstacle}; compute where it does, or set "
            "model.year_step = 'pytorch' and give the new cube another location in stores.cube"
        )
