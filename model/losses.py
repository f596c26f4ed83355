"""Knowledge-guided losses of KGML-ag-Carbon's pre-training.

Shape legend: B samples (site-years), T days. Masks are 1 where a target counts and 0 elsewhere; means run over all
elements, masked ones included, as published.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5. Self-paced learning: Kumar, M. P.,
Packer, B. & Koller, D. (2010), Advances in Neural Information Processing Systems 23.
"""

from __future__ import annotations

import torch
from torch import Tensor

BALANCE_TOLERANCE = 0.01
"""Imbalance that goes unpunished, relative to ecosystem respiration."""


def self_paced(error_B: Tensor, *, pace: float) -> Tensor:
    """Mean error of the samples whose own error lies below the pace; the others count as 0.

    Parameters
    ----------
    error_B
        Error of each sample, at least 0.
    pace
        Limit that grows during training, so that hard samples join late; infinite in validation.
    """
    return (error_B * (error_B.detach() < pace)).mean()


def squared_error(prediction: Tensor, *, target: Tensor, mask: Tensor) -> Tensor:
    """Masked squared error, in the shape of the prediction."""
    return mask * (prediction - target) ** 2


def flux_error(fluxes_BT3: Tensor, *, target_BT3: Tensor, mask_BT: Tensor) -> Tensor:
    """Sum over Ra, Rh and NEE of the mean squared error, normalised."""
    return squared_error(fluxes_BT3, target=target_BT3, mask=mask_BT[..., None]).mean((0, 1)).sum()


def imbalance(gpp_BT: Tensor, *, fluxes_BT3: Tensor) -> Tensor:
    """GPP + Ra + Rh + NEE, (B, T) [gC m-2 d-1], 0 where mass is conserved.

    Parameters
    ----------
    gpp_BT, fluxes_BT3
        Physical, with the network's signs: GPP >= 0, Ra and Rh <= 0, NEE positive to the atmosphere.
    """
    return gpp_BT + fluxes_BT3.sum(-1)


def mass_balance(gpp_BT: Tensor, *, fluxes_BT3: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean imbalance beyond the tolerance [gC m-2 d-1]; arguments as in `imbalance`."""
    allowed_BT = BALANCE_TOLERANCE * fluxes_BT3[..., :2].sum(-1).abs()
    return (mask_BT * torch.relu(imbalance(gpp_BT, fluxes_BT3=fluxes_BT3).abs() - allowed_BT)).mean()
