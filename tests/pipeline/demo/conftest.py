"""Weather of one year of the demo, drawn once for all its tests."""

from __future__ import annotations

import pytest

from model.synthetic.weather import Weather
from pipeline.demo.area import nldas_cells
from pipeline.demo.hours import Hourly, daily_weather
from pipeline.demo.weather import draw_hourly

SEED = 3


@pytest.fixture(scope="module")
def hourly() -> Hourly:
    return draw_hourly(SEED, cells=nldas_cells(), years=(2010,))


@pytest.fixture(scope="module")
def daily(hourly: Hourly) -> Weather:
    return daily_weather(hourly)
