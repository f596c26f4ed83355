from __future__ import annotations

import torch

from model.experiments.pure_ml import FluxBaseline, PureML, YieldBaseline
from model.features import FEATURES
from model.network import State


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_baselines_have_the_published_numbers_of_parameters() -> None:
    assert parameters(YieldBaseline()) == 62_146
    assert parameters(FluxBaseline()) == 41_475
    assert parameters(FluxBaseline(outputs=2)) == 41_475 - 65


def test_the_flux_baseline_is_a_gru_and_a_line_and_the_yield_one_attends_over_days() -> None:
    torch.manual_seed(1)
    pure, x = PureML().eval(), torch.randn(2, 5, len(FEATURES))
    result = pure(x)
    hidden, _ = pure.fluxes.gru(x)
    torch.testing.assert_close(result.fluxes_BT3, pure.fluxes.head(hidden))
    hidden, _ = pure.grain.gru(x)
    weights = torch.exp(pure.grain.attention(hidden))
    context = (weights / weights.sum(1, keepdim=True) * hidden).sum(1)
    torch.testing.assert_close(result.yield_B, pure.grain.head(context)[:, 0])


def test_the_pair_carries_the_state_of_each_from_year_to_year() -> None:
    torch.manual_seed(2)
    pure, x = PureML().eval(), torch.randn(2, 8, len(FEATURES))
    whole = pure(x)
    first = pure(x[:, :4])
    second = pure(x[:, 4:], first.state)
    torch.testing.assert_close(torch.cat([first.fluxes_BT3, second.fluxes_BT3], 1), whole.fluxes_BT3)
    torch.testing.assert_close(second.state.pack(), whole.state.pack())
    assert torch.equal(second.state.ra_LBH, State.zeros(2, like=x).ra_LBH)
