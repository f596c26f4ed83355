"""Knowledge-guided losses of KGML-ag-Carbon's five stages, one equation each.

====  ======  ==============================================================  =========================================
loss  stages  quantity                                                        function
====  ======  ==============================================================  =========================================
L1    1       Ra and yield, self-paced                                        `self_paced` of `squared_error`
L2    2, 4    Ra, Rh and NEE, with the mass balance                           `flux_error` + `mass_balance`
L3    2, 4    Rh must not fall as soil carbon rises                           `rise`
L4    4       Rh must not fall as GPP rises                                   `rise`
L5    3       0 < yield < 0.5 GPP                                             `yield_bounds`
L6    3       yield must not fall as GPP, year or soil carbon rise            `fall`
L7    3       county yields, self-paced                                       `county_yield_error`
L8    5       Reco (Rh alone in winter) and NEE of towers, mass balance       `seasonal_respiration_error`, ...
L9    5       responses of Ra and Rh stay those of stage 4                    `correlation_shortfall`, ...
====  ======  ==============================================================  =========================================

`annual_balance` (stages 2, 4) is this project's own. The numbers L1 to L9 are those of this table, not of the paper.

Shape legend: B samples (site-years), T days, Y years, C counties, K 2 crops, J levels of the input of a response curve.
Masks are 1 where a target counts and 0 elsewhere; means run over all elements, masked ones included, as
published. A response curve is the mean prediction at each level of one input, all other inputs unchanged.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5. Self-paced learning: Kumar, M. P.,
Packer, B. & Koller, D. (2010), Advances in Neural Information Processing Systems 23.
"""

from __future__ import annotations

import torch
from torch import Tensor

BALANCE_TOLERANCE = 0.01
"""Imbalance that goes unpunished, relative to ecosystem respiration, as published."""
YIELD_LIMIT = 0.5
"""Largest yield, relative to annual GPP, that goes unpunished: 0.5 in the paper's methods and code; its introduction
names 1 as an example."""
GROWING_SEASON = slice(105, 300)
"""0-based days on which crops respire; before and after, all respiration counts as heterotrophic."""


def self_paced(error_B: Tensor, *, pace: float) -> Tensor:
    """Return the mean error of the samples whose own error lies below the pace; the others count as 0 (L1).

    Parameters
    ----------
    error_B
        Error of each sample, at least 0.
    pace
        Limit that grows during training, so that hard samples join late; infinite in validation.

    Examples
    --------
    >>> round(float(self_paced(torch.tensor([0.1, 0.2, 9.0]), pace=1.0)), 3)
    0.1
    """
    # Hard samples stay in the denominator, as published: the loss is a mean over all B.
    return (error_B * (error_B.detach() < pace)).mean()


def squared_error(prediction: Tensor, *, target: Tensor, mask: Tensor) -> Tensor:
    """Return the masked squared error, in the shape of the prediction."""
    return mask * (prediction - target) ** 2


