"""Weighted means and covariances of many variables, tile by tile, with the regressions that follow from them.

Shape legend: V variables, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.analysis.cells import Floats

_RANK = 1e-9  # smallest share of the largest eigenvalue that is no rounding: climate of few cells is collinear


@dataclass(eq=False)
class Moments:
    """Sum of weights, weighted means and weighted sums of products of deviations from these means.

    Attributes
    ----------
    names
        Names of the variables.
    """

    names: Sequence[str]
    weight: float = 0.0
    count: int = 0
    mean_V: Floats = field(init=False)
    products_VV: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.mean_V = np.zeros(len(self.names))
        self.products_VV = np.zeros((len(self.names), len(self.names)))

    def add(self, values_VN: Floats, weights_N: Floats) -> None:
        """Add cells; one with a missing value in any variable counts in nothing."""
        whole_N = np.isfinite(values_VN).all(axis=0) & (weights_N > 0)
        if not whole_N.any():
            return
        values, weights = values_VN[:, whole_N], weights_N[whole_N]
        weight = float(weights.sum())
        mean_V = values @ weights / weight
        deviations = values - mean_V[:, None]
        # Of Chan et al. (1983): sums of squares of large numbers would lose the digits of small variances.
        step_V, both = mean_V - self.mean_V, self.weight + weight
        self.products_VV += (deviations * weights) @ deviations.T
        self.products_VV += np.outer(step_V, step_V) * self.weight * weight / both
        self.mean_V += step_V * weight / both
        self.weight, self.count = both, self.count + int(whole_N.sum())

    @property
    def correlations_VV(self) -> Floats:
        """Pearson correlations, NaN for a variable without variance."""
        deviation_V = np.sqrt(np.diag(self.products_VV))
        scale_VV = np.outer(deviation_V, deviation_V)
        found: Floats = np.divide(self.products_VV, scale_VV, out=np.full_like(scale_VV, np.nan), where=scale_VV > 0)
        return found

    def explained(self, target: str, by: Sequence[str]) -> float:
        """Return the share of the variance of a variable that a linear regression on others explains (R2)."""
        matrix = np.nan_to_num(self.correlations_VV)
        inputs, output = [self.names.index(name) for name in by], self.names.index(target)
        if self.products_VV[output, output] <= 0:
            return float("nan")
        with_output = matrix[inputs, output]
        inverse = np.linalg.pinv(matrix[np.ix_(inputs, inputs)], rcond=_RANK, hermitian=True)
        return float(with_output @ inverse @ with_output)
