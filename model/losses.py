"""Knowledge-guided losses of KGML-ag-Carbon's five stages, one equation each.

Shape legend: B samples (site-years), T days, Y years, C counties, K 2 crops. Masks are 1 where a target counts and 0
elsewhere; means run over all elements, masked ones included, as published. In losses on response curves, what the
network predicts as one input moves over its range, all else equal: J levels of that input.

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
YIELD_LIMIT = 0.5
"""Largest yield, relative to annual GPP, that goes unpunished."""
GROWING_SEASON = slice(105, 300)
"""0-based days on which crops respire; before and after, all respiration is heterotrophic."""


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


def mass_balance(
    gpp_BT: Tensor, *, fluxes_BT3: Tensor, mask_BT: Tensor, tolerance: float = BALANCE_TOLERANCE
) -> Tensor:
    """Mean imbalance beyond the tolerance [gC m-2 d-1]; arguments as in `imbalance`."""
    allowed_BT = tolerance * fluxes_BT3[..., :2].sum(-1).abs()
    return (mask_BT * torch.relu(imbalance(gpp_BT, fluxes_BT3=fluxes_BT3).abs() - allowed_BT)).mean()


def annual_balance(gpp_BT: Tensor, *, fluxes_BT3: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over site-years of the absolute mean imbalance [gC m-2 d-1]; arguments as in `imbalance`.

    Not published. The tolerance of `mass_balance` lets a small imbalance of one sign pass on every day, and the change
    of soil carbon is the sum of a year; this term sees what adds up.
    """
    return (mask_BT * imbalance(gpp_BT, fluxes_BT3=fluxes_BT3)).mean(1).abs().mean()


def yield_bounds(yield_B: Tensor, *, gpp_B: Tensor, limit: float = YIELD_LIMIT) -> Tensor:
    """Mean yield above its share of annual GPP plus mean yield below zero [gC m-2 yr-1], both physical."""
    return torch.relu(yield_B - limit * gpp_B).mean() + torch.relu(-yield_B).mean()


def county_yield_error(predicted_CK: Tensor, *, observed_CK: Tensor, pace: float) -> Tensor:
    """Mean over corn and soybean of the self-paced mean squared error of county yields, normalised.

    Parameters
    ----------
    predicted_CK, observed_CK
        NaN where no point grows the crop, or where no yield was reported: those do not count.
    pace
        Errors at or above it do not count; infinite in validation. A crop of which none counts adds 0.
    """
    difference_CK = predicted_CK - observed_CK
    kept_CK = difference_CK.detach() ** 2 < pace  # false for NaN
    # Before the square: the gradient of a NaN's square is NaN, even times zero.
    error_CK = torch.where(kept_CK, difference_CK, torch.zeros_like(difference_CK)) ** 2
    return (error_CK.sum(0) / kept_CK.sum(0).clamp(min=1)).mean()


def seasonal_respiration_error(respiration_YT2: Tensor, *, reco_YT: Tensor, mask_YT: Tensor) -> Tensor:
    """Squared error of ecosystem respiration, winter apart, summed over years [(gC m-2 d-1)2].

    Parameters
    ----------
    respiration_YT2
        Ra and Rh, physical and positive. Outside the growing season Rh alone must explain what a tower sees.
    reco_YT, mask_YT
        Observed ecosystem respiration, positive, and the days that count.
    """
    winter_YT = squared_error(respiration_YT2[..., 1], target=reco_YT, mask=mask_YT)
    season_YT = squared_error(respiration_YT2.sum(-1), target=reco_YT, mask=mask_YT)
    first, last = GROWING_SEASON.start, GROWING_SEASON.stop
    error_Y = winter_YT[:, :first].mean(1) + winter_YT[:, last:].mean(1) + season_YT[:, GROWING_SEASON].mean(1)
    return error_Y.sum()


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
