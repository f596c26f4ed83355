"""R2 over values that arrive in pieces."""

from __future__ import annotations

import torch
from torch import Tensor


class SkillMeter:
    """Sums from which R2 follows, so that a pass over data keeps no predictions."""

    def __init__(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)  # number, squared errors, targets, squared targets

    def add(self, prediction: Tensor, *, target: Tensor, mask: Tensor) -> None:
        """Count the pairs where the mask is true."""
        kept = mask.bool().expand(prediction.shape)
        predicted, observed = prediction.detach()[kept].double(), target[kept].double()
        error = ((predicted - observed) ** 2).sum()
        sums = [observed.new_tensor(float(observed.numel())), error, observed.sum(), (observed**2).sum()]
        self._sums += torch.stack(sums).cpu()

    @property
    def r2(self) -> float:
        """1 - squared error / variance of the target; NaN where nothing was counted or the target does not vary."""
        count, error, total, squares = self._sums.tolist()
        spread = squares - total**2 / count if count else 0.0
        return 1 - error / spread if spread > 0 else float("nan")
