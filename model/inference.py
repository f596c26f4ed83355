"""Batched prediction of one calendar year at many cells, physical units in and out.

Each member of an ensemble predicts with a state of its own; the fluxes of the ensemble are their mean.

Shape legend: M members of an ensemble, S = 6 M layers of state, N cells, B cells of one batch, T days (365 or 366),
C climate series, F 19 features, H 64 hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, YEAR
from model.network import HIDDEN, State, YearResult

Floats = NDArray[np.float32]

STATE_LAYERS = 6  # of `State.pack`, for each member
# Cells of one forward pass on a CPU. With 128, the gates of a layer, 128 x 365 x 192 x 4 bytes, lie just above the
# 32 MiB from which glibc maps memory anew for each allocation, and page faults cost 9 % of a run.
CPU_BATCH = 112
_REPORTED_SIGNS = {"ra": -1.0, "rh": -1.0, "nee": 1.0}
# In the messages of PyTorch's errors.
_OUT_OF_MEMORY = ("can't allocate memory", "_STATUS_ALLOC_FAILED")
_DEVICE_FAILS = ("cuDNN error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "CUDA error")


@dataclass(frozen=True)
class YearInputs:
    """Inputs of the network for one calendar year, in the features' units; no value may be missing.

    Cells share climate series: cell n reads series `climate_of_N[n]`, so that a 250 m map does not repeat the climate
    of a coarser grid.
    """

    year: int
    climate_7TC: Floats
    climate_of_N: NDArray[np.intp]
    gpp_TN: Floats
    crop_N: NDArray[np.uint8]
    soil_9N: Floats

    def cells(self, chosen: NDArray[np.bool_]) -> YearInputs:
        """Return the same year at some of the cells; these inputs themselves if all are chosen."""
        if chosen.all():
            return self
        return YearInputs(
            self.year,
            self.climate_7TC,
            self.climate_of_N[chosen],
            self.gpp_TN[:, chosen],
            self.crop_N[chosen],
            self.soil_9N[:, chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[YearInputs]) -> YearInputs:
        """Return the inputs of one year at the cells of all parts, in order."""
        first_series = np.cumsum([0, *(part.climate_7TC.shape[2] for part in parts)])
        return cls(
            parts[0].year,
            np.concatenate([part.climate_7TC for part in parts], axis=2),
            np.concatenate([part.climate_of_N + first for part, first in zip(parts, first_series, strict=False)]),
            np.concatenate([part.gpp_TN for part in parts], axis=1),
            np.concatenate([part.crop_N for part in parts]),
            np.concatenate([part.soil_9N for part in parts], axis=1),
        )


@dataclass(frozen=True)
class YearFluxes:
    """Predictions of one year in reporting signs: Ra and Rh positive, NEE positive to the atmosphere [g C m-2 d-1]."""

    ra_TN: Floats
    rh_TN: Floats
    nee_TN: Floats
    yield_N: Floats  # g C m-2 yr-1
    state_SNH: Floats  # at the year's end
    # Annual Ra, Rh, NEE and yield of each member [g C m-2 yr-1]; None for a single network. Where GPP is drawn, members
    # are all networks with all draws, and annual GPP follows (M, 5, N).
    members_M4N: NDArray[np.float64] | None = None
    # Sums over the days of Ra, Rh, NEE and |Ra + Rh - GPP - NEE| before rounding [g C m-2 yr-1]; None if the daily
    # fluxes are not rounded.
    sums_4N: NDArray[np.float64] | None = None


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


class DeviceError(RuntimeError):
    """An error of a CUDA device or of a library on it, except that its memory is full."""


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


def sum_of_days(daily_TN: Floats) -> NDArray[np.float64]:
    """Return sums over the days (N,), in double precision and day by day: NumPy's own order depends on the shape."""
    total_N = np.zeros(daily_TN.shape[1:])
    for day_N in daily_TN:
        total_N += day_N
    return total_N


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
    def year(self, inputs: YearInputs, state_SNH: Floats | None = None) -> YearFluxes:
        """Predict one year from the state at the end of the year before (zeros if None).

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
        members_M4N = np.empty((len(self._networks), 4, cells))
        for batch in self._batches(cells):
            with self._naming_the_batch():
                members = self._members(inputs, batch, None if state_SNH is None else state_SNH[:, batch])
            fluxes_3TN[:, :, batch] = _mean([each.fluxes_3TB for each in members])
            yield_N[batch] = _mean([each.yield_B for each in members])
            end_SNH[:, batch] = np.concatenate([each.state_6BH for each in members])
            # Each member's annual sums give the spread of the ensemble; daily values of members are not kept.
            if len(members) > 1:
                members_M4N[:, :, batch] = np.stack([each.annual_4B for each in members])
        ra_TN, rh_TN, nee_TN = fluxes_3TN
        several = members_M4N if len(self._networks) > 1 else None
        return YearFluxes(ra_TN, rh_TN, nee_TN, yield_N, end_SNH, several)

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
