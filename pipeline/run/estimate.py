"""Measured speed of the network, and of the tile-years that a cube holds."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import zarr

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.year_step.usable import NUMBA
from pipeline.cube.ledger import Ledger
from pipeline.job import Job
from pipeline.run.year_step import batch_of, device_of, open_predictor
from pipeline.storage.cf import LEAP_DAYS

GPU_NOT_MEASURED = "GPU: not measured"  # no run of this project on one has been timed
_VECTORS = 768  # cells of a probe of the compiled year step, which has no batches: many of its vectors
_ROUNDS = 3


@dataclass(frozen=True)
class Rate:
    """Cell-years that one worker computes in a second, NaN if that is unknown, and how they were measured.

    Seconds are those of the processor; on a CUDA device, which no other process shares, those of the clock.
    """

    cell_years_per_second: float
    source: str


@dataclass(frozen=True)
class Probe:
    """The code of the network to time, its PyTorch device, and the cells of one forward pass."""

    year_step: str
    device: str
    batch_cells: int

    @classmethod
    def of(cls, job: Job) -> Probe:
        """Return the probe of the network as a run of `job` uses it."""
        return cls(job.year_step, device_of(job), batch_of(job))

    @property
    def cells(self) -> int:
        """Cells of a full batch."""
        return _VECTORS if self.year_step == NUMBA else self.batch_cells


def network_rate(job: Job) -> Rate:
    """Return the rate of the network of `job`, measured now on a full batch, without reading or writing."""
    probe, source = Probe.of(job), "measured now, network only"
    if job.execution.remote and probe.device == "cuda":
        return Rate(math.nan, GPU_NOT_MEASURED)  # this machine may have another device than the workers, or none
    if probe.device == "auto":  # of workers elsewhere
        cpu = job.with_execution(job.execution.model_copy(update={"device": "cpu"}))
        probe, source = Probe.of(cpu), f"{source}, on a CPU; {GPU_NOT_MEASURED}"
    elif probe.device == "cuda":
        source += f"; written to a cube, {GPU_NOT_MEASURED}"
    return Rate(measure(job.checkpoint, probe), source)


def measure(checkpoint: Checkpoint, probe: Probe) -> float:
    """Return the cell-years per second of the network on inputs of ones, the median of some rounds."""
    import torch

    torch.set_num_threads(1)  # as in a worker
    cells = probe.cells
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
        checkpoint, year_step=probe.year_step, device=probe.device, batch_cells=probe.batch_cells
    )
    predictor.year(inputs)  # not timed: the first call allocates buffers
    # The clock would count the work of others on the machine; a device works while this process waits.
    clock = time.perf_counter if probe.device == "cuda" else time.process_time
    return cells / statistics.median(_seconds(lambda: predictor.year(inputs), clock) for _ in range(_ROUNDS))


def _seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    function()
    return clock() - began


def recorded_rate(root: zarr.Group, *, device: str) -> Rate | None:
    """Return the mean rate of the tile-years in the ledger of a cube, from inputs to results; None if it has none."""
    if "ledger" not in root:
        return None
    ledger = Ledger(root)
    seconds = ledger.column("seconds" if device == "cuda" else "cpu_seconds")
    timed = seconds > 0
    if not timed.any():
        return None
    rate = float(ledger.column("cells")[timed].sum() / seconds[timed].sum())
    return Rate(rate, f"{int(timed.sum()):,} tile-years of this cube")
