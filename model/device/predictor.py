"""The predictor for CUDA devices: `model.inference.Predictor`, with all work on daily values done on the device.

Fluxes come back in the order in which they are stored, rounded, with their annual sums. On the CPU the same code gives
the bits of `Predictor`, which is its test.

Shape legend: as in `model.inference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.arrays import LEAP_DAYS, Floats, MemberSums, YearFluxes, YearInputs, days_of_months
from model.checkpoint import Checkpoint
from model.device.features import FeatureScale, YearTable
from model.device.overlap import Place, Queues, overlap, queues_of
from model.device.slots import SLOTS, BatchArrays, BatchShape, Slot
from model.inference import Predictor
from model.network import State

_MANTISSA = 23  # stored bits of a float32's mantissa


class DevicePredictor(Predictor):
    """A checkpoint ready to predict on a device that works while the host prepares and takes batches.

    Parameters
    ----------
    checkpoint, device, batch_cells
        See `Predictor`.
    keep_bits
        Bits of the mantissa to which daily fluxes are rounded, after their sums are taken; None to leave them.
    queues
        Queues of the device; None for its own.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        batch_cells: int,
        keep_bits: int | None = None,
        queues: Queues[Any] | None = None,
    ) -> None:
        super().__init__(checkpoint, device=device, batch_cells=batch_cells)
        self.keep_bits = keep_bits
        self._queues = queues or queues_of(self.device)
        self._scale = FeatureScale(self._mean_F, self._std_F)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """Memory of the batches, taken at the first year."""
        largest = BatchShape(LEAP_DAYS, self.batch_cells, len(self._networks))
        return tuple(Slot(largest, self.device) for _ in range(SLOTS))

    @torch.inference_mode()
    def year(self, inputs: YearInputs, state_SNH: Floats | None = None, *, summed: bool = False) -> YearFluxes:
        """Predict one year; see `Predictor.year`."""
        with self._naming_the_batch():
            results = Results.empty(*inputs.gpp_TN.shape, members=len(self._networks))
            summed = summed or len(self._networks) > 1
            stages = _YearStages(self, YearTable.of(inputs, self._scale), inputs.gpp_TN, state_SNH, results, summed)
            overlap(self._batches(inputs.gpp_TN.shape[1]), stages, self._queues)
        return results.fluxes(rounded=self.keep_bits is not None, summed=summed)

    def predict(self, x_BTF: Tensor, arrays: BatchArrays, *, resumed: bool, summed: bool) -> None:
        """Compute the outputs of a batch on the device from its features, and from its states if it is resumed."""
        starts: Sequence[State | None] = [None] * len(self._networks)
        if resumed:
            starts = [State.unpack(part) for part in arrays.before_SBH.device.chunk(len(self._networks))]
        results = [network(x_BTF, start) for network, start in zip(self._networks, starts, strict=True)]
        arrays.after_SBH.device.copy_(torch.cat([result.state.pack() for result in results]))
        members = [self._reported(result) for result in results]
        fluxes_3TB = _mean([each[0] for each in members])
        arrays.yield_B.device.copy_(_mean([each[1] for each in members]))
        arrays.sums_4B.device.copy_(sums_of_days(_with_imbalance(fluxes_3TB, arrays.gpp_TB.device)))
        if summed:
            sums = zip(arrays.members_M4B.device, arrays.months_M3KB.device, members, strict=True)
            for annual_4B, months_3KB, (member_3TB, yield_B) in sums:
                annual_4B[:3] = sums_of_days(member_3TB)
                annual_4B[3] = yield_B
                for month, days in enumerate(days_of_months(member_3TB.shape[1])):
                    months_3KB[:, month] = sums_of_days(member_3TB[:, days])
        # Last, since the sums are those of unrounded fluxes, and a single member's are the mean itself.
        arrays.fluxes_3TB.device.copy_(fluxes_3TB)
        if self.keep_bits is not None:
            round_mantissa(arrays.fluxes_3TB.device, keep_bits=self.keep_bits)


