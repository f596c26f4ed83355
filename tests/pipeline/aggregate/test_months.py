"""Layers of months: members beside fluxes, absent members, and spreads by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.aggregate import months
from pipeline.aggregate.months import MonthSums
from pipeline.aggregate.tables import monthly_table
from pipeline.variables import DAILY, MONTHLY_STD

M, TARGETS, CELLS = 4, 3, 5


@pytest.fixture
def members() -> np.ndarray:
    """Totals of each member over the targets (M, fluxes, 12, targets)."""
    return np.random.default_rng(1).normal(100, 20, (M, len(DAILY), 12, TARGETS))


@pytest.fixture
def sums(members: np.ndarray) -> np.ndarray:
    """Layers of months on the targets: an area of 2 m2, means of the members, and the members less them."""
    mean = members.mean(axis=0)
    own = (members - mean).reshape(M * len(DAILY), 12, TARGETS)
    return np.concatenate([np.full((1, 12, TARGETS), 2.0), mean, own])


def test_spreads_are_those_of_the_members_totals(sums: np.ndarray, members: np.ndarray) -> None:
    np.testing.assert_allclose(months.spreads(sums), members.std(axis=0, ddof=1), rtol=1e-12)


def test_stored_layers_are_means_over_the_area_with_their_spread(sums: np.ndarray, members: np.ndarray) -> None:
    found = months.month_layers(sums)
    np.testing.assert_allclose(found["nee"], members[:, 2].mean(axis=0) / 2)
    np.testing.assert_allclose(found["rh_spread"], (members[:, 1] / 2).std(axis=0, ddof=1))
    assert set(found) == {"area", *(flux.name for flux in DAILY), *(std.name for std in MONTHLY_STD.values())}
    sums[0, 4, 1] = 0  # no area in May
    empty = months.month_layers(sums)
    assert np.isnan(empty["nee_spread"][4, 1])
    assert np.isfinite(empty["nee_spread"]).sum() == 12 * TARGETS - 1


def test_a_single_network_has_no_layers_of_spread(sums: np.ndarray) -> None:
    alone = months.month_layers(sums[:4])
    assert set(alone) == {"area", *(flux.name for flux in DAILY)}
    table = monthly_table(_labels(), sums[:4], year=2012)
    assert not [name for name in table if "spread" in name]


def test_rows_of_a_table_have_the_spread_of_their_month(sums: np.ndarray, members: np.ndarray) -> None:
    table = monthly_table(_labels(), sums, year=2012).set_index(["name", "month"])
    expected = members[:, 0, 6, 1].std(ddof=1)
    assert table.loc[("b", 7), "ra_spread_g"] == pytest.approx(expected)
    assert table.loc[("b", 7), "ra_spread_g_m2"] == pytest.approx(expected / 2)
    width = table.loc[("b", 7), "ra_high_g"] - table.loc[("b", 7), "ra_low_g"]
    assert width == pytest.approx(2 * 2.353363 * expected)  # Student's t, 3 degrees of freedom, 95 %


def _labels() -> pd.DataFrame:
    return pd.DataFrame({"name": list("abc")})


def test_members_count_where_a_cell_has_all_days_and_their_absence_is_no_zero() -> None:
    layers = np.ones((4, CELLS))
    layers[:, 1] = 0  # a cell that misses a day
    own = np.full((M, 3, CELLS), 7.0)
    own[..., 1:3] = np.nan
    found = months.with_members(layers, own, count=M)
    assert found.shape == (months.count_layers(M), CELLS)
    assert found[4:, 0].tolist() == [7.0] * 3 * M
    assert found[4:, 1].tolist() == [0.0] * 3 * M
    assert np.isnan(found[4:, 2]).all()
    absent = months.with_members(layers, None, count=M)
    assert np.isnan(absent[4:, [0, 2, 3, 4]]).all()
    assert months.with_members(layers, None, count=0) is layers


def test_months_of_a_leap_year_are_complete_with_all_of_their_days() -> None:
    days = np.ones((4, 366, CELLS))
    days[:, 59, 2] = 0  # 29 February
    sums = MonthSums.zero(months.months_of(2012, 366), CELLS)
    sums.add(days[:, :100], slice(0, 100))
    sums.add(days[:, 100:], slice(100, 366))
    found = sums.complete()
    assert found[0].sum() == 12 * CELLS - 1
    assert found[1, :, 0].tolist() == [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    assert found[:, 1, 2].tolist() == [0] * 4
