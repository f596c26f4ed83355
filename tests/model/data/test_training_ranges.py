"""Training ranges of simulated sites, against NumPy's quantiles and least squares and against counting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.data.records import DataSetError, SiteSequences
from model.data.sites import simulate_sites
from model.data.training_ranges import training_ranges
from model.features import CLIMATE, CORN, CROP_TYPE, FEATURE_NAMES, GPP, SOIL, SOYBEAN, YEAR

DENSITY, CARBON = FEATURE_NAMES.index("TBKDS"), FEATURE_NAMES.index("TSOC")


@pytest.fixture(scope="module")
def sites() -> SiteSequences:
    return simulate_sites(11, sites=40, years=np.arange(2003, 2007))


def first_years(sites: SiteSequences, years: int) -> SiteSequences:
    arrays = {name: getattr(sites, name)[:, :years] for name in ("x_NYTF", "fluxes_NYT3", "yield_NY")}
    return replace(sites, **arrays, years=sites.years[:years])


def test_ranges_are_quantiles_of_days_and_extremes_of_few_soils(sites: SiteSequences) -> None:
    inputs = training_ranges(sites).inputs
    for i in (*range(CLIMATE.stop), GPP):
        days = sites.x_NYTF[..., i]
        expected = np.quantile(days, 0.001, method="lower"), np.quantile(days, 0.999, method="higher")
        assert inputs[i] == expected
        assert np.mean((days < expected[0]) | (days > expected[1])) <= 0.002
    for i in range(SOIL.start, SOIL.stop):
        soils = sites.x_NYTF[:, 0, 0, i]
        assert inputs[i] == (soils.min(), soils.max())
    assert inputs[YEAR] == (2003, 2006)
    assert inputs[CROP_TYPE] == (CORN, SOYBEAN)


def test_a_few_odd_soils_do_not_widen_the_ranges_of_many(sites: SiteSequences) -> None:
    many = first_years(sites.at(np.arange(3000) % len(sites)), 1)
    many.x_NYTF[:2, ..., CARBON] = 400.0
    assert training_ranges(many).inputs[CARBON] == training_ranges(sites).inputs[CARBON]


def test_annual_gpp_has_a_range_for_each_crop(sites: SiteSequences) -> None:
    joint = training_ranges(sites).joint
    assert joint
    gpp_NY = sites.x_NYTF[..., GPP].astype(float).sum(-1)
    for crop in (CORN, SOYBEAN):
        sums = gpp_NY[sites.crop_NY == crop]
        assert joint.annual_gpp[crop] == pytest.approx((sums.min(), sums.max()))
    assert joint.annual_gpp[SOYBEAN].high < joint.annual_gpp[CORN].high


def test_bulk_density_has_the_residuals_of_a_line_over_organic_carbon(sites: SiteSequences) -> None:
    joint = training_ranges(sites).joint
    assert joint
    density, carbon = sites.x_NYTF[:, 0, 0, DENSITY].astype(float), sites.x_NYTF[:, 0, 0, CARBON].astype(float)
    slope, intercept = np.polyfit(carbon, density, 1)
    line = joint.bulk_density
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept))
    residual = density - intercept - slope * carbon
    assert line.residual == pytest.approx((residual.min(), residual.max()))
    assert not line.excludes(density, carbon=carbon).any()


def test_held_out_site_years_do_not_enter(sites: SiteSequences) -> None:
    training_NY = np.ones(sites.yield_NY.shape, bool)
    training_NY[20:] = False
    training_NY[:20, 3] = False
    half = first_years(sites.at(slice(20)), 3)
    assert training_ranges(sites, training_NY=training_NY) == training_ranges(half)
    assert training_ranges(half) != training_ranges(sites)
    with pytest.raises(DataSetError, match="none of its 160 site-years is trained on"):
        training_ranges(sites, training_NY=np.zeros_like(training_NY))


def test_a_crop_that_is_not_grown_has_no_range_and_one_soil_is_a_level_line(sites: SiteSequences) -> None:
    one = sites.at([0])
    x_NYTF = one.x_NYTF.copy()
    x_NYTF[..., CROP_TYPE] = CORN
    ranges = training_ranges(replace(one, x_NYTF=x_NYTF))
    assert ranges.joint
    assert set(ranges.joint.annual_gpp) == {CORN}
    density = float(x_NYTF[0, 0, 0, DENSITY])
    assert ranges.joint.bulk_density.at(30.0) == pytest.approx((density, density), abs=1e-6)
