"""Losses on response curves: what the network predicts as one input is moved over its range, all else equal.

Shape legend: J levels of the input.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rise(curve_J: Tensor, *, step: float) -> Tensor:
    """Sum of the rises from level to level, per unit of the input; 0 for a curve that never rises.

    Applied to heterotrophic respiration (negative, physical) over soil carbon or GPP: its magnitude must not fall.
    """
    return torch.relu(curve_J.diff() / step).sum()


def fall(curve_J: Tensor, *, step: float) -> Tensor:
    """Sum of the falls from level to level, per unit of the input; 0 for a curve that never falls (yields)."""
    return torch.relu(-curve_J.diff() / step).sum()


def correlation(curve_J: Tensor, *, reference_J: Tensor) -> Tensor:
    """Pearson correlation of two curves; 0 where one is constant."""
    a_J, b_J = curve_J - curve_J.mean(), reference_J - reference_J.mean()
    spread = (a_J.square().sum() * b_J.square().sum()).sqrt()
    return (a_J * b_J).sum() / spread.clamp(min=torch.finfo(curve_J.dtype).tiny)


def correlation_shortfall(curve_J: Tensor, *, reference_J: Tensor, threshold: float) -> Tensor:
    """How far the correlation with the reference curve lies below the threshold; 0 if above."""
    return torch.relu(threshold - correlation(curve_J, reference_J=reference_J))


def agreement_shortfall(curve_J: Tensor, *, reference_J: Tensor, threshold: float) -> Tensor:
    """How far R2 against the reference curve lies below the threshold; 0 if above.

    Unlike the correlation, R2 also holds level and slope: used for heterotrophic respiration over soil carbon.
    """
    error = ((curve_J - reference_J) ** 2).sum()
    spread = ((reference_J - reference_J.mean()) ** 2).sum()
    return torch.relu(threshold - (1 - error / spread))
