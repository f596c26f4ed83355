"""Scores, balance, responses and folds against formulas written out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from model.data.records import DAYS, TowerSet
from model.data.run_years import run_years
from model.evaluation.scores import (
    ANNUAL,
    Carbon,
    Evaluation,
    annual_pair,
    balance,
    groups_of,
    leave_sites_out,
    leave_years_out,
    predicted_carbon,
    score,
    score_rows,
    season_of_day,
    yield_bounds,
)
from model.features import CORN, FEATURES, GPP, PUBLISHED_FEATURE_SCALERS, SOYBEAN
from tests.helpers.networks import SCALERS, inputs, network

SITES, YEARS = 3, 2


def carbon(seed: int, *, error: float = 0.0) -> Carbon:
    rng, noise = np.random.default_rng(1), np.random.default_rng(seed)
    shape = (SITES, YEARS, DAYS)
    gpp, ra, rh = (rng.gamma(2, scale, shape).astype(np.float32) for scale in (2, 1, 0.5))
    grain = rng.uniform(100, 300, shape[:2]).astype(np.float32)
    ra, rh = (each + (error * noise.normal(size=shape)).astype(np.float32) for each in (ra, rh))
    return Carbon(gpp, ra, rh, ra + rh, ra + rh - gpp, grain + np.float32(error * noise.normal()))


def by_hand(predicted: list[float], observed: list[float]) -> tuple[float, float, float]:
    """R2, RMSE and bias with plain sums."""
    n, mean = len(observed), sum(observed) / len(observed)
    squares = sum((p - o) ** 2 for p, o in zip(predicted, observed, strict=True))
    bias = sum(p - o for p, o in zip(predicted, observed, strict=True)) / n
    return 1 - squares / sum((o - mean) ** 2 for o in observed), math.sqrt(squares / n), bias


def test_a_score_is_that_of_plain_sums_over_the_pairs_that_exist() -> None:
    rng = np.random.default_rng(0)
    predicted, observed = rng.normal(size=40), rng.normal(size=40)
    predicted[3], observed[7] = np.nan, np.nan
    kept = [i for i in range(40) if i not in (3, 7)]
    found = score(predicted, observed)
    expected = by_hand([float(predicted[i]) for i in kept], [float(observed[i]) for i in kept])
    assert (found.r2, found.rmse, found.bias) == pytest.approx(expected)
    assert found.count == 38


def test_without_variance_or_pairs_there_is_no_r2() -> None:
    assert score(np.array([1.0, 2.0]), np.array([3.0, 3.0])).r2 is None
    nothing = score(np.array([np.nan]), np.array([1.0]))
    assert (nothing.r2, nothing.count) == (None, 0)
    assert math.isnan(nothing.rmse)


def test_rows_hold_every_output_by_site_crop_year_and_season() -> None:
    crop = np.array([[CORN, SOYBEAN], [SOYBEAN, SOYBEAN], [CORN, CORN]])
    observed, predicted = carbon(2), carbon(3, error=0.3)
    groups = groups_of(["17001", "17001", "17003"], crop_NY=crop, years=np.array([2001, 2002]))
    rows = score_rows(predicted, observed, groups=groups)
    evaluation = Evaluation(rows, balance(predicted), yield_bounds(predicted))
    county = evaluation.row("rh", "daily", by="site", group="17001")
    expected = by_hand(*([float(v) for v in each.rh_NYT[:2].ravel()] for each in (predicted, observed)))
    assert county is not None
    assert (county.score.r2, county.score.rmse, county.score.bias) == pytest.approx(expected)
    corn = evaluation.row("nee", "annual", by="crop", group="corn")
    pairs = [(0, 0), (2, 0), (2, 1)]
    expected = by_hand(*([math.fsum(each.nee_NYT[pair]) for pair in pairs] for each in (predicted, observed)))
    assert corn is not None
    assert (corn.score.r2, corn.score.rmse, corn.score.bias) == pytest.approx(expected, rel=1e-4)
    assert {row.group for row in rows if row.by == "season"} == {"winter", "spring", "summer", "autumn"}
    assert {row.output for row in rows if row.period == "annual"} == set(ANNUAL)
    assert evaluation.row("yield", "daily") is None


def test_seasons_are_calendar_months_and_share_out_the_year() -> None:
    days = np.datetime64("2001-01-01") + np.arange(DAYS)
    months = days.astype("datetime64[M]").astype(int) % 12 + 1
    expected = {"winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11)}
    for season, days_T in season_of_day().items():
        np.testing.assert_array_equal(days_T, np.isin(months, expected[season]), err_msg=season)


def test_annual_sums_run_over_observed_days_and_need_nine_tenths_of_them() -> None:
    observed, predicted = carbon(4), carbon(5, error=0.5)
    gaps = observed.reco_NYT.copy()
    gaps[0, 0, :30], gaps[1, 1, :40] = np.nan, np.nan
    found, truth = annual_pair(predicted, replace(observed, reco_NYT=gaps), output="reco")
    assert np.argwhere(np.isnan(truth)).tolist() == [[1, 1]]
    assert found[0, 0] == pytest.approx(math.fsum(predicted.reco_NYT[0, 0, 30:]), rel=1e-6)
    assert truth[0, 0] == pytest.approx(math.fsum(observed.reco_NYT[0, 0, 30:]), rel=1e-6)


def test_the_change_of_soil_carbon_is_net_uptake_less_yield() -> None:
    observed = carbon(6)
    _, dsoc = annual_pair(observed, observed, output="dsoc")
    gain = observed.gpp_NYT.sum(-1) - observed.ra_NYT.sum(-1) - observed.rh_NYT.sum(-1) - observed.yield_NY
    np.testing.assert_allclose(dsoc, gain, atol=0.02)


def test_a_tower_observes_neither_ra_and_rh_apart_nor_yield() -> None:
    mask = np.ones((1, DAYS), bool)
    mask[0, :100] = False
    flux = np.where(mask, 2.0, 0.0).astype(np.float32)
    tower = TowerSet("US-X", np.ones((1, DAYS, len(FEATURES)), np.float32), flux, -flux, mask, np.array([2001]))
    observed = Carbon.of_tower(tower)
    rows = score_rows(carbon_of_one(), observed, groups={})
    assert {(row.output, row.period) for row in rows} == {("reco", "daily"), ("nee", "daily")}
    assert {row.score.count for row in rows if row.by == "pooled"} == {265}


def carbon_of_one() -> Carbon:
    whole = carbon(7)
    return Carbon(
        whole.gpp_NYT[:1, :1],
        whole.ra_NYT[:1, :1],
        whole.rh_NYT[:1, :1],
        whole.reco_NYT[:1, :1],
        whole.nee_NYT[:1, :1],
        whole.yield_NY[:1, :1],
    )


def test_the_balance_is_the_residual_of_the_fluxes() -> None:
    closed = carbon(8)
    assert balance(closed).daily < 1e-5
    offset = np.zeros_like(closed.nee_NYT)
    offset[0] += 0.5
    offset[1] -= 0.1
    found = balance(replace(closed, nee_NYT=closed.nee_NYT + offset))
    assert found.daily == pytest.approx(0.2, rel=1e-3)
    assert found.daily_share == pytest.approx(0.2 / closed.gpp_NYT.mean(), rel=1e-3)
    assert found.annual == pytest.approx(73, rel=1e-3)
    assert found.annual_bias == pytest.approx(365 * 0.4 / 3, rel=1e-3)


def test_yields_below_zero_or_above_half_of_gpp_are_counted() -> None:
    whole = carbon(9)
    limit = 0.5 * whole.gpp_NYT.sum(-1)
    grain = np.array([[-1, 0], [1, limit[1, 1] + 1], [limit[2, 0] - 1, 5]], np.float32)
    found = yield_bounds(replace(whole, yield_NY=grain))
    assert (found.negative, found.above, found.count) == (2, 1, 6)
    assert found.within == pytest.approx(0.5)


def test_predictions_are_physical_with_respiration_positive_after_a_spin_up() -> None:
    x, net = inputs(), network()
    found = predicted_carbon(net, x, scalers=SCALERS)
    mean, std = np.array(PUBLISHED_FEATURE_SCALERS).T
    years = list(run_years(net, torch.from_numpy(((x - mean) / std).astype(np.float32))))
    ra_z = years[1].fluxes_BT3[..., 0].detach().numpy()
    np.testing.assert_allclose(found.ra_NYT[:, 1], -(ra_z * 2.5 - 1.4), atol=1e-4)
    np.testing.assert_allclose(found.reco_NYT, found.ra_NYT + found.rh_NYT, atol=1e-6)
    np.testing.assert_allclose(found.yield_NY[:, 0], years[0].yield_B.detach().numpy() * 110 + 220, atol=1e-2)
    np.testing.assert_array_equal(found.gpp_NYT, x[..., GPP])


def test_folds_hold_out_each_year_or_site_once() -> None:
    years = leave_years_out(np.arange(2001, 2006), sites=2, size=2)
    assert [fold.name for fold in years] == ["2001-2002", "2003-2004", "2005"]
    sites = leave_sites_out(["Ne", "Bo", "Ne"], years=4)
    assert [fold.name for fold in sites] == ["Ne", "Bo"]
    assert sites[0].test_NY[:, 0].tolist() == [True, False, True]
    for folds in (years, sites):
        assert (sum(fold.test_NY.astype(int) for fold in folds) == 1).all()
        assert all(np.logical_xor(fold.training_NY, fold.test_NY).all() for fold in folds)


def test_records_are_json() -> None:
    observed = carbon(12)
    groups = groups_of(["a", "b", "c"], crop_NY=np.full((3, 2), CORN), years=np.array([2001, 2002]))
    evaluation = Evaluation(score_rows(observed, observed, groups=groups), balance(observed), yield_bounds(observed))
    assert json.loads(json.dumps(asdict(evaluation)))["balance"]["daily"] == evaluation.balance.daily
