"""Simulated counties: their yields, the error of the survey, and the weather of their points."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.counties import SURVEY_CV, CountyDraw, county_means, local_weather, simulate_counties, surveyed
from model.data.records import CountySet, DataSetError
from model.features import CORN, CROP_TYPE, SOYBEAN
from model.synthetic.generator import generate_weather


@pytest.fixture(scope="module")
def counties() -> CountySet:
    return simulate_counties(7, draw=CountyDraw(counties=3, points=4, years=np.arange(2010, 2014)))


def test_simulated_counties_are_marked_as_synthetic(counties: CountySet) -> None:
    assert counties.origin.startswith("synthetic")
    assert counties.points.origin.startswith("synthetic")
    assert counties.fips == ("43001", "43002", "43003")
    assert counties.points.sites[:5] == ("43001",) * 4 + ("43002",)
    assert np.array_equal(counties.corn_PY, counties.points.x_NYTF[:, :, 200, CROP_TYPE] == CORN)
    assert np.array_equal(counties.soybean_PY, ~counties.corn_PY)


def test_a_county_yields_the_mean_of_its_points_within_the_error_of_the_survey(counties: CountySet) -> None:
    ratios = []
    for county in range(3):
        for year in range(4):
            for k, crop in enumerate((CORN, SOYBEAN)):
                grown = (counties.county_P == county) & (counties.points.crop_NY[:, year] == crop)
                observed = counties.observed_CYK[county, year, k]
                if grown.any():
                    ratios.append(observed / counties.points.yield_NY[grown, year].mean())
                else:
                    assert np.isnan(observed)
    assert 12 < len(ratios) <= 24
    assert np.ptp(ratios) > 0.01
    assert np.allclose(ratios, 1, atol=5 * SURVEY_CV)


def test_the_error_of_the_survey_is_unbiased_and_of_its_stated_size(counties: CountySet) -> None:
    exact = county_means(counties.points.yield_NY, counties=counties)
    rng = np.random.default_rng(1)
    drawn = np.stack(
        [
            surveyed(rng, points=counties.points, county_P=counties.county_P, fips=counties.fips).observed_CYK / exact
            for _ in range(400)
        ]
    )
    factors = drawn[np.isfinite(drawn)]
    assert factors.mean() == pytest.approx(1, abs=4 * SURVEY_CV / factors.size**0.5)
    assert factors.std() == pytest.approx(SURVEY_CV, rel=0.05)


def test_points_of_a_county_have_similar_weather_and_counties_differ() -> None:
    years = np.arange(2001, 2003)
    weather = generate_weather(2, latitude=np.array([42.0, 40.0]), longitude=np.array([-93.0, -89.0]), years=years)
    local = local_weather(np.random.default_rng(3), county_weather=weather, county_P=np.repeat([0, 1], 30))
    within = np.corrcoef(local.tmax_air.T)
    assert within[0, 1] > 0.999 > within[0, 30]
    np.testing.assert_array_equal(local.precn > 0, weather.precn[:, np.repeat([0, 1], 30)] > 0)
    np.testing.assert_allclose(local.precn[:, :30].mean(), weather.precn[:, 0].mean(), rtol=0.03)
    assert not np.allclose(local.precn[:, 0], local.precn[:, 1])
    np.testing.assert_array_equal(local.radn[:, 0], local.radn[:, 29])


def test_too_many_counties_for_their_codes_are_refused() -> None:
    with pytest.raises(DataSetError, match="1 to 840"):
        CountyDraw(counties=841, points=1, years=np.arange(2001, 2003))
