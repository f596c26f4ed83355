"""Intervals of areas: coverage and inflation against draws whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from benchmarks.intervals import Interval, intervals, truth_of, years_of
from model.data.sites import simulate_sites
from pipeline.aggregate.sums import Sums
from pipeline.variables import FLUXES

M, FIELDS, YEARS, NEE = 5, 400, 6, 4


def world(*, shared: float) -> list[tuple[Sums, Sums]]:
    """Truth and members are draws of one distribution; a part of each is common to all fields."""
    rng, pairs = np.random.default_rng(3), []
    for _ in range(YEARS):
        draws = shared * rng.normal(size=(M + 1, 1)) + np.sqrt(1 - shared**2) * rng.normal(size=(M + 1, FIELDS))
        predicted, true = Sums.zero(FIELDS, members=M), Sums.zero(FIELDS)
        for each in (predicted, true):
            each.area_m2[:] = 1
        predicted.members_g[0, :, NEE] = draws[:M]
        predicted.totals_g[0, NEE] = draws[:M].mean(axis=0)
        true.totals_g[0, NEE] = draws[M]
        pairs.append((predicted, true))
    return pairs


def test_truth_like_a_member_lies_in_the_interval_widened_by_that_of_the_mean() -> None:
    """The mean of M members has an error of its own: the factor is the root of 1 + 1/M."""
    assert FLUXES[NEE].name == "nee"
    found = intervals(world(shared=0.0), csr_array(np.eye(FIELDS)))["nee"]
    assert found.inflation == pytest.approx(np.sqrt(1 + 1 / M), rel=0.08)
    assert 0.8 < found.coverage < 0.9
    wider = Interval(found.half_width * found.inflation, found.error)
    assert wider.coverage == pytest.approx(0.9, abs=1e-3)


def test_errors_that_fields_share_stay_in_the_interval_of_their_mean() -> None:
    own, common = (intervals(world(shared=s), csr_array(np.ones((1, FIELDS))))["nee"] for s in (0.0, 0.9))
    assert common.half_width.mean() > 5 * own.half_width.mean()


def test_the_truth_of_a_simulated_field_closes_its_budget() -> None:
    points = simulate_sites(4, sites=2, years=np.array([2003, 2004]))
    truth = truth_of(points, 1)
    np.testing.assert_allclose(truth["balance_residual"], 0, atol=0.05)
    assert (truth["ra"] > 0).all()
    (_, second) = years_of(points)
    np.testing.assert_allclose(second.inputs.gpp_TN.sum(axis=0), truth["gpp"], rtol=1e-5)