def flux_error(fluxes_BT3: Tensor, *, target_BT3: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the sum over Ra, Rh and NEE of their normalised mean squared errors (L2)."""
    return squared_error(fluxes_BT3, target=target_BT3, mask=mask_BT[..., None]).mean((0, 1)).sum()


def imbalance(gpp_BT: Tensor, *, fluxes_BT3: Tensor) -> Tensor:
    """Return GPP + Ra + Rh + NEE, (B, T) [g C m-2 d-1], 0 where mass is conserved.

    Parameters
    ----------
    gpp_BT, fluxes_BT3
        Physical, in the network's signs: GPP >= 0, Ra and Rh <= 0, NEE positive to the atmosphere.

    Examples
    --------
    >>> float(imbalance(torch.tensor([[10.0]]), fluxes_BT3=torch.tensor([[[-4.0, -2.0, -4.0]]])))
    0.0
    """
    return gpp_BT + fluxes_BT3.sum(-1)


def mass_balance(
    gpp_BT: Tensor, *, fluxes_BT3: Tensor, mask_BT: Tensor, tolerance: float = BALANCE_TOLERANCE
) -> Tensor:
    """Return the mean imbalance beyond the tolerance [g C m-2 d-1] (L2, L8); arguments as in `imbalance`."""
    allowed_BT = tolerance * fluxes_BT3[..., :2].sum(-1).abs()
    return (mask_BT * torch.relu(imbalance(gpp_BT, fluxes_BT3=fluxes_BT3).abs() - allowed_BT)).mean()


def annual_balance(gpp_BT: Tensor, *, fluxes_BT3: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean over site-years of the absolute mean imbalance [g C m-2 d-1]; arguments as in `imbalance`.

    Not published. The tolerance of `mass_balance` lets a small imbalance of one sign pass on every day, and the change
    of soil carbon is the sum of a year: this term penalises imbalances that add up over the year.
    """
    return (mask_BT * imbalance(gpp_BT, fluxes_BT3=fluxes_BT3)).mean(1).abs().mean()


def yield_bounds(yield_B: Tensor, *, gpp_B: Tensor, limit: float = YIELD_LIMIT) -> Tensor:
    """Return the mean yield above its share of annual GPP plus the mean yield below 0, physical [g C m-2 yr-1] (L5)."""
    return torch.relu(yield_B - limit * gpp_B).mean() + torch.relu(-yield_B).mean()


def county_yield_error(predicted_CK: Tensor, *, observed_CK: Tensor, pace: float) -> Tensor:
    """Return the mean over corn and soybean of the self-paced mean squared error of county yields, normalised (L7).

    Parameters
    ----------
    predicted_CK, observed_CK
        Yields of each county and crop; NaN, where no point grows the crop or no yield was reported, is left out.
    pace
        Limit at or above which errors are left out; infinite in validation. A crop without any error adds 0.
    """
    difference_CK = predicted_CK - observed_CK
    kept_CK = difference_CK.detach() ** 2 < pace  # false for NaN
    # Before the square: the gradient of a NaN's square is NaN, even times zero.
    error_CK = torch.where(kept_CK, difference_CK, torch.zeros_like(difference_CK)) ** 2
    return (error_CK.sum(0) / kept_CK.sum(0).clamp(min=1)).mean()


def seasonal_respiration_error(respiration_YT2: Tensor, *, reco_YT: Tensor, mask_YT: Tensor) -> Tensor:
    """Return the squared error of ecosystem respiration, winter apart, summed over years [(g C m-2 d-1)2] (L8).

    Parameters
    ----------
    respiration_YT2
        Ra and Rh, physical and positive. Outside the growing season Rh alone must equal the observed respiration.
    reco_YT, mask_YT
        Observed ecosystem respiration, positive, and the mask of its days.
    """
    # Sums over years, where NEE is averaged, give long records more weight on respiration: as published.
    winter_YT = squared_error(respiration_YT2[..., 1], target=reco_YT, mask=mask_YT)
    season_YT = squared_error(respiration_YT2.sum(-1), target=reco_YT, mask=mask_YT)
    first, last = GROWING_SEASON.start, GROWING_SEASON.stop
    error_Y = winter_YT[:, :first].mean(1) + winter_YT[:, last:].mean(1) + season_YT[:, GROWING_SEASON].mean(1)
    return error_Y.sum()


def rise(curve_J: Tensor, *, step: float) -> Tensor:
    """Return the sum of the rises from level to level, per unit of the input; 0 for a curve that never rises (L3, L4).

    Applied to heterotrophic respiration, which is negative here: a curve that rises is a respiration that falls.

    >>> float(rise(torch.tensor([-1.0, -3.0, -2.0]), step=0.5))
    2.0
    """
    return torch.relu(curve_J.diff() / step).sum()


def fall(curve_J: Tensor, *, step: float) -> Tensor:
    """Return the sum of the falls from level to level, per unit of the input; 0 for a curve that never falls (L6).

    >>> float(fall(torch.tensor([1.0, 3.0, 2.0]), step=0.5))
    2.0
    """
    return torch.relu(-curve_J.diff() / step).sum()


def correlation(curve_J: Tensor, *, reference_J: Tensor) -> Tensor:
    """Return the Pearson correlation of two curves; 0 where one is constant."""
    a_J, b_J = curve_J - curve_J.mean(), reference_J - reference_J.mean()
    spread = (a_J.square().sum() * b_J.square().sum()).sqrt()
    return (a_J * b_J).sum() / spread.clamp(min=torch.finfo(curve_J.dtype).tiny)


def correlation_shortfall(curve_J: Tensor, *, reference_J: Tensor, threshold: float) -> Tensor:
    """Return the difference by which the correlation with the reference curve is below the threshold, or 0 (L9)."""
    return torch.relu(threshold - correlation(curve_J, reference_J=reference_J))


def agreement_shortfall(curve_J: Tensor, *, reference_J: Tensor, threshold: float) -> Tensor:
    """Return the difference by which R2 against the reference curve is below the threshold, or 0 (L9).

    Unlike the correlation, R2 also depends on level and slope: used for heterotrophic respiration over soil carbon.
    """
    error = ((curve_J - reference_J) ** 2).sum()
    spread = ((reference_J - reference_J.mean()) ** 2).sum()
    return torch.relu(threshold - (1 - error / spread))
