"""Batched prediction of one calendar year at many cells, physical units in and out.

Each member of an ensemble predicts with a state of its own; the fluxes of the ensemble are their mean.

Shape legend: M members of an ensemble, S = 6 M layers of state, N cells, B cells of one batch, T days (365 or 366),
K = 12 months, C climate series, F 19 features, H 64 hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.arrays import (
    CPU_BATCH,
    HIDDEN,
    STATE_LAYERS,
    DeviceError,
    Floats,
    MemberSums,
    YearFluxes,
    YearInputs,
    sum_of_days,
    sums_of_months,
)
from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, YEAR
from model.network import State, YearResult

_REPORTED_SIGNS = {"ra": -1.0, "rh": -1.0, "nee": 1.0}
# In the messages of PyTorch's errors.
_OUT_OF_MEMORY = ("can't allocate memory", "_STATUS_ALLOC_FAILED")
_DEVICE_FAILS = ("cuDNN error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "CUDA error")


@dataclass(frozen=True)
class MemberYear:
    """One year of one network at the B cells of a batch, as in `YearFluxes`; fluxes are Ra, Rh, NEE."""

    fluxes_3TB: Floats
    yield_B: Floats
    state_6BH: Floats

    @property
    def annual_4B(self) -> NDArray[np.float64]:
        """Annual Ra, Rh, NEE and yield."""
        # In double precision: the spread between members is a small difference of large sums.
        return np.stack([*(sum_of_days(flux_TB) for flux_TB in self.fluxes_3TB), self.yield_B.astype(np.float64)])

    @property
    def months_3KB(self) -> Floats:
        """Monthly Ra, Rh and NEE."""
        return sums_of_months(self.fluxes_3TB)


def full_precision() -> None:
    """Turn TF32 off in CUDA's matrix products and cuDNN's recurrent and convolutional layers, for this process.

    By default cuDNN multiplies float32 in TF32, with 10 bits of mantissa.
    """
    torch.backends.cudnn.allow_tf32 = False  # PyTorch refuses to read this older flag where it contradicts the others
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "ieee"


def open_device(name: str) -> torch.device:
    """Return a PyTorch device for inference or training; one of CUDA turns TF32 off in the whole process."""
    device = torch.device(name)
    if device.type == "cuda":
        full_precision()
    return device


def _mean(members: list[Floats]) -> Floats:
    """Return the mean over the members, added in their order."""
    total = members[0]
    for member in members[1:]:
        total = total + member
    return total if len(members) == 1 else total / np.float32(len(members))


class Predictor:
    """A checkpoint ready to predict by PyTorch: the reference.

    Parameters
    ----------
    checkpoint
        The trained network.
    device
        PyTorch device. One of CUDA turns TF32 off in the whole process, so that all results are float32.
    batch_cells
        Number of cells in one forward pass; another number changes the last bits of the result.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "cpu", batch_cells: int = CPU_BATCH) -> None:
        self.checkpoint = checkpoint
        self.device = open_device(device)
        self.batch_cells = batch_cells
        self._networks = [network.to(self.device) for network in checkpoint.networks()]
        scalers = torch.tensor(checkpoint.scalers.features, dtype=torch.float32, device=self.device)
        self._mean_F, self._std_F = scalers.unbind(1)
        # Made once: a tensor of numbers from the host would have CUDA wait for all work before it.
        fluxes = [(*checkpoint.scalers.outputs[name], sign) for name, sign in _REPORTED_SIGNS.items()]
        self._flux_mean_3, self._flux_std_3, self._flux_sign_3 = self._tensor(np.array(fluxes)).unbind(1)

    @property
    def state_layers(self) -> int:
        """Number of layers, S, of the carried state, those of all members together."""
        return STATE_LAYERS * len(self._networks)

    @torch.inference_mode()
    def year(self, inputs: YearInputs, state_SNH: Floats | None = None, *, summed: bool = False) -> YearFluxes:
        """Predict one year from the state at the end of the year before (zeros if None).

        An ensemble has the sums of its members; with `summed` a single network has its own, too.

        Raises
        ------
        MemoryError
            If the device cannot hold `batch_cells` cells at once.
        DeviceError
            If a CUDA device or cuDNN fails otherwise.
        """
        days, cells = inputs.gpp_TN.shape
        fluxes_3TN = np.empty((3, days, cells), np.float32)
        yield_N = np.empty(cells, np.float32)
        end_SNH = np.empty((self.state_layers, cells, HIDDEN), np.float32)
        sums = MemberSums.empty(len(self._networks), 4, cells) if summed or len(self._networks) > 1 else None
        for batch in self._batches(cells):
            with self._naming_the_batch():
                members = self._members(inputs, batch, None if state_SNH is None else state_SNH[:, batch])
            fluxes_3TN[:, :, batch] = _mean([each.fluxes_3TB for each in members])
            yield_N[batch] = _mean([each.yield_B for each in members])
            end_SNH[:, batch] = np.concatenate([each.state_6BH for each in members])
            # Each member's sums give the spread of the ensemble; daily values of members are not kept.
            if sums:
                sums.annual_MVN[..., batch] = np.stack([each.annual_4B for each in members])
                sums.months_M3KN[..., batch] = np.stack([each.months_3KB for each in members])
        ra_TN, rh_TN, nee_TN = fluxes_3TN
        return YearFluxes(ra_TN, rh_TN, nee_TN, yield_N, end_SNH, sums)

    def _members(self, inputs: YearInputs, batch: slice, state_SBH: Floats | None) -> list[MemberYear]:
        """Return the year of each member at the cells of a batch, from their states (zeros if None)."""
        count = len(self._networks)
        states: list[State | None] = [None] * count
        if state_SBH is not None:
            states = [State.unpack(part) for part in self._tensor(state_SBH).chunk(count)]
        x_BTF = self._features(inputs, batch)
        return [self._member(network(x_BTF, state)) for network, state in zip(self._networks, states, strict=True)]

    def _member(self, result: YearResult) -> MemberYear:
        """Return a member's year on the host."""
        fluxes_3TB, yield_B = self._reported(result)
        return MemberYear(fluxes_3TB.cpu().numpy(), yield_B.cpu().numpy(), result.state.pack().cpu().numpy())

    def _reported(self, result: YearResult) -> tuple[Tensor, Tensor]:
        """Return Ra, Rh and NEE (3, T, B) in reporting signs [g C m-2 d-1] and yield (B,) [g C m-2 yr-1]."""
        fluxes_BT3 = (result.fluxes_BT3 * self._flux_std_3 + self._flux_mean_3) * self._flux_sign_3
        scaler = self.checkpoint.scalers.outputs["yield"]
        # In the order in which they are stored, so that the host copies whole rows.
        return fluxes_BT3.permute(2, 1, 0).contiguous(), result.yield_B * scaler.std + scaler.mean

    @contextmanager
    def _naming_the_batch(self) -> Iterator[None]:
        """Raise `MemoryError` or `DeviceError` for errors of PyTorch, many of which have no type of their own."""
        try:
            yield
        except RuntimeError as error:
            text = str(error)
            if isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
                raise MemoryError(
                    f"batches of {self.batch_cells} cells do not fit into memory of {self.device}; lower batch_cells"
                ) from error
            if isinstance(error, torch.AcceleratorError) or any(sign in text for sign in _DEVICE_FAILS):
                raise DeviceError(f"{self.device} fails: {text.splitlines()[0]}") from error
            raise

    def _batches(self, cells: int) -> Iterator[slice]:
        return (slice(start, min(start + self.batch_cells, cells)) for start in range(0, cells, self.batch_cells))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=self.device)

    def _features(self, inputs: YearInputs, batch: slice) -> Tensor:
        """Return the normalised features (B, T, F) of a batch."""
        gpp_TB = self._tensor(inputs.gpp_TN[:, batch])
        x_TBF = gpp_TB.new_empty((*gpp_TB.shape, len(FEATURES)))
        # Climate series are repeated for the cells of one batch only.
        climate_7TB = self._tensor(inputs.climate_7TC[:, :, inputs.climate_of_N[batch]])
        x_TBF[..., CLIMATE] = climate_7TB.permute(1, 2, 0)
        x_TBF[..., CROP_TYPE] = self._tensor(inputs.crop_N[batch])
        x_TBF[..., GPP] = gpp_TB
        x_TBF[..., YEAR] = float(inputs.year)
        x_TBF[..., SOIL] = self._tensor(inputs.soil_9N[:, batch]).T
        # Time is the outer axis while filling, as in the stored arrays; the network takes cells first.
        return ((x_TBF - self._mean_F) / self._std_F).transpose(0, 1)
