"""Ranges of the data that a network was trained on: beyond them it extrapolates.

A single range misleads where inputs depend on each other: bulk density of 1.17 Mg m-3 is common in soils with much
organic carbon and absent from those with little, and annual GPP common in corn is absent from soybean. Hence the two
joint ranges.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: ranges of its response checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.features import CROP_NAMES, FEATURE_NAMES, PUBLISHED_FEATURE_SCALERS, YEAR

TAIL = 1e-3
"""Share of the training values below, and above, each recorded range."""


class Range(NamedTuple):
    """Lowest and highest value, in the unit of the quantity."""

    low: float
    high: float

    @classmethod
    def parse(cls, pair: Any) -> Range:
        """Return the range of a pair of numbers.

        Raises
        ------
        TypeError, ValueError
            If it is no pair of numbers in ascending order.
        """
        low, high = (float(value) for value in pair)
        if not low <= high:  # also NaN
            raise ValueError(f"range {low} to {high} is not in ascending order")
        return cls(low, high)

    def excludes(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return where values are outside; NaN is not."""
        # Compared in double precision, in which single-precision values are exact.
        low, high = np.float64(self.low), np.float64(self.high)
        values = np.asarray(values)
        outside: NDArray[np.bool_] = (values < low) | (values > high)
        return outside


@dataclass(frozen=True)
class DensityLine:
    """Bulk density as a linear function of organic carbon, and the range of its residuals.

    Attributes
    ----------
    intercept, slope
        Of the line [Mg m-3, Mg m-3 per g kg-1].
    residual
        Range of bulk density minus the line [Mg m-3].
    """

    intercept: float
    slope: float
    residual: Range

    def excludes(self, density: ArrayLike, *, carbon: ArrayLike) -> NDArray[np.bool_]:
        """Return where bulk density [Mg m-3] is outside the range at that organic carbon [g kg-1]."""
        line = self.intercept + self.slope * np.asarray(carbon, np.float64)
        return self.residual.excludes(np.asarray(density, np.float64) - line)

    def at(self, carbon: float) -> Range:
        """Return the range of bulk density [Mg m-3] at an organic carbon [g kg-1].

        >>> DensityLine(1.5, -0.01, Range(-0.1, 0.2)).at(20.0)
        Range(low=1.2, high=1.5)
        """
        middle = self.intercept + self.slope * carbon
        return Range(round(middle + self.residual.low, 6), round(middle + self.residual.high, 6))


@dataclass(frozen=True)
class JointRanges:
    """Ranges of quantities that depend on each other.

    Attributes
    ----------
    annual_gpp
        Range of annual GPP [g C m-2 yr-1] by crop code; a crop that is absent was never trained on.
    bulk_density
        Bulk density given organic carbon.
    """

    annual_gpp: Mapping[int, Range]
    bulk_density: DensityLine

    def gpp_outside(self, annual_gpp_N: NDArray[np.generic], *, crop_N: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Return where annual GPP (N,) [g C m-2 yr-1] is outside the range of the crop; NaN is not."""
        inside_N = np.isnan(np.asarray(annual_gpp_N, np.float64))
        for crop, allowed in self.annual_gpp.items():
            inside_N |= (crop_N == crop) & ~allowed.excludes(annual_gpp_N)
        return ~inside_N


@dataclass(frozen=True)
class TrainingRanges:
    """Ranges of the inputs in training data.

    Attributes
    ----------
    inputs
        Range of each input, in the order and units of `model.features.FEATURES`; daily inputs by the day.
    joint
        Joint ranges; None where they are unknown, as for the published data.
    """

    inputs: tuple[Range, ...]
    joint: JointRanges | None = None

    @classmethod
    def parse(cls, raw: Any) -> TrainingRanges:
        """Return the ranges of the JSON values that `as_json` returns.

        Raises
        ------
        KeyError, TypeError, ValueError
            If an input or a joint range is missing or no range.
        """
        line = raw["bulk_density"]
        residual = Range.parse(line["residual"])
        density = DensityLine(float(line["intercept"]), float(line["slope"]), residual)
        found = raw["annual_gpp"]
        gpp = {crop: Range.parse(found[name]) for crop, name in CROP_NAMES.items() if name in found}
        return cls(tuple(Range.parse(raw["inputs"][name]) for name in FEATURE_NAMES), JointRanges(gpp, density))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, in the units of the inputs; annual GPP in g C m-2 yr-1."""
        assert self.joint is not None  # only what training found is written
        line = self.joint.bulk_density
        return {
            "quantiles": [TAIL, 1 - TAIL],
            "inputs": {name: list(range_) for name, range_ in zip(FEATURE_NAMES, self.inputs, strict=True)},
            "annual_gpp": {CROP_NAMES[crop]: list(range_) for crop, range_ in self.joint.annual_gpp.items()},
            "bulk_density": {"intercept": line.intercept, "slope": line.slope, "residual": list(line.residual)},
        }

    @property
    def years(self) -> range:
        """Calendar years of the training data.

        >>> PUBLISHED_RANGES.years
        range(2001, 2019)
        """
        first, last = (round(year) for year in self.inputs[YEAR])
        return range(first, last + 1)


# Range of z in the published training data, over which its response checks run.
_PUBLISHED_Z: tuple[tuple[float, float], ...] = (
    (-2.0, 2.0), (-3.5, 2.5), (-2.5, 5.0), (-1.5, 3.5), (-1.5, 7.0), (-2.0, 5.5), (-0.3889, 10.0),  # climate
    (-1.0004, 1.0), (-0.502, 5.0), (-1.6384, 1.6384),  # crop, GPP, year
    (-10.0, 2.0), (-0.75, 4.0), (-3.25, 1.25), (-4.5, 5.0), (-2.5, 3.0), (-0.75, 7.75), (-0.5, 5.0), (-3.25, 4.25),
    (-1.75, 3.5),
)  # fmt: skip
PUBLISHED_RANGES = TrainingRanges(
    tuple(
        Range(scaler.mean + low * scaler.std, scaler.mean + high * scaler.std)
        for scaler, (low, high) in zip(PUBLISHED_FEATURE_SCALERS, _PUBLISHED_Z, strict=True)
    )
)
"""Ranges of the published training data, for checkpoints without ranges of their own."""
