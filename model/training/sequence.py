"""Running the network along the years of sites: spin-up, then year after year with carried state.

Shape legend: N sites, Y years, T days, F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from model.network import KGMLNetwork, State, YearResult

SPIN_UP_YEARS = 2
"""First years of a sequence that are run once before it, without gradient, to give the first state."""


class Prediction(NamedTuple):
    """Normalised predictions: Ra, Rh, NEE (N, Y, T, 3) and yield (N, Y)."""

    fluxes_NYT3: Tensor
    yield_NY: Tensor


def run_years(network: KGMLNetwork, x_NYTF: Tensor) -> Iterator[YearResult]:
    """Yield the predictions of each year, spun up first; gradients stop at the start of each year."""
    state = State.zeros(len(x_NYTF), like=x_NYTF)
    with torch.no_grad():
        for x_NTF in x_NYTF[:, :SPIN_UP_YEARS].unbind(1):
            state = network(x_NTF, state).state
    for x_NTF in x_NYTF.unbind(1):
        result: YearResult = network(x_NTF, state)
        yield result
        state = result.state.detach()


@torch.no_grad()
def predict(network: KGMLNetwork, x_NYTF: Tensor, *, batch_sites: int = 64) -> Prediction:
    """Predict all years of all sites, with the network in evaluation mode."""
    network.eval()
    batches = [list(run_years(network, x_BYTF)) for x_BYTF in torch.split(x_NYTF, batch_sites)]
    return Prediction(
        torch.cat([torch.stack([year.fluxes_BT3 for year in batch], 1) for batch in batches]),
        torch.cat([torch.stack([year.yield_B for year in batch], 1) for batch in batches]),
    )
