"""The regression of the day's extremes: its derivation from the hours of Mead, its error, its bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.synthetic.weather import saturation_pressure
from pipeline.sources.towers.daily_extremes import (
    COEFFICIENTS,
    RMSE,
    error_note,
    estimate_extremes,
    fit_extremes,
)
from tests.helpers.mead_days import MeadDays, mead_days


@pytest.fixture(scope="module")
def mead(realdata: Path) -> MeadDays:
    return mead_days(realdata)


def _inputs(extremes: pd.DataFrame) -> pd.DataFrame:
    ranges = {"TDIF_AIR": extremes["tmax"] - extremes["tmin"], "HDIF_AIR": extremes["hmax"] - extremes["hmin"]}
    return pd.DataFrame({"TMAX_AIR": extremes["tmax"], "HMAX_AIR": extremes["hmax"], **ranges})[list(RMSE)]


@pytest.mark.realdata
def test_the_coefficients_are_those_of_the_hours_of_mead(mead: MeadDays) -> None:
    fitted = fit_extremes(*mead)
    assert list(fitted) == list(COEFFICIENTS)
    for name, row in fitted.items():
        np.testing.assert_allclose(COEFFICIENTS[name], row, rtol=1e-4, atol=1e-8, err_msg=name)


@pytest.mark.realdata
def test_the_error_in_the_notes_is_that_of_years_left_out(mead: MeadDays) -> None:
    errors = []
    years = pd.DatetimeIndex(mead.means.index).year
    for year in range(2001, 2007):
        others = years != year
        coefficients = fit_extremes(mead.means[others], mead.extremes[others])
        errors.append((estimate_extremes(mead.means, coefficients) - _inputs(mead.extremes))[~others])
    together = pd.concat(errors)
    rmse = np.sqrt((together**2).mean())
    np.testing.assert_allclose(rmse, pd.Series(RMSE)[rmse.index], rtol=0.01)
    assert (together.mean().abs() < 0.02 * rmse).all()
    for name, error in RMSE.items():
        assert f"{error:g}" in error_note()
        # Far better than the mean alone.
        assert rmse[name] < 0.8 * _inputs(mead.extremes)[name].std()


def _means(days: int, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    temperature = rng.uniform(-30, 40, days)
    potential = rng.uniform(12, 43, days)
    return pd.DataFrame(
        {
            "temperature_degc": temperature,
            "vpd_kpa": rng.uniform(0, 1, days) * saturation_pressure(temperature),
            "radiation_mj_m2_d": rng.uniform(0.02, 0.8, days) * potential,
            "potential_mj_m2_d": potential,
        },
        pd.date_range("2003-01-01", periods=days),
    )


def test_extremes_enclose_the_means_and_vapour_pressure_is_not_negative() -> None:
    means = _means(2000)
    found = estimate_extremes(means)
    assert (found["TMAX_AIR"] >= means["temperature_degc"]).all()
    assert (found["TMAX_AIR"] - found["TDIF_AIR"] <= means["temperature_degc"]).all()
    assert (found["HMAX_AIR"] >= found["HDIF_AIR"]).all()
    assert (found["HDIF_AIR"] >= 0).all()


def test_a_missing_mean_makes_its_own_day_missing_and_no_other() -> None:
    means = _means(9)
    means.iloc[4, 0] = np.nan
    means.iloc[7, 2] = np.nan
    assert list(np.flatnonzero(estimate_extremes(means).isna().any(axis=1))) == [4, 7]
