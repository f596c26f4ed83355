"""Hourly weather of the demo."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.demo.hours import Hourly


def test_hourly_weather_obeys_physics(hourly: Hourly) -> None:
    celsius = hourly.tair - 273.15
    vapour_pa = hourly.qair * hourly.psurf / (0.622 + 0.378 * hourly.qair)
    assert (vapour_pa <= 611.2 * np.exp(17.67 * celsius / (celsius + 243.5)) * 1.01 + 1).all()
    assert hourly.rainf.min() == 0
    assert hourly.rainf.max() < 100
    assert (hourly.wind_e < -1).any()
    assert (hourly.wind_n > 1).any()
    assert ((hourly.crainf_frac >= 0) & (hourly.crainf_frac <= 1)).all()


def test_the_sun_is_highest_at_18_utc_and_down_at_06_utc(hourly: Hourly) -> None:
    by_hour = np.array([hourly.swdown[hourly.stamps.astype(int) % 24 == hour].mean() for hour in range(24)])
    assert by_hour.argmax() == 18
    assert by_hour[5:10].max() == 0
    daylight = (hourly.swdown > 0).mean(axis=1)[(hourly.stamps.astype("datetime64[D]") == np.datetime64("2010-06-21"))]
    assert daylight.sum() == pytest.approx(15, abs=1.01)
