"""A worker of a CUDA device with the CPU in the device's place: the same code, and the bits of PyTorch on the CPU."""

from __future__ import annotations

from model.checkpoint import Checkpoint
from model.device.predictor import DevicePredictor
from model.inference import CPU_BATCH
from pipeline.cube.layout import KEEP_BITS
from pipeline.run import block


def open_predictor(checkpoint: Checkpoint, *, batch_cells: int, **_: str) -> DevicePredictor:
    """Return the predictor of a CUDA device, on the CPU."""
    return DevicePredictor(checkpoint, device="cpu", batch_cells=batch_cells or CPU_BATCH, keep_bits=KEEP_BITS)


def install() -> None:
    """Have blocks of this process compute as on a CUDA device."""
    block.open_predictor = open_predictor
    block._predictor.cache_clear()
