"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.losses import (
    agreement_shortfall,
    annual_balance,
    correlation,
    correlation_shortfall,
    county_yield_error,
    fall,
    flux_error,
    imbalance,
    mass_balance,
    rise,
    seasonal_respiration_error,
    self_paced,
    squared_error,
    yield_bounds,
)


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


def test_mass_balance_penalises_imbalances_above_one_percent_of_respiration() -> None:
    gpp_BT = torch.tensor([[10.0, 10.0, 10.0]])
    fluxes_BT3 = torch.tensor([[[-4.0, -2.0, -3.0], [-4.0, -2.0, -3.95], [-4.0, -2.0, -4.2]]])
    by_hand = ((1.0 - 0.06) + 0.0 + (0.2 - 0.06)) / 3  # imbalance 1.0, 0.05, -0.2; tolerance 0.01 * 6
    assert float(mass_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=torch.ones(1, 3))) == pytest.approx(
        by_hand, rel=1e-5
    )
    first_only = torch.tensor([[1.0, 0.0, 0.0]])
    assert float(mass_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=first_only)) == pytest.approx(0.94 / 3, rel=1e-5)


def test_the_balance_tolerance_is_a_setting() -> None:
    gpp_BT, fluxes_BT3 = torch.tensor([[10.0]]), torch.tensor([[[-4.0, -2.0, -3.95]]])  # imbalance 0.05
    loss = mass_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=torch.ones(1, 1), tolerance=0.0)
    assert float(loss) == pytest.approx(0.05, rel=1e-4)


def test_annual_balance_lets_days_cancel_and_years_not() -> None:
    gpp_BT = torch.tensor([[10.0, 10.0], [10.0, 10.0]])
    fluxes_BT3 = torch.zeros(2, 2, 3)
    fluxes_BT3[..., 2] = torch.tensor([[-9.0, -11.0], [-9.5, -9.9]])  # imbalance +1, -1; +0.5, +0.1
    loss = annual_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=torch.ones(2, 2))
    assert float(loss) == pytest.approx((0.0 + 0.3) / 2, rel=1e-5)
    first = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert float(annual_balance(gpp_BT, fluxes_BT3=fluxes_BT3, mask_BT=first)) == pytest.approx(0.5 / 2, rel=1e-5)


def test_yield_bounds_penalise_yields_below_zero_or_above_half_of_gpp() -> None:
    yield_B, gpp_B = torch.tensor([600.0, 300.0, -30.0, 0.0]), torch.tensor([1000.0, 1000.0, 1000.0, 0.0])
    assert float(yield_bounds(yield_B, gpp_B=gpp_B)) == pytest.approx(100 / 4 + 30 / 4)
    assert float(yield_bounds(yield_B, gpp_B=gpp_B, limit=1.0)) == pytest.approx(30 / 4)


def test_county_error_is_the_mean_over_corn_and_soybean_of_observed_counties() -> None:
    nan = math.nan
    predicted_CK = torch.tensor([[1.0, 2.0], [3.0, nan], [0.0, 1.0]])
    observed_CK = torch.tensor([[1.5, 1.0], [5.0, 1.0], [nan, 1.2]])
    corn, soybean = (0.25 + 4.0) / 2, (1.0 + 0.04) / 2
    loss = county_yield_error(predicted_CK, observed_CK=observed_CK, pace=math.inf)
    assert float(loss) == pytest.approx((corn + soybean) / 2, rel=1e-5)
    paced = county_yield_error(predicted_CK, observed_CK=observed_CK, pace=1.0)  # the 4.0 and the 1.0 wait
    assert float(paced) == pytest.approx((0.25 + 0.04) / 2, rel=1e-4)


def test_counties_without_observation_pass_no_gradient_and_no_nan() -> None:
    predicted_CK = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    observed_CK = torch.tensor([[2.0, math.nan], [math.nan, math.nan]])
    county_yield_error(predicted_CK, observed_CK=observed_CK, pace=math.inf).backward()
    assert predicted_CK.grad is not None
    assert predicted_CK.grad.tolist() == [[-1.0, 0.0], [0.0, 0.0]]  # 2 (1 - 2) / 1 county / 2 crops


def test_winter_respiration_is_heterotrophic_and_years_add_up() -> None:
    respiration_YT2 = torch.zeros(2, 365, 2)
    respiration_YT2[..., 0] = 3.0  # Ra
    respiration_YT2[..., 1] = 1.0  # Rh
    reco_YT, mask_YT = torch.full((2, 365), 2.0), torch.ones(2, 365)
    # Winter days: Rh 1 against 2; season: Ra + Rh 4 against 2. Two winters and a season a year, two years.
    assert float(seasonal_respiration_error(respiration_YT2, reco_YT=reco_YT, mask_YT=mask_YT)) == pytest.approx(
        2 * (1.0 + 1.0 + 4.0)
    )
    mask_YT[:, 105] = 0.0  # first day of the season: one of 195
    masked = seasonal_respiration_error(respiration_YT2, reco_YT=reco_YT, mask_YT=mask_YT)
    assert float(masked) == pytest.approx(2 * (2.0 + 4.0 * 194 / 195))
    mask_YT[:, 104], mask_YT[:, 299], mask_YT[:, 300] = 0.0, 0.0, 0.0  # last of winter, of the season, first of winter
    masked = seasonal_respiration_error(respiration_YT2, reco_YT=reco_YT, mask_YT=mask_YT)
    assert float(masked) == pytest.approx(2 * (104 / 105 + 64 / 65 + 4.0 * 193 / 195))


def test_rise_and_fall_add_the_slopes_of_one_sign() -> None:
    curve_J = torch.tensor([-1.0, -1.5, -1.2, -1.3, -1.1])
    assert float(rise(curve_J, step=0.25)) == pytest.approx((0.3 + 0.2) / 0.25, rel=1e-5)
    assert float(fall(curve_J, step=0.5)) == pytest.approx((0.5 + 0.1) / 0.5, rel=1e-5)


def test_the_correlation_of_curves_is_pearsons() -> None:
    curve_J, reference_J = torch.tensor([1.0, 2.0, 4.0, 3.0]), torch.tensor([0.0, 1.0, 1.0, 5.0])
    expected = float(np.corrcoef(curve_J.numpy(), reference_J.numpy())[0, 1])
    assert float(correlation(curve_J, reference_J=reference_J)) == pytest.approx(expected, rel=1e-5)
    shortfall = correlation_shortfall(curve_J, reference_J=reference_J, threshold=0.9)
    assert float(shortfall) == pytest.approx(0.9 - expected, rel=1e-5)
    assert float(correlation_shortfall(3 * curve_J - 7, reference_J=curve_J, threshold=0.9)) == 0.0


def test_agreement_of_curves_also_holds_their_level() -> None:
    reference_J = torch.tensor([1.0, 2.0, 3.0])  # spread 2
    shortfall = agreement_shortfall(reference_J + 0.1, reference_J=reference_J, threshold=0.99)
    assert float(shortfall) == pytest.approx(0.99 - (1 - 0.03 / 2), rel=1e-4)
    assert float(agreement_shortfall(reference_J, reference_J=reference_J, threshold=0.99)) == 0.0
