"""The checkpoint at a point, against the bare network run by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from model.checkpoint import Checkpoint
from model.features import FEATURE_NAMES, FEATURES
from pipeline.site.point import annual_table, comparisons, daily_table, run_site
from pipeline.site.table import site_inputs


def _by_hand(checkpoint: Checkpoint, table: pd.DataFrame) -> pd.DataFrame:
    """Spin up over the first two years, then run all, in float64, with signs turned at the end."""
    network = checkpoint.network().double()
    years = pd.to_datetime(table["date"]).dt.year.to_numpy()
    columns = table.assign(Year=years, Crop_Type=table["crop"].map({"corn": 1, "soybean": 5}))[list(FEATURE_NAMES)]
    z = (columns.to_numpy(float) - [each.scaler.mean for each in FEATURES]) / [each.scaler.std for each in FEATURES]
    blocks = [torch.from_numpy(z[years == year])[None] for year in np.unique(years)]
    with torch.no_grad():
        state = network(blocks[1], network(blocks[0]).state).state
        fluxes, grain = [], []
        for block in blocks:
            result = network(block, state)
            state = result.state
            fluxes.append(result.fluxes_BT3[0].numpy())
            grain.append(float(result.yield_B[0]) * 104.0 + 221.0)
    ra, rh, nee = np.concatenate(fluxes).T
    daily = pd.DataFrame({"ra": -(ra * 2.6 - 1.4), "rh": -(rh * 0.9 - 1.0), "nee": nee * 3.0 - 0.5})
    daily.attrs["grain"] = grain
    return daily


def test_a_site_is_the_network_after_two_years_of_spin_up_with_the_state_carried(
    site_days: pd.DataFrame, untrained: Checkpoint
) -> None:
    result = run_site(untrained, site_inputs(site_days, name="here"))
    expected = _by_hand(untrained, site_days)
    for name in ("ra", "rh", "nee"):
        np.testing.assert_allclose(getattr(result, name), expected[name], atol=1e-5)
    np.testing.assert_allclose(result.yield_, expected.attrs["grain"], rtol=1e-5)
    assert len(result.ra) == 365 + 366 + 365


def test_a_single_year_spins_up_over_itself(site_days: pd.DataFrame, untrained: Checkpoint) -> None:
    one = site_inputs(site_days.iloc[:365], name="here")
    network, state = untrained.network(), None
    mean, std = np.array([each.scaler for each in FEATURES]).T
    x_BTF = torch.from_numpy((one.features - mean) / std).float()[None]
    with torch.no_grad():
        for _ in range(3):
            result = network(x_BTF, state)
            state = result.state
    np.testing.assert_allclose(run_site(untrained, one).nee, result.fluxes_BT3[0, :, 2] * 3.0 - 0.5, atol=1e-4)


def test_the_annual_budget_closes_by_its_own_columns(site_days: pd.DataFrame, untrained: Checkpoint) -> None:
    result = run_site(untrained, site_inputs(site_days, name="here"))
    annual, daily = annual_table(result), daily_table(result)
    assert list(annual["year"]) == [2003, 2004, 2005]
    assert list(annual["crop"]) == [1, 5, 1]
    by_year = daily.groupby(pd.to_datetime(daily["date"]).dt.year).sum(numeric_only=True)
    np.testing.assert_allclose(annual["nee_gc_m2_yr"], by_year["nee_gc_m2_d"])
    np.testing.assert_allclose(annual["reco_gc_m2_yr"], by_year["ra_gc_m2_d"] + by_year["rh_gc_m2_d"])
    np.testing.assert_allclose(annual["dsoc_gc_m2_yr"], -annual["nee_gc_m2_yr"] - annual["yield_gc_m2_yr"])
    residual = annual["ra_gc_m2_yr"] + annual["rh_gc_m2_yr"] - annual["gpp_gc_m2_yr"] - annual["nee_gc_m2_yr"]
    np.testing.assert_allclose(annual["balance_residual_gc_m2_yr"], residual)


def test_a_perfect_prediction_has_the_skill_that_the_nulls_leave(
    site_days: pd.DataFrame, untrained: Checkpoint
) -> None:
    site = site_inputs(site_days, name="here")
    result = replace(run_site(untrained, site), ra=site.reco, rh=np.zeros_like(site.reco), nee=site.nee)
    scores = comparisons(result)
    assert [(each.flux, each.period) for each in scores] == [
        ("Reco", "daily"), ("Reco", "annual"), ("NEE", "daily"), ("NEE", "annual"),
    ]  # fmt: skip
    assert all(each.network.r2 == 1 and each.skill == 1 for each in scores)


def test_where_gpp_is_reco_minus_nee_the_null_of_nee_errs_as_the_seasonal_cycle_of_reco(
    site_days: pd.DataFrame, untrained: Checkpoint
) -> None:
    reco, _, nee, _ = comparisons(run_site(untrained, site_inputs(site_days, name="here")))
    null = nee.nulls["mean seasonal Reco - GPP"]
    assert null.rmse == pytest.approx(reco.nulls["mean seasonal cycle"].rmse)
    assert null.r2 > 0.95
