"""Scores of predictions against held-out targets, in physical units and reporting signs; R2 in pieces.

Shape legend: N sites, Y years, T days.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import Scalers
from model.data.run_years import Prediction
from model.data.sites import Sequences
from model.evaluation.scores import Score
from model.evaluation.scores import score as pair_score
from model.features import GPP
from model.losses import imbalance
from model.training.stages import physical_fluxes


class RunningR2:
    """R2 over values that arrive in pieces: it keeps sums, so that a pass over data keeps no predictions.

    >>> r2 = RunningR2()
    >>> for predicted, observed in ((1.0, 1.0), (2.0, 3.0), (4.0, 5.0)):
    ...     r2.add(torch.tensor([predicted]), target=torch.tensor([observed]), mask=torch.tensor([True]))
    >>> r2.value
    0.75
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)  # number, squared errors, targets, squared targets

    def add(self, prediction: Tensor, *, target: Tensor, mask: Tensor) -> None:
        """Add the pairs whose mask is true."""
        # Double precision: the variance below is a difference of two large sums.
        kept = mask.bool().expand(prediction.shape)
        predicted, observed = prediction.detach()[kept].double(), target[kept].double()
        error = ((predicted - observed) ** 2).sum()
        sums = [observed.new_tensor(float(observed.numel())), error, observed.sum(), (observed**2).sum()]
        self._sums += torch.stack(sums).cpu()

    @property
    def value(self) -> float:
        """1 - squared error / variance of the target; NaN where nothing was counted or the target does not vary."""
        count, error, total, squares = self._sums.tolist()
        spread = squares - total**2 / count if count else 0.0
        return 1 - error / spread if spread > 0 else float("nan")


def score(prediction: Tensor, *, target: Tensor) -> Score:
    """Return the skill over all elements."""
    return pair_score(prediction.detach().cpu().numpy(), target.detach().cpu().numpy())


def held_out_scores(prediction: Prediction, *, target: Sequences, mask_NY: Tensor, scalers: Scalers) -> dict[str, Any]:
    """Return daily and annual scores of the masked site-years as JSON values.

    Ra and Rh are positive, NEE is positive to the atmosphere [g C m-2 d-1 or g C m-2 yr-1]; yield and the change of
    soil carbon, -NEE - yield, are in g C m-2 yr-1; the mean absolute imbalance is in g C m-2 d-1.
    """
    predicted, observed = (
        physical_fluxes(fluxes_NYT3[mask_NY], scalers=scalers)
        for fluxes_NYT3 in (prediction.fluxes_NYT3, target.fluxes_NYT3)
    )
    gpp = target.x_NYTF[..., GPP][mask_NY] * scalers.outputs["gpp"].std + scalers.outputs["gpp"].mean
    scaler = scalers.outputs["yield"]
    yields = [y_NY[mask_NY] * scaler.std + scaler.mean for y_NY in (prediction.yield_NY, target.yield_NY)]
    table = {"yield": score(yields[0], target=yields[1])}
    # From the network's signs to reporting signs.
    for i, (name, sign) in enumerate({"ra": -1, "rh": -1, "nee": 1}.items()):
        pair = sign * predicted[..., i], sign * observed[..., i]
        table[f"{name}_daily"] = score(pair[0], target=pair[1])
        table[f"{name}_annual"] = score(pair[0].sum(1), target=pair[1].sum(1))
    # Change of soil carbon, -NEE - yield: net uptake less the harvest.
    change = [-fluxes[..., 2].sum(1) - y for fluxes, y in zip((predicted, observed), yields, strict=True)]
    table["dsoc_annual"] = score(change[0], target=change[1])
    return {
        **{name: asdict(value) for name, value in table.items()},
        "imbalance_daily": float(imbalance(gpp, fluxes_BT3=predicted).abs().mean()),
    }
