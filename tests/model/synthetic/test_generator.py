"""The weather generator: climate, persistence and correlation, droughts, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.features import CLIMATE, PUBLISHED_FEATURE_SCALERS
from model.synthetic.generator import CORRELATION, PERSISTENCE, _residuals, generate_weather
from model.synthetic.weather import SyntheticInputError, Weather

ILLINOIS_IOWA_INDIANA = {"latitude": np.linspace(38.5, 43, 40), "longitude": np.tile(np.linspace(-95, -85.5, 8), 5)}


@pytest.fixture(scope="module")
def weather() -> Weather:
    return generate_weather(3, **ILLINOIS_IOWA_INDIANA, years=range(2001, 2013))


def test_climate_of_the_three_i_states_has_the_published_means_and_spreads(weather: Weather) -> None:
    values = weather.features().reshape(-1, 7)
    published = np.array(PUBLISHED_FEATURE_SCALERS[CLIMATE])
    assert np.all(np.abs(values.mean(0) - published[:, 0]) < 0.2 * published[:, 1])
    assert values.std(0) == pytest.approx(published[:, 1], rel=0.2)


def test_residuals_have_the_given_persistence_and_correlation() -> None:
    z = np.stack(list(_residuals(np.random.default_rng(0), shape=(4000, 20)).values()))
    lag_one = [np.corrcoef(series[1:].ravel(), series[:-1].ravel())[0, 1] for series in z]
    assert lag_one == pytest.approx(PERSISTENCE, abs=0.02)
    assert np.corrcoef(z.reshape(len(z), -1)) == pytest.approx(CORRELATION, abs=0.02)
    assert z.std(axis=(1, 2)) == pytest.approx(1.0, abs=0.02)


def test_wet_days_are_darker_and_have_a_smaller_temperature_range(weather: Weather) -> None:
    july = weather.dates.astype("datetime64[M]").astype(int) % 12 == 6
    wet = weather.precn[july] > 0
    assert weather.radn[july][wet].mean() < 0.85 * weather.radn[july][~wet].mean()
    assert weather.tdif_air[july][wet].mean() < 0.9 * weather.tdif_air[july][~wet].mean()


def test_the_plains_are_drier_and_the_north_is_colder() -> None:
    corners = {"latitude": np.array([41.0, 41.0, 46.0, 38.0]), "longitude": np.array([-100.0, -84.0, -90.0, -90.0])}
    weather = generate_weather(5, **corners, years=range(2001, 2016))
    rain, warmth = weather.precn.mean(0), weather.tmax_air.mean(0)
    assert rain[0] < 0.8 * rain[1]
    assert warmth[2] < warmth[3] - 5


def test_wet_days_follow_wet_days_as_at_mead(weather: Weather) -> None:
    """Mead, Nebraska, 2001-2006: 0.41 of the days after a wet and 0.18 of those after a dry day are wet."""
    wet = weather.precn > 0
    after_wet, after_dry = (wet[1:][wet[:-1] == before].mean() for before in (True, False))
    assert after_wet - after_dry == pytest.approx(0.23, abs=0.04)
    dry_spells = (~wet[2:] & ~wet[1:-1] & ~wet[:-2]).mean()
    assert dry_spells > 1.05 * (~wet).mean() ** 3


def summers(seeds: range) -> dict[str, NDArray[np.float64]]:
    """Mean of the region's rain, mm, and highest temperature, degC, of June to August: a value for each year."""
    rain, warmth = [], []
    for seed in seeds:
        drawn = generate_weather(seed, **ILLINOIS_IOWA_INDIANA, years=range(2001, 2021))
        summer = (drawn.day_of_year > 151) & (drawn.day_of_year < 244)
        for year in drawn.years:
            days = summer & (drawn.calendar_year == year)
            rain.append(drawn.precn[days].sum(0).mean())
            warmth.append(drawn.tmax_air[days].mean())
    return {"rain": np.array(rain), "warmth": np.array(warmth)}


def test_a_summer_in_a_dozen_or_two_is_a_hot_drought() -> None:
    """Rain of June to August of the Corn Belt varies by a sixth to a fifth; 1988 and 2012 had less than 0.7 of it."""
    drawn = summers(range(4))
    share = drawn["rain"] / drawn["rain"].mean()
    assert 0.13 < share.std() < 0.25
    assert 0.02 < (share < 0.7).mean() < 0.12
    assert drawn["warmth"][share < 0.7].mean() > drawn["warmth"].mean() + 1
    assert np.corrcoef(drawn["rain"], drawn["warmth"])[0, 1] < -0.5


def test_equal_seeds_give_equal_weather_and_others_do_not() -> None:
    one, same, other = (generate_weather(s, **ILLINOIS_IOWA_INDIANA, years=[2004]) for s in (1, 1, 2))
    assert np.array_equal(one.features(), same.features())
    assert not np.array_equal(one.features(), other.features())


def test_years_with_a_gap_are_refused() -> None:
    with pytest.raises(SyntheticInputError, match="not consecutive"):
        generate_weather(1, **ILLINOIS_IOWA_INDIANA, years=[2003, 2005])
