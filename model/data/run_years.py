"""Running a network along the years of sites: spin-up, then year after year with carried state.

Shape legend: N sites, Y years, T days, F features, B sites of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from model.network import KGMLNetwork, State, YearResult

SPIN_UP_YEARS = 2
"""First years of a sequence that are run once before it, without gradient, to give the first state."""

Forward = Callable[[Tensor, State], YearResult]
"""One calendar year: normalised inputs (B, T, F) and the state before it; a network or one of its partial forwards."""


class Prediction(NamedTuple):
    """Normalised predictions: Ra, Rh, NEE (N, Y, T, 3) and yield (N, Y)."""

    fluxes_NYT3: Tensor
    yield_NY: Tensor


def run_years(network: Forward, x_NYTF: Tensor) -> Iterator[YearResult]:
    """Yield the predictions of each year after a spin-up; gradients stop at the start of each year."""
    state = State.zeros(len(x_NYTF), like=x_NYTF)
    # As published, dropout stays on in the spin-up during training: the network keeps the mode that it is in.
    with torch.no_grad():
        for x_NTF in x_NYTF[:, :SPIN_UP_YEARS].unbind(1):
            state = network(x_NTF, state).state
    for x_NTF in x_NYTF.unbind(1):
        result: YearResult = network(x_NTF, state)
        yield result
        state = result.state.detach()


@torch.no_grad()
def predict(network: KGMLNetwork, x_NYTF: Tensor, *, batch_sites: int = 64) -> Prediction:
    """Predict all years of all sites, with the network in evaluation mode; the result is on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    batches = [list(run_years(network, x_BYTF.to(device))) for x_BYTF in torch.split(x_NYTF, batch_sites)]
    return Prediction(
        torch.cat([torch.stack([year.fluxes_BT3 for year in batch], 1).cpu() for batch in batches]),
        torch.cat([torch.stack([year.yield_B for year in batch], 1).cpu() for batch in batches]),
    )
