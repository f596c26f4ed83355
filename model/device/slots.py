"""Memory of a batch on the host and on the device: page-locked on the host for CUDA, which copies from there alone.

Shape legend: M members of an ensemble, S = 6 M layers of state, B cells of a batch, T days, K = 12 months, H = 64
hidden units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from model.arrays import HIDDEN, LEAP_DAYS, MONTHS, STATE_LAYERS

# PyTorch is loaded with the arrays; their size is known without it.
if TYPE_CHECKING:
    import torch
    from torch import Tensor

SLOTS = 2  # of a predictor: one is computed while the other is sent or fetched


class Pair(NamedTuple):
    """An array on the host and on the device."""

    host: Tensor
    device: Tensor

    def upload(self) -> None:
        """Copy from the host to the device; the host does not wait for the copy."""
        self.device.copy_(self.host, non_blocking=True)

    def download(self) -> None:
        """Copy from the device to the host, which does not wait for the copy."""
        self.host.copy_(self.device, non_blocking=True)


class BatchArrays(NamedTuple):
    """Inputs and outputs of a batch; see `model.inference.YearInputs` and `YearFluxes`."""

    gpp_TB: Pair
    before_SBH: Pair
    fluxes_3TB: Pair
    yield_B: Pair
    after_SBH: Pair
    sums_4B: Pair
    members_M4B: Pair
    months_M3KB: Pair

    @property
    def inputs(self) -> tuple[Pair, ...]:
        """The arrays that are sent."""
        return self[:2]

    @property
    def outputs(self) -> tuple[Pair, ...]:
        """The arrays that are fetched."""
        return self[2:]


@dataclass(frozen=True)
class BatchShape:
    """Size of a batch."""

    days: int
    cells: int
    members: int

    @property
    def arrays(self) -> tuple[tuple[tuple[int, ...], torch.dtype], ...]:
        """Shape and type of each of `BatchArrays`."""
        import torch

        state = (STATE_LAYERS * self.members, self.cells, HIDDEN)
        return (
            ((self.days, self.cells), torch.float32),
            (state, torch.float32),
            ((3, self.days, self.cells), torch.float32),
            ((self.cells,), torch.float32),
            (state, torch.float32),
            ((4, self.cells), torch.float64),
            ((self.members, 4, self.cells), torch.float64),
            ((self.members, 3, MONTHS, self.cells), torch.float32),
        )

    @property
    def bytes(self) -> int:
        """Bytes of the arrays, on the host and again on the device."""
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in self.arrays)


def slots_bytes(batch_cells: int, *, members: int) -> int:
    """Return the bytes that the slots of a predictor take on the host, and again on the device."""
    return batch_cells and SLOTS * BatchShape(LEAP_DAYS, batch_cells, members).bytes


class Slot:
    """Memory for one batch of at most so many cells, allocated once.

    Parameters
    ----------
    largest
        The largest batch.
    device
        PyTorch device.
    """

    def __init__(self, largest: BatchShape, device: torch.device) -> None:
        self._members = largest.members
        self._memory = [_memory(math.prod(shape), dtype, device) for shape, dtype in largest.arrays]

    def arrays(self, *, days: int, cells: int) -> BatchArrays:
        """Return the arrays of a batch of this size, contiguous."""
        shapes = (shape for shape, _ in BatchShape(days, cells, self._members).arrays)
        return BatchArrays(
            *(
                Pair(*(side[: math.prod(shape)].view(shape) for side in memory))
                for shape, memory in zip(shapes, self._memory, strict=True)
            )
        )


def _memory(count: int, dtype: torch.dtype, device: torch.device) -> Pair:
    import torch

    host = torch.empty(count, dtype=dtype, pin_memory=device.type == "cuda")
    return Pair(host, torch.empty(count, dtype=dtype, device=device))
