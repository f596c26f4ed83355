"""Cells whose inputs lie outside the training data of the checkpoint, by reason: one rule for maps and sites.

Shape legend: N cells, T days, C climate series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.arrays import YearInputs
from model.features import CLIMATE, SOIL, SOIL_NAMES
from model.ranges import Range, TrainingRanges

OUTSIDE_SHARE = 0.05  # share of a cell's days with climate beyond the training ranges above which a year is flagged
NO_RANGES = (
    "the checkpoint's record holds no ranges of its training data: inputs are compared with the published ranges, and "
    "annual GPP and bulk density given organic carbon are not judged"
)
_DENSITY, _CARBON = SOIL_NAMES.index("TBKDS"), SOIL_NAMES.index("TSOC")


@dataclass(frozen=True)
class Extrapolation:
    """Whether the inputs of cells in a year are outside the training data, (N,) for each reason.

    Attributes
    ----------
    climate_N
        On more than `OUTSIDE_SHARE` of the days, some climate input is outside its range.
    soil_N
        Some soil input is outside its range.
    density_N
        Bulk density is outside the range at the soil's organic carbon.
    gpp_N
        Annual GPP is outside the range of the crop; False where GPP is missing.
    """

    climate_N: NDArray[np.bool_]
    soil_N: NDArray[np.bool_]
    density_N: NDArray[np.bool_]
    gpp_N: NDArray[np.bool_]

    @property
    def any_N(self) -> NDArray[np.bool_]:
        """Cells to flag."""
        return self.climate_N | self.soil_N | self.density_N | self.gpp_N


def extrapolation(inputs: YearInputs, ranges: TrainingRanges) -> Extrapolation:
    """Return which inputs of a year are outside the ranges; without joint ranges these are not judged."""
    # Counted for each climate series, of which many cells share one.
    out_7TC = _outside(inputs.climate_7TC, ranges.inputs[CLIMATE])
    climate_C = out_7TC.any(0).mean(0) > OUTSIDE_SHARE
    density_N = gpp_N = np.zeros(inputs.crop_N.shape, bool)
    if ranges.joint:
        density, carbon = inputs.soil_9N[_DENSITY], inputs.soil_9N[_CARBON]
        density_N = ranges.joint.bulk_density.excludes(density, carbon=carbon)
        gpp_N = ranges.joint.gpp_outside(annual_gpp(inputs), crop_N=inputs.crop_N)
    soil_9N = _outside(inputs.soil_9N, ranges.inputs[SOIL])
    return Extrapolation(climate_C[inputs.climate_of_N], np.asarray(soil_9N.any(0)), density_N, gpp_N)


def annual_gpp(inputs: YearInputs) -> NDArray[np.float64]:
    """Return annual GPP (N,) [g C m-2 yr-1]; NaN where a day is missing."""
    return np.asarray(inputs.gpp_TN.sum(0, dtype=np.float64))


def _outside(values_FX: NDArray[np.generic], ranges_F: tuple[Range, ...]) -> NDArray[np.bool_]:
    """Return where inputs (F, ...) are outside their ranges."""
    return np.stack([allowed.excludes(values) for values, allowed in zip(values_FX, ranges_F, strict=True)])
