from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.synthetic.generator import _Normals, generate_weather
from model.synthetic.weather import SyntheticInputError, Weather, saturation_pressure

ILLINOIS_IOWA_INDIANA = {"latitude": np.linspace(38.5, 43, 40), "longitude": np.tile(np.linspace(-95, -85.5, 8), 5)}


@pytest.fixture(scope="module")
def weather() -> Weather:
    return generate_weather(3, **ILLINOIS_IOWA_INDIANA, years=range(2001, 2013))


def test_extraterrestrial_radiation_and_saturation_pressure_equal_the_worked_examples_of_fao_56() -> None:
    third_of_september = _Normals(np.array([-20.0]), np.array([0.0]), np.array([246]))
    assert third_of_september.extraterrestrial_radiation()[0, 0] == pytest.approx(32.2, abs=0.05)  # example 8
    assert saturation_pressure(np.array([24.5, 15.0])) == pytest.approx([3.075, 1.705], abs=5e-4)  # example 3


def test_weather_is_physically_possible(weather: Weather) -> None:
    assert weather.radn.min() > 0
    assert weather.tdif_air.min() > 0
    assert np.all(weather.hmax_air <= saturation_pressure(weather.tmax_air) + 1e-12)
    assert np.all((weather.hdif_air > 0) & (weather.hdif_air < weather.hmax_air))
    assert weather.precn.min() == 0


def test_leap_years_have_366_days() -> None:
    weather = generate_weather(1, **ILLINOIS_IOWA_INDIANA, years=[2003, 2004])
    assert len(weather.dates) == 365 + 366
    assert weather.day_of_year[-1] == 366
    assert weather.years.tolist() == [2003, 2004]


def test_weather_of_half_a_year_is_refused(weather: Weather) -> None:
    with pytest.raises(SyntheticInputError, match="give complete years"):
        replace(weather, dates=weather.dates[:180])


def test_weather_with_a_missing_value_is_refused_by_name(weather: Weather) -> None:
    wind = weather.wind.copy()
    wind[10, 2] = np.nan
    with pytest.raises(SyntheticInputError, match="wind has missing values"):
        replace(weather, wind=wind)
