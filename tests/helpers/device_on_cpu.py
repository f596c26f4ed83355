"""A worker of a CUDA device with the CPU in the device's place: the same code, and the bits of PyTorch on the CPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.arrays import CPU_BATCH, Floats, YearFluxes, YearInputs
from model.checkpoint import Checkpoint
from model.device.predictor import DevicePredictor
from pipeline.cube import layout
from pipeline.cube.layout import KEEP_BITS
from pipeline.run import block
from pipeline.run.block import BlockDone, BlockTask, Context


class WholeBatches(DevicePredictor):
    """A predictor that fills up the last batch with copies of the last cell.

    Another number of cells in a batch changes the last bits of PyTorch's matrix products on a CPU: with whole batches
    alone, the bits of a cell do not depend on the cells beside it.
    """

    def year(self, inputs: YearInputs, state_SNH: Floats | None = None, *, summed: bool = False) -> YearFluxes:
        """Predict one year; see `Predictor.year`."""
        cells = inputs.gpp_TN.shape[1]
        chosen = np.minimum(np.arange(-(-cells // self.batch_cells) * self.batch_cells), cells - 1)
        whole = replace(
            inputs,
            climate_of_N=inputs.climate_of_N[chosen],
            gpp_TN=inputs.gpp_TN[:, chosen],
            crop_N=inputs.crop_N[chosen],
            soil_9N=inputs.soil_9N[:, chosen],
        )
        found = super().year(whole, None if state_SNH is None else state_SNH[:, chosen], summed=summed)
        members = found.members.cells(slice(cells)) if found.members else None
        known = {each.name: getattr(found, each.name) for each in fields(YearFluxes) if each.name != "members"}
        known["state_SNH"] = known["state_SNH"].swapaxes(1, 2)
        cut = {name: None if array is None else array[..., :cells] for name, array in known.items()}
        return YearFluxes(**{**cut, "state_SNH": cut["state_SNH"].swapaxes(1, 2)}, members=members)


def open_predictor(checkpoint: Checkpoint, *, batch_cells: int, **_: str) -> DevicePredictor:
    """Return the predictor of a CUDA device, on the CPU."""
    return DevicePredictor(checkpoint, device="cpu", batch_cells=batch_cells or CPU_BATCH, keep_bits=KEEP_BITS)


def open_whole(checkpoint: Checkpoint, *, batch_cells: int, **_: str) -> DevicePredictor:
    """Return the same with whole batches."""
    return WholeBatches(checkpoint, device="cpu", batch_cells=batch_cells, keep_bits=KEEP_BITS)


def install() -> None:
    """Have blocks of this process compute as on a CUDA device."""
    block.open_predictor = open_predictor
    block._predictor.cache_clear()


def run_blocks_of_a_killed_worker(
    killed: Path, kills: int, context: Context, tasks: Sequence[BlockTask]
) -> tuple[BlockDone, ...]:
    """Compute a group with whole batches in a worker that is killed at its third write, in so many attempts.

    `killed` is a folder, of which each file stands for an attempt.
    """
    block.open_predictor = open_whole
    real, writes = layout.write_tile_year, []

    def write(*given: Any) -> None:
        writes.append(given)
        if len(writes) == 3 and len(tasks) > 1 and len(list(killed.iterdir())) < kills:
            (killed / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        real(*given)

    layout.write_tile_year = write
    try:
        return block.run_blocks(context, tasks)
    finally:
        layout.write_tile_year = real
