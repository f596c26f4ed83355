"""Running the network along the years of sites: spin-up, then year after year with carried state.

Shape legend: N sites, Y years, T days, F features, B samples.
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
"""One calendar year: normalised inputs (B, T, F) and the state before it."""


class Prediction(NamedTuple):
    """Normalised predictions: Ra, Rh, NEE (N, Y, T, 3) and yield (N, Y)."""

    fluxes_NYT3: Tensor
    yield_NY: Tensor


def run_years(network: Forward, x_NYTF: Tensor) -> Iterator[YearResult]:
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
    """Predict all years of all sites, with the network in evaluation mode; the result is on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    batches = [list(run_years(network, x_BYTF.to(device))) for x_BYTF in torch.split(x_NYTF, batch_sites)]
    return Prediction(
        torch.cat([torch.stack([year.fluxes_BT3 for year in batch], 1).cpu() for batch in batches]),
        torch.cat([torch.stack([year.yield_B for year in batch], 1).cpu() for batch in batches]),
    )


def yield_and_ra(network: KGMLNetwork) -> Forward:
    """Return the part of the network that predicts yield and Ra, as if Rh and NEE were not there.

    Its fluxes are (B, T, 1), Ra alone. Values and gradients are those of the whole network (without dropout, bit by
    bit), at half the cost: neither yield nor Ra depends on what follows.
    """

    def forward(x_BTF: Tensor, state: State) -> YearResult:
        hidden_BTH, basis_LBH = network.gru_basic(x_BTF, state.basis_LBH)
        yield_B = _yield(network, network.drop(hidden_BTH))
        ra_BTH, ra_LBH = network.gru_Ra(torch.cat([network.drop(hidden_BTH), x_BTF], -1), state.ra_LBH)
        ra_BT1 = network.densor_Ra(network.drop(ra_BTH))
        return YearResult(ra_BT1, yield_B, state._replace(basis_LBH=basis_LBH, ra_LBH=ra_LBH))

    return forward


def yield_alone(network: KGMLNetwork) -> Forward:
    """Return the part of the network that predicts yield, as `yield_and_ra` does; it has no fluxes, (B, T, 0)."""

    def forward(x_BTF: Tensor, state: State) -> YearResult:
        hidden_BTH, basis_LBH = network.gru_basic(x_BTF, state.basis_LBH)
        yield_B = _yield(network, network.drop(hidden_BTH))
        return YearResult(x_BTF[..., :0], yield_B, state._replace(basis_LBH=basis_LBH))

    return forward


def _yield(network: KGMLNetwork, hidden_BTH: Tensor) -> Tensor:
    weight_BT1 = torch.softmax(network.attn(hidden_BTH), dim=1)
    yield_B1: Tensor = network.densor_yield((weight_BT1 * hidden_BTH).sum(1))
    return yield_B1[:, 0]
