"""The balance in a stage's record equals its definition."""

from __future__ import annotations

import pytest
import torch

from model.training.stage_record import site_year_balance


def test_balance_scores_equal_their_definitions() -> None:
    gpp_NT, fluxes_NT3 = torch.tensor([[4.0, 6.0], [1.0, 1.0]]), torch.zeros(2, 2, 3)
    fluxes_NT3[..., 2] = torch.tensor([[-3.0, -7.0], [-1.0, 2.0]])  # residuals 1, -1; 0, 3
    balance = site_year_balance(gpp_NT, fluxes_NT3=fluxes_NT3)
    assert balance.daily == pytest.approx(5 / 4)
    assert balance.daily_share == pytest.approx(5 / 4 / 3)
    assert balance.annual_bias == pytest.approx(1.5)
    assert balance.annual == pytest.approx(1.5)
