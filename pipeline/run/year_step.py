"""The year step of a run: where it runs, and the predictor that uses it."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from model.arrays import CPU_BATCH
from model.checkpoint import Checkpoint
from model.year_step import usable
from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline.cube.layout import KEEP_BITS
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run import memory
from pipeline.storage.retry import RetryPolicy, retried

# PyTorch is loaded where a device or a predictor is asked for.
if TYPE_CHECKING:
    from model.inference import Predictor

_DEFAULT_BATCH = {"cpu": CPU_BATCH, "cuda": 8192}  # cells of one forward pass of PyTorch, by device


def device_of(job: Job) -> str:
    """Return "cpu" or "cuda"; if the workers are elsewhere, the setting, which each of them resolves for itself.

    Raises
    ------
    UserError
        If CUDA is asked for and absent where the work runs, or the year step does not run on it.
    """
    asked = job.execution.device
    if job.year_step == NUMBA:
        if asked == "cuda":
            raise UserError(
                f"execution.device = 'cuda', but the year step of {job.stores.cube} is numba, which runs on CPUs; use "
                "'auto' or 'cpu', or set model.year_step = 'pytorch' and another stores.cube"
            )
        return "cpu"
    return asked if job.execution.remote else device_here(asked)


def device_here(asked: str) -> str:
    """Return the device of this process, "cpu" or "cuda", for a setting; raises `UserError` if CUDA is absent."""
    if asked == "cpu":
        return asked
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise UserError(
            f"execution.device = 'cuda', but PyTorch finds no CUDA device on {platform.node()}; use 'auto' or 'cpu'"
        )
    return "cpu"


def cuda_devices(job: Job) -> tuple[str, ...]:
    """Return the CUDA devices of this machine that a run takes, as CUDA_VISIBLE_DEVICES names them."""
    if job.execution.remote or device_of(job) != "cuda":
        return ()
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",") if named else map(str, range(count)))[:count]


def smallest_device() -> int:
    """Return the bytes of memory of the smallest CUDA device of this machine."""
    import torch

    # The total, not what is free: asking for that would take some of the device's memory for this process.
    return min(torch.cuda.get_device_properties(index).total_memory for index in range(torch.cuda.device_count()))


def batch_of(job: Job) -> int:
    """Return the cells of one forward pass of PyTorch; 0 if that is the default of a device which workers resolve."""
    return job.execution.batch_cells or _DEFAULT_BATCH.get(device_of(job), 0)


def device_batch_of(job: Job) -> int:
    """Return the cells of one forward pass on a CUDA device, if workers may compute on one, or else 0."""
    return 0 if device_of(job) == "cpu" else job.execution.batch_cells or _DEFAULT_BATCH["cuda"]


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
    """Return a predictor on this machine.

    Parameters
    ----------
    checkpoint, year_step
        The trained network, and the code that runs it.
    device, batch_cells
        Settings of a run: device "auto" is CUDA where it is present, and 0 cells are the default of the device.

    Raises
    ------
    UserError
        If the year step does not work on this machine, or CUDA is asked for and absent or too small for a batch.
    """
    if year_step != PYTORCH:
        check_usable(year_step)
        return usable.predictor(checkpoint, year_step=year_step, device="cpu", batch_cells=batch_cells)
    here = device_here(device)
    batch = batch_cells or _DEFAULT_BATCH[here]
    if here == "cuda":
        import torch

        from model.device.predictor import DevicePredictor

        free, _total = torch.cuda.mem_get_info()
        memory.check_device(batch, free, members=len(checkpoint))
        return DevicePredictor(checkpoint, device=here, batch_cells=batch, keep_bits=KEEP_BITS)
    return usable.predictor(checkpoint, year_step=year_step, device=here, batch_cells=batch)


def check_usable(year_step: str) -> None:
    """Raise `UserError` if a year step does not work on this machine."""
    if year_step != PYTORCH and (obstacle := compiled().obstacle):
        raise UserError(
            f"the cube's year step is {year_step}, which does not work here: {obstacle}; compute where it does, or set "
            "model.year_step = 'pytorch' and give the new cube another location in stores.cube"
        )
