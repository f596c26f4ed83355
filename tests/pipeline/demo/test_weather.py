"""Daily weather of the demo."""

from __future__ import annotations

import numpy as np

from model.synthetic.weather import Weather

ATMOSPHERE_MJ_M2_D = 42.0
"""Daily radiation above the atmosphere at 40 N in June."""


def test_daily_weather_is_that_of_central_illinois(daily: Weather) -> None:
    july = (daily.dates >= np.datetime64("2010-07-01")) & (daily.dates < np.datetime64("2010-08-01"))
    assert daily.radn.max() < ATMOSPHERE_MJ_M2_D * 0.82
    assert 5000 < daily.radn.sum(axis=0).mean() < 6000
    assert 28 < daily.tmax_air[july].mean() < 34
    assert 750 < daily.precn.sum(axis=0).mean() < 1250
    assert 260 < daily.wind.mean() < 420
    assert 1.8 < daily.hmax_air[july].mean() < 3.2


def test_neighbouring_cells_share_their_weather_but_not_its_values(daily: Weather) -> None:
    assert np.corrcoef(daily.tmax_air[:, 0], daily.tmax_air[:, -1])[0, 1] > 0.98
    assert ((daily.precn[:, 0] > 0) == (daily.precn[:, -1] > 0)).all()
    assert (daily.tmax_air[:, 0] != daily.tmax_air[:, -1]).any()
