"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from model.losses import flux_error, imbalance, mass_balance, self_paced, squared_error


def test_self_paced_loss_leaves_out_hard_samples_but_divides_by_all() -> None:
    error_B = torch.tensor([0.2, 0.4, 3.0, 1.0])
    assert float(self_paced(error_B, pace=1.0)) == pytest.approx((0.2 + 0.4) / 4)
    assert float(self_paced(error_B, pace=math.inf)) == pytest.approx(4.6 / 4)


def test_self_paced_loss_passes_no_gradient_to_hard_samples() -> None:
    error_B = torch.tensor([0.5, 2.0], requires_grad=True)
    self_paced(error_B, pace=1.0).backward()
    assert error_B.grad is not None
    assert error_B.grad.tolist() == [0.5, 0.0]


def test_squared_error_ignores_masked_elements() -> None:
    error = squared_error(torch.tensor([1.0, 5.0]), target=torch.tensor([3.0, 1.0]), mask=torch.tensor([1.0, 0.0]))
    assert error.tolist() == [4.0, 0.0]


def test_flux_error_sums_the_three_fluxes_means_over_all_days() -> None:
    prediction, target = torch.zeros(1, 4, 3), torch.tensor([1.0, 2.0, 3.0]).expand(1, 4, 3)
    mask_BT = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    expected = (1 + 4 + 9) * 3 / 4
    assert float(flux_error(prediction, target_BT3=target, mask_BT=mask_BT)) == pytest.approx(expected)


def test_imbalance_is_zero_where_nee_closes_the_budget() -> None:
    gpp_BT, fluxes_BT3 = torch.tensor([[10.0]]), torch.tensor([[[-4.0, -2.0, -4.0]]])
    assert float(imbalance(gpp_BT, fluxes_BT3=fluxes_BT3)) == 0.0


def test_mass_balance_punishes_what_exceeds_one_percent_of_respiration() -> None:
    gpp_BT = torch.tensor([[10.0, 10.0, 10.0]])
    fluxes_BT3 = torch.tensor([[[-4.0, -2.0, -3.0], [-4.0, -2.0, -3.95], [-4.0, -2.0, -4.2]]])
    by_hand = ((1.0 - 0.06) + 0.0 + (0.2 - 0.06)) / 3  # imbalance 1.0, 0.05, -0.2; tolerance 0.01 * 6
    assert float(mass_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=torch.ones(1, 3))) == pytest.approx(
        by_hand, rel=1e-5
    )
    first_only = torch.tensor([[1.0, 0.0, 0.0]])
    assert float(mass_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=first_only)) == pytest.approx(0.94 / 3, rel=1e-5)
