"""Scores and nulls, checked by hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.site.skill import (
    CYCLE_WINDOW_DAYS,
    SEASONAL_CYCLE,
    SEASONAL_RECO_LESS_GPP,
    compare,
    seasonal_cycle,
    seasonal_nulls,
)

DATES = np.arange("2002-01-01", "2005-01-01", dtype="datetime64[D]")  # 365 + 365 + 366 days
YEARS = DATES.astype("datetime64[Y]").astype(int) + 1970
CORN = np.ones(len(DATES))


def test_the_null_of_a_year_is_the_mean_of_the_other_years() -> None:
    values = np.select([YEARS == 2002, YEARS == 2003], [1.0, 3.0], 5.0)
    cycle = seasonal_cycle(values, dates=DATES, crop=CORN)
    # Not at the turn of the year: day 366 counts as a second day 365 there.
    for year, expected in ((2002, 4.0), (2003, 3.0), (2004, 2.0)):
        np.testing.assert_allclose(cycle[year == YEARS][10:350], expected)


def test_the_null_of_a_year_comes_from_years_of_the_same_crop() -> None:
    values = np.select([YEARS == 2002, YEARS == 2003], [1.0, 3.0], 5.0)
    cycle = seasonal_cycle(values, dates=DATES, crop=np.where(YEARS == 2003, 5, 1))
    for year, expected in ((2002, 5.0), (2003, 3.0), (2004, 1.0)):  # soybean grew once: all other years
        np.testing.assert_allclose(cycle[year == YEARS][10:350], expected)


def test_the_null_of_a_year_never_sees_that_year() -> None:
    values = np.random.default_rng(0).normal(size=len(DATES))
    changed = np.where(YEARS == 2003, 99.0, values)
    before, after = (seasonal_cycle(each, dates=DATES, crop=CORN)[YEARS == 2003] for each in (values, changed))
    np.testing.assert_array_equal(before, after)


def test_the_cycle_is_smoothed_around_the_turn_of_the_year_and_skips_gaps() -> None:
    values = np.where(YEARS == 2002, np.nan, 0.0)
    values[np.datetime64("2003-12-31") == DATES] = CYCLE_WINDOW_DAYS
    values[np.datetime64("2003-06-01") == DATES] = np.nan
    cycle = seasonal_cycle(values, dates=DATES, crop=CORN)
    half = CYCLE_WINDOW_DAYS // 2
    # 2003 and 2004 hold 2 values a day; day 366 of 2004 counts as day 365, so windows that meet it hold one more.
    np.testing.assert_allclose(cycle[:half], CYCLE_WINDOW_DAYS / (2 * CYCLE_WINDOW_DAYS + 1))
    assert np.isfinite(cycle[YEARS == 2002]).all()


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_the_cycle_does_not_depend_on_the_unit_of_the_dates(unit: str) -> None:
    values = np.random.default_rng(1).normal(size=len(DATES))
    expected = seasonal_cycle(values, dates=DATES, crop=CORN)
    found = seasonal_cycle(values, dates=DATES.astype(f"datetime64[{unit}]"), crop=CORN)
    np.testing.assert_array_equal(found, expected)


def test_the_null_models_of_nee_are_its_own_cycle_and_that_of_reco_less_the_days_gpp() -> None:
    reco, nee, gpp = (np.random.default_rng(seed).normal(size=len(DATES)) for seed in range(3))
    nulls = seasonal_nulls(reco, nee, gpp=gpp, dates=DATES, crop=CORN)
    reco_cycle, nee_cycle = (seasonal_cycle(flux, dates=DATES, crop=CORN) for flux in (reco, nee))
    assert list(nulls.reco) == [SEASONAL_CYCLE]
    assert list(nulls.nee) == [SEASONAL_RECO_LESS_GPP, SEASONAL_CYCLE]
    np.testing.assert_array_equal(nulls.reco[SEASONAL_CYCLE], reco_cycle)
    np.testing.assert_array_equal(nulls.nee[SEASONAL_CYCLE], nee_cycle)
    np.testing.assert_array_equal(nulls.nee[SEASONAL_RECO_LESS_GPP], reco_cycle - gpp)


def test_all_models_are_scored_on_the_same_days() -> None:
    observed, network, null = (np.random.default_rng(seed).normal(size=len(DATES)) for seed in range(3))
    observed[:10], network[5:20], null[15:30] = np.nan, np.nan, np.nan
    daily, annual = compare("NEE", observed=observed, network=network, nulls={"null": null}, dates=DATES)
    assert daily.network.count == daily.nulls["null"].count == len(DATES) - 30
    assert annual.network.count == 3
    scored = np.arange(len(DATES)) >= 30
    sums = np.array([(network - observed)[scored & (year == YEARS)].sum() for year in (2002, 2003, 2004)])
    assert annual.network.bias == pytest.approx(sums.mean())


def test_a_year_with_too_few_days_gives_no_annual_sum() -> None:
    observed = np.sin(np.arange(len(DATES)))
    observed[:40] = np.nan
    _, annual = compare("NEE", observed=observed, network=observed, nulls={}, dates=DATES)
    assert annual.network.count == 2


def test_skill_is_measured_against_the_best_null_and_undefined_without_one() -> None:
    observed = np.sin(np.arange(len(DATES)))
    nulls = {"weak": observed + 2, "strong": observed - 1, "empty": np.full(len(DATES), np.nan)}
    daily, _ = compare("NEE", observed=observed, network=observed + 0.5, nulls=nulls, dates=DATES)
    assert daily.best_null == "strong"
    assert daily.skill == pytest.approx(0.75)
    assert "empty" not in daily.nulls
    alone, _ = compare("NEE", observed=observed, network=observed, nulls={}, dates=DATES)
    assert alone.best_null is None
    assert np.isnan(alone.skill)


def test_a_crop_without_a_value_in_other_years_gets_the_cycle_of_all_of_them() -> None:
    dates = np.arange("2001-01-01", "2004-01-01", dtype="datetime64[D]")
    crop, values = np.repeat([1, 5, 5], 365), np.repeat([1.0, 2.0, np.nan], 365)
    cycle = seasonal_cycle(values, dates=dates, crop=crop)
    assert cycle[[0, 365, 730]].tolist() == [2, 1, 2]  # no other soybean is known in the second year
