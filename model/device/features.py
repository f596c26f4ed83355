"""Inputs of a year on the device: climate series, soil and crops once for all batches, normalised and gathered there.

Shape legend: B cells of a batch, N cells, T days, C climate series, F 19 features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.arrays import YearInputs
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, YEAR


@dataclass(frozen=True)
class FeatureScale:
    """Means and standard deviations of the features (F,), on the device."""

    mean_F: Tensor
    std_F: Tensor

    def normalised(self, values: Tensor, feature: int | slice) -> Tensor:
        """Return normalised values of a feature, or of several along the last axis."""
        return (values - self.mean_F[feature]) / self.std_F[feature]

    def on_device(self, array: NDArray[np.generic] | float, feature: int | slice) -> Tensor:
        """Return values of the host on the device, normalised, features last."""
        return self.normalised(torch.as_tensor(array, dtype=torch.float32).to(self.mean_F.device), feature)


@dataclass(frozen=True)
class YearTable:
    """All inputs of a year but GPP and state, normalised, on the device."""

    scale: FeatureScale
    climate_TC7: Tensor
    series_N: Tensor
    crop_N: Tensor
    soil_N9: Tensor
    year: Tensor

    @classmethod
    def of(cls, inputs: YearInputs, scale: FeatureScale) -> YearTable:
        """Copy the inputs to the device."""
        return cls(
            scale,
            scale.on_device(np.ascontiguousarray(inputs.climate_7TC.transpose(1, 2, 0)), CLIMATE),
            torch.as_tensor(inputs.climate_of_N, dtype=torch.int64).to(scale.mean_F.device),
            scale.on_device(inputs.crop_N, CROP_TYPE),
            scale.on_device(np.ascontiguousarray(inputs.soil_9N.T), SOIL),
            scale.on_device(float(inputs.year), YEAR),
        )

    def features(self, gpp_TB: Tensor, batch: slice) -> Tensor:
        """Return the normalised features (B, T, F) of a batch, days outermost in memory."""
        x_TBF = gpp_TB.new_empty((*gpp_TB.shape, len(FEATURES)))
        x_TBF[..., CLIMATE] = self.climate_TC7[:, self.series_N[batch]]
        x_TBF[..., CROP_TYPE] = self.crop_N[batch]
        x_TBF[..., GPP] = self.scale.normalised(gpp_TB, GPP)
        x_TBF[..., YEAR] = self.year
        x_TBF[..., SOIL] = self.soil_N9[batch]
        return x_TBF.transpose(0, 1)
