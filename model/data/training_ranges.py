"""Ranges of the inputs of site sequences, which training records in its checkpoint.

Shape legend: N sites, Y years, M site-years.
"""

from __future__ import annotations

import numpy as np

from model.data.records import Booleans, DataSetError, Floats, SiteSequences
from model.features import CROP_NAMES, CROP_TYPE, FEATURE_NAMES, FEATURES, GPP, YEAR
from model.ranges import TAIL, DensityLine, JointRanges, Range, TrainingRanges

_DENSITY, _CARBON = FEATURE_NAMES.index("TBKDS"), FEATURE_NAMES.index("TSOC")


def training_ranges(sequences: SiteSequences, *, training_NY: Booleans | None = None) -> TrainingRanges:
    """Return the ranges of the inputs, of annual GPP by crop, and of bulk density given organic carbon.

    Each reaches from the quantile `TAIL` to 1 - `TAIL`, both rounded outwards to a value of the data: of daily inputs
    over all days, of soils over the sites, of annual GPP over the site-years of the crop. Thus a few odd soils do not
    widen the ranges of many, and with fewer than 1 / `TAIL` values the ranges are the extremes. Those of crop and
    calendar year are always the extremes.

    Parameters
    ----------
    sequences
        Site sequences.
    training_NY
        (N, Y) site-years to include; all if None.

    Raises
    ------
    DataSetError
        If no site-year is included.
    """
    if training_NY is None:
        training_NY = np.ones(sequences.yield_NY.shape, bool)
    if not training_NY.any():
        raise DataSetError(f"ranges of {sequences.origin}: none of its {training_NY.size} site-years is trained on")
    site_N = training_NY.any(axis=1)
    inputs = []
    for i, feature in enumerate(FEATURES):
        if i in (CROP_TYPE, YEAR):
            inputs.append(_quantiles(sequences.x_NYTF[:, :, 0, i][training_NY], tail=0))
        elif feature.varies == "daily":
            inputs.append(_quantiles(sequences.x_NYTF[..., i][training_NY]))
        else:
            inputs.append(_quantiles(sequences.x_NYTF[site_N, 0, 0, i]))
    soils_NF = sequences.x_NYTF[site_N, 0, 0]
    density = _density_line(soils_NF[:, _DENSITY], carbon=soils_NF[:, _CARBON])
    return TrainingRanges(tuple(inputs), JointRanges(_annual_gpp(sequences, training_NY), density))


def _annual_gpp(sequences: SiteSequences, training_NY: Booleans) -> dict[int, Range]:
    gpp_M = sequences.x_NYTF[..., GPP].sum(-1, dtype=np.float64)[training_NY]
    crop_M = sequences.crop_NY[training_NY]
    return {crop: _quantiles(gpp_M[crop_M == crop]) for crop in CROP_NAMES if (crop_M == crop).any()}


def _density_line(density: Floats, *, carbon: Floats) -> DensityLine:
    """Return the least-squares line of bulk density over organic carbon, with the range of its residuals."""
    # A line, because a few hundred soils leave bins of the rare organic ones empty; the range of residuals also takes
    # in how far the relation is from linear.
    y, x = density.astype(np.float64), carbon.astype(np.float64)
    deviation = x - x.mean()
    spread = float((deviation**2).sum())
    slope = float((deviation * y).sum()) / spread if spread else 0.0
    intercept = float(y.mean() - slope * x.mean())
    # Written as `DensityLine.excludes` has it, so that the extremes are inside to the last bit.
    return DensityLine(intercept, slope, _quantiles(y - (intercept + slope * x)))


def _quantiles(values: np.ndarray, *, tail: float = TAIL) -> Range:
    """Return the quantiles `tail` and 1 - `tail`, rounded outwards to one of the values."""
    low = int(tail * (values.size - 1))
    high = values.size - 1 - low
    ordered = np.partition(values.ravel(), [low, high])
    return Range(float(ordered[low]), float(ordered[high]))