@dataclass(frozen=True)
class Results:
    """Results of a year on the host, of which batches fill the cells; see `YearFluxes`."""

    fluxes_3TN: Floats
    yield_N: Floats
    state_SNH: Floats
    sums_4N: NDArray[np.float64]
    members_M4N: NDArray[np.float64]
    months_M3KN: Floats

    @classmethod
    def empty(cls, days: int, cells: int, *, members: int) -> Results:
        """Return arrays to be filled."""
        _gpp, _before, *outputs = BatchShape(days, cells, members).arrays
        return cls(*(torch.empty(shape, dtype=dtype).numpy() for shape, dtype in outputs))

    def take(self, batch: slice, arrays: BatchArrays) -> None:
        """Copy the outputs of a batch from the memory of its slot."""
        self.fluxes_3TN[:, :, batch] = arrays.fluxes_3TB.host.numpy()
        self.yield_N[batch] = arrays.yield_B.host.numpy()
        self.state_SNH[:, batch] = arrays.after_SBH.host.numpy()
        self.sums_4N[:, batch] = arrays.sums_4B.host.numpy()
        self.members_M4N[:, :, batch] = arrays.members_M4B.host.numpy()
        self.months_M3KN[..., batch] = arrays.months_M3KB.host.numpy()

    def fluxes(self, *, rounded: bool, summed: bool) -> YearFluxes:
        """Return the year, with its sums if the daily fluxes are rounded, and with those of its members if `summed`."""
        members = MemberSums(self.members_M4N, self.months_M3KN) if summed else None
        sums = self.sums_4N if rounded else None
        ra_TN, rh_TN, nee_TN = self.fluxes_3TN
        return YearFluxes(ra_TN, rh_TN, nee_TN, self.yield_N, self.state_SNH, members, sums)


@dataclass(frozen=True)
class _YearStages:
    """The steps of the batches of one year; see `model.device.overlap.Stages`."""

    predictor: DevicePredictor
    table: YearTable
    gpp_TN: Floats
    state_SNH: Floats | None
    results: Results
    summed: bool

    def _arrays(self, place: Place) -> BatchArrays:
        cells = place.batch.stop - place.batch.start
        return self.predictor.slots[place.slot].arrays(days=len(self.gpp_TN), cells=cells)

    def fill(self, place: Place) -> None:
        arrays = self._arrays(place)
        arrays.gpp_TB.host.numpy()[:] = self.gpp_TN[:, place.batch]
        if self.state_SNH is not None:
            arrays.before_SBH.host.numpy()[:] = self.state_SNH[:, place.batch]

    def upload(self, place: Place) -> None:
        for pair in self._arrays(place).inputs:
            pair.upload()

    def compute(self, place: Place) -> None:
        arrays = self._arrays(place)
        x_BTF = self.table.features(arrays.gpp_TB.device, place.batch)
        self.predictor.predict(x_BTF, arrays, resumed=self.state_SNH is not None, summed=self.summed)

    def download(self, place: Place) -> None:
        for pair in self._arrays(place).outputs:
            pair.download()

    def collect(self, place: Place) -> None:
        self.results.take(place.batch, self._arrays(place))


def _mean(members: list[Tensor]) -> Tensor:
    """Return the mean over the members, added in their order."""
    total = members[0]
    for member in members[1:]:
        total = total + member
    # A tensor for a divisor: CUDA multiplies by the reciprocal of a number.
    return total if len(members) == 1 else total / total.new_full((), len(members))


def _with_imbalance(fluxes_3TB: Tensor, gpp_TB: Tensor) -> Tensor:
    """Return the daily fluxes and |Ra + Rh - GPP - NEE|, (4, T, B) [g C m-2 d-1]."""
    ra_TB, rh_TB, nee_TB = fluxes_3TB
    return torch.cat([fluxes_3TB, (ra_TB + rh_TB - gpp_TB - nee_TB).abs()[None]])


def sums_of_days(daily_XTB: Tensor) -> Tensor:
    """Return sums over the days (X, B) in double precision, added as in `model.inference.sum_of_days`."""
    total_XB = daily_XTB.new_zeros((len(daily_XTB), daily_XTB.shape[2]), dtype=torch.float64)
    for day_XB in daily_XTB.unbind(1):
        total_XB += day_XB
    return total_XB


def round_mantissa(values: Tensor, *, keep_bits: int) -> None:
    """Round float32 in place to so many bits of the mantissa, half to even: the bits of `numcodecs.BitRound`."""
    drop, bits = _MANTISSA - keep_bits, values.view(torch.int32)
    bits += ((bits >> drop) & 1) + ((1 << (drop - 1)) - 1)
    bits &= -1 << drop
