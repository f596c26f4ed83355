"""The GRU with its gradient written out has PyTorch's values and gradients."""

from __future__ import annotations

import pytest
import torch

from model.network import State
from model.training.recurrence import WrittenOutGRU, write_out
from model.training.stages import set_dropout
from tests.helpers.training_runs import unit_network


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_the_written_out_recurrence_has_the_values_and_gradients_of_pytorchs(dropout: float) -> None:
    torch.manual_seed(0)
    theirs = unit_network()
    ours = unit_network()
    ours.load_state_dict(theirs.state_dict())
    write_out(ours)
    x_BTF, state = torch.randn(3, 60, 19), State.unpack(0.3 * torch.randn(6, 3, 64))
    results = []
    for network in (theirs, ours):
        network.residue_days = (50,)
        set_dropout(network, dropout)
        # Only without dropout between layers do the two draw the same masks.
        network.gru_basic.dropout = network.gru_Rh.dropout = 0.0
        torch.manual_seed(2)
        result = network.train()(x_BTF, state)
        (result.fluxes_BT3.square().sum() + result.yield_B.sum() + result.state.pack().sum()).backward()
        gradients = {name: p.grad for name, p in network.named_parameters()}
        results.append((result, gradients))
    (a, a_gradients), (b, b_gradients) = results
    assert torch.allclose(a.fluxes_BT3, b.fluxes_BT3, atol=1e-6)
    assert a_gradients.keys() == b_gradients.keys()
    for name, gradient in a_gradients.items():
        assert gradient is not None
        # Relative to the largest, but not below what rounding leaves of gradients that cancel.
        tolerance = max(1e-4 * float(gradient.abs().max()), 1e-6)
        assert torch.allclose(gradient, b_gradients[name], rtol=1e-3, atol=tolerance), name


def test_the_written_out_recurrence_passes_a_numerical_check_of_its_gradient() -> None:
    torch.manual_seed(0)
    gru = WrittenOutGRU(2, 3, 2, batch_first=True).double()
    x_BTI = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    start_LBH = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gru, (x_BTI, start_LBH))
