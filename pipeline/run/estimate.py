"""The cost of a plan: bytes, memory of a worker, and hours at a measured rate."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from model.checkpoint import Checkpoint
from model.inference import YearInputs
from pipeline.cluster.dask import worker_count
from pipeline.cube.ledger import Ledger
from pipeline.job import Job
from pipeline.run.block import Context
from pipeline.run.memory import REAL
from pipeline.run.plan import Plan
from pipeline.run.prepare import block_size
from pipeline.run.year_step import cuda_devices, open_predictor
from pipeline.storage import repository
from pipeline.storage.cf import LEAP_DAYS
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD

_PROBE_CELLS = 256  # on a CPU
GPU_NOT_MEASURED = "GPU: not measured"  # no run of this project on one has been timed


@dataclass(frozen=True)
class Rate:
    """Cell-years that one worker computes in a second, NaN if that is unknown, and how they were measured."""

    cell_years_per_second: float
    source: str


@dataclass(frozen=True)
class Estimate:
    """Cost of a plan.

    Attributes
    ----------
    bytes_read, bytes_written
        Data read from the inputs store and written to the cube, before compression.
    restart_bytes
        Part of `bytes_written` that is carried states.
    worker_bytes
        Projected peak memory of a worker.
    workers
        Workers that the run file sets; with CUDA, no more than devices.
    hours
        Time on these workers at `rate`.
    rate
        Speed of one worker.
    """

    bytes_read: int
    bytes_written: int
    restart_bytes: int
    worker_bytes: int
    workers: int
    hours: float
    rate: Rate


def measured_rate(job: Job, context: Context) -> Rate:
    """Return the mean rate of the tile-years in the ledger, or, if there are none, that of the network measured now."""
    if job.has_cube:
        root = repository.read(job.open_cube())
        if "ledger" in root:
            ledger = Ledger(root)
            seconds, cells = ledger.column("seconds").sum(), ledger.column("cells").sum()
            if seconds > 0:
                return Rate(float(cells / seconds), "mean of this cube's tile-years")
    if job.execution.remote and context.device == "cuda":
        return Rate(math.nan, GPU_NOT_MEASURED)  # this machine may have another device than the workers, or none
    source = "measured now, network only"
    if context.device == "auto":  # of workers elsewhere
        context, source = replace(context, device="cpu"), f"{source}, on a CPU; {GPU_NOT_MEASURED}"
    elif context.device == "cuda":
        source += f", with a full batch; written to a cube, {GPU_NOT_MEASURED}"
    return Rate(_probe(job.checkpoint, context), source)


def _probe(checkpoint: Checkpoint, context: Context) -> float:
    """Return the cell-years per second of the network on inputs of ones, without reading or writing."""
    torch.set_num_threads(1)  # as in a worker
    # A GPU is busy with a full batch only.
    cells = context.batch_cells if context.device == "cuda" else _PROBE_CELLS
    ones = np.ones((LEAP_DAYS, cells), np.float32)
    inputs = YearInputs(
        year=2012,
        climate_7TC=np.ones((7, LEAP_DAYS, 1), np.float32),
        climate_of_N=np.zeros(cells, np.intp),
        gpp_TN=ones,
        crop_N=np.ones(cells, np.uint8),
        soil_9N=np.ones((9, cells), np.float32),
    )
    predictor = open_predictor(
        checkpoint, year_step=context.year_step, device=context.device, batch_cells=context.batch_cells
    )
    predictor.year(inputs)  # not timed: the first call allocates buffers
    began = time.perf_counter()
    predictor.year(inputs)
    return cells / (time.perf_counter() - began)


def estimate(job: Job, plan: Plan, rate: Rate) -> Estimate:
    """Return the cost of the plan on the workers that the run file sets."""
    cells = job.grid.tile_cells**2  # full tiles: cells outside the mask are written too, and compress to little
    stored = sum(len(block.years) for block in plan.blocks)
    restarts = sum(len(block.restarts) * block_size(job, cells=block.cells).state_bytes for block in plan.blocks)
    computed = sum(len(block.computed) + 2 * block.spin_up for block in plan.blocks)
    workers = worker_count(job.execution, cuda_devices(job))
    layers = (*ANNUAL, *ENSEMBLE_STD.values()) if len(job.checkpoint) > 1 else ANNUAL
    annual = sum(np.dtype(variable.dtype).itemsize for variable in layers)
    return Estimate(
        bytes_read=computed * cells * LEAP_DAYS * REAL,  # of GPP; the other inputs are small beside it
        bytes_written=stored * cells * (LEAP_DAYS * REAL * len(DAILY) + annual) + restarts,
        restart_bytes=restarts,
        worker_bytes=block_size(job, cells=plan.most_cells).worker_bytes,
        workers=workers,
        hours=plan.cell_years / rate.cell_years_per_second / workers / 3600,
        rate=rate,
    )
