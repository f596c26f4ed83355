"""Batched prediction of one calendar year at many cells, physical units in and out.

Shape legend: N cells, B cells of one batch, T days (365 or 366), C climate series, F 19 features, H 64 hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, YEAR
from model.network import HIDDEN, State

Floats = NDArray[np.float32]

STATE_LAYERS = 6  # of `State.pack`


@dataclass(frozen=True)
class YearInputs:
    """What the network needs of one calendar year, in the features' units; no value may be missing.

    Cells share climate series: cell n reads series `climate_of_N[n]`, so that a 250 m map does not repeat its climate.
    """

    year: int
    climate_7TC: Floats
    climate_of_N: NDArray[np.intp]
    gpp_TN: Floats
    crop_N: NDArray[np.uint8]
    soil_9N: Floats

    def cells(self, chosen: NDArray[np.bool_]) -> YearInputs:
        """Return the same year at some of the cells only."""
        return YearInputs(
            self.year,
            self.climate_7TC,
            self.climate_of_N[chosen],
            self.gpp_TN[:, chosen],
            self.crop_N[chosen],
            self.soil_9N[:, chosen],
        )


@dataclass(frozen=True)
class YearFluxes:
    """Predictions of one year in reporting signs: Ra, Rh positive, NEE positive to the atmosphere [g C m-2 d-1]."""

    ra_TN: Floats
    rh_TN: Floats
    nee_TN: Floats
    yield_N: Floats  # g C m-2 yr-1
    state_6NH: Floats  # at the year's end


def reported(fluxes_BT3: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Return normalised fluxes as Ra and Rh positive, NEE upward [g C m-2 d-1]: the one place where signs change."""
    scalers = [checkpoint.scalers.outputs[name] for name in ("ra", "rh", "nee")]
    std = fluxes_BT3.new_tensor([scaler.std for scaler in scalers])
    mean = fluxes_BT3.new_tensor([scaler.mean for scaler in scalers])
    return (fluxes_BT3 * std + mean) * fluxes_BT3.new_tensor([-1.0, -1.0, 1.0])


class Predictor:
    """A checkpoint ready to predict.

    Parameters
    ----------
    checkpoint
        The trained network.
    device
        Torch device. TF32 is off on CUDA unless the caller turns it on: the result is float32 everywhere.
    batch_cells
        Cells in one forward pass; another number changes the last bits of the result.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "cpu", batch_cells: int = 128) -> None:
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.batch_cells = batch_cells
        self._network = checkpoint.network().to(self.device)
        scalers = torch.tensor(checkpoint.scalers.features, dtype=torch.float32, device=self.device)
        self._mean_F, self._std_F = scalers.unbind(1)

    @torch.inference_mode()
    def year(self, inputs: YearInputs, state_6NH: Floats | None = None) -> YearFluxes:
        """Predict one year from the state at the end of the year before (zeros if None)."""
        days, cells = inputs.gpp_TN.shape
        fluxes_3TN = np.empty((3, days, cells), np.float32)
        yield_N = np.empty(cells, np.float32)
        end_6NH = np.empty((STATE_LAYERS, cells, HIDDEN), np.float32)
        yield_scaler = self.checkpoint.scalers.outputs["yield"]
        for batch in self._batches(cells):
            state = None if state_6NH is None else State.unpack(self._tensor(state_6NH[:, batch]))
            result = self._network(self._features(inputs, batch), state)
            fluxes_3TN[:, :, batch] = reported(result.fluxes_BT3, self.checkpoint).permute(2, 1, 0).cpu().numpy()
            yield_N[batch] = (result.yield_B * yield_scaler.std + yield_scaler.mean).cpu().numpy()
            end_6NH[:, batch] = result.state.pack().cpu().numpy()
        ra_TN, rh_TN, nee_TN = fluxes_3TN
        return YearFluxes(ra_TN, rh_TN, nee_TN, yield_N, end_6NH)

    def _batches(self, cells: int) -> Iterator[slice]:
        return (slice(start, min(start + self.batch_cells, cells)) for start in range(0, cells, self.batch_cells))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=self.device)

    def _features(self, inputs: YearInputs, batch: slice) -> Tensor:
        """Return the normalised features (B, T, F) of a batch."""
        gpp_TB = self._tensor(inputs.gpp_TN[:, batch])
        x_TBF = gpp_TB.new_empty((*gpp_TB.shape, len(FEATURES)))
        climate_7TB = self._tensor(inputs.climate_7TC[:, :, inputs.climate_of_N[batch]])
        x_TBF[..., CLIMATE] = climate_7TB.permute(1, 2, 0)
        x_TBF[..., CROP_TYPE] = self._tensor(inputs.crop_N[batch])
        x_TBF[..., GPP] = gpp_TB
        x_TBF[..., YEAR] = float(inputs.year)
        x_TBF[..., SOIL] = self._tensor(inputs.soil_9N[:, batch]).T
        return ((x_TBF - self._mean_F) / self._std_F).transpose(0, 1)
