from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from model.features import CORN
from model.synthetic.generator import generate_weather
from model.synthetic.management import Management, draw_management
from model.synthetic.simulator import Simulation, annual_sum, simulate
from model.synthetic.soils import Soils, draw_soils
from model.synthetic.weather import SyntheticInputError, Weather

SITES, YEARS = 80, range(2003, 2009)
PUBLISHED_ANNUAL_MEANS = {"gpp": 1042.7, "ra": 495.8, "rh": 355.8, "nee": -191.1, "yield": 221.0, "residue": 325.9}


@dataclass(frozen=True)
class Midwest:
    weather: Weather
    soils: Soils
    management: Management
    simulation: Simulation

    @property
    def corn(self) -> NDArray[np.bool_]:
        return self.management.crop == CORN


@pytest.fixture(scope="module")
def midwest() -> Midwest:
    rng = np.random.default_rng(11)
    latitude, longitude = rng.uniform(37.5, 46, SITES), rng.uniform(-99, -82, SITES)
    weather = generate_weather(7, latitude=latitude, longitude=longitude, years=YEARS)
    soils, management = draw_soils(8, sites=SITES), draw_management(9, years=YEARS, sites=SITES)
    return Midwest(weather, soils, management, simulate(weather, soils=soils, management=management))


def test_annual_means_are_those_of_the_published_simulations_within_15_percent(midwest: Midwest) -> None:
    run = midwest.simulation
    means = {name: annual_sum(getattr(run, name), dates=run.dates).mean() for name in ("gpp", "ra", "rh", "nee")}
    means |= {
        "yield": run.yield_.mean(),
        "residue": (annual_sum(run.gpp - run.ra, dates=run.dates) - run.yield_).mean(),
    }
    assert means == pytest.approx(PUBLISHED_ANNUAL_MEANS, rel=0.15)


def test_carbon_changes_by_the_sum_of_the_fluxes_and_the_harvest(midwest: Midwest) -> None:
    run = midwest.simulation
    year_ends = np.cumsum([365, 366, 365, 365, 365, 366]) - 1
    change = np.diff(run.carbon[year_ends], axis=0)
    assert np.abs(change - (-annual_sum(run.nee, dates=run.dates) - run.yield_)[1:]).max() < 1e-6


def test_yield_stays_between_nothing_and_half_of_gpp(midwest: Midwest) -> None:
    share = midwest.simulation.yield_ / annual_sum(midwest.simulation.gpp, dates=midwest.simulation.dates)
    assert share.min() > 0
    assert share.max() < 0.5


def test_typical_corn_and_soybean_have_the_gpp_of_the_region(midwest: Midwest) -> None:
    gpp = annual_sum(midwest.simulation.gpp, dates=midwest.simulation.dates)
    assert 1200 <= np.median(gpp[midwest.corn]) <= 1600
    assert 700 <= np.median(gpp[~midwest.corn]) <= 1050


def test_corn_peaks_in_july_at_15_to_25(midwest: Midwest) -> None:
    run, corn_2003 = midwest.simulation, midwest.corn[0]
    mean_day = run.gpp[:365][:, corn_2003].mean(1)
    smooth = np.convolve(mean_day, np.ones(7) / 7, "same")
    assert 182 <= smooth.argmax() + 1 <= 212
    assert 15 <= smooth.max() <= 25


def test_gpp_and_ra_are_zero_outside_the_season_and_rh_never_stops(midwest: Midwest) -> None:
    run, day = midwest.simulation, midwest.weather.day_of_year
    winter = (day < 105) | (day > 325)
    assert run.gpp[winter].max() == 0
    assert run.ra[winter].max() == 0
    assert run.rh.min() > 0


def test_flux_signs_and_leap_years(midwest: Midwest) -> None:
    run = midwest.simulation
    assert run.gpp.shape == (6 * 365 + 2, SITES)
    assert min(run.gpp.min(), run.ra.min()) >= 0
    assert run.yield_.shape == (6, SITES)


def test_a_site_alone_equals_the_same_site_among_others(midwest: Midwest) -> None:
    one = slice(3, 4)
    weather, soils, management = midwest.weather, midwest.soils, midwest.management
    climate = {name: getattr(weather, name)[:, one] for name in weather.__dataclass_fields__ if name != "dates"}
    alone = simulate(
        Weather(weather.dates, **climate),
        soils=Soils(*soils.features()[:, one]),
        management=Management(*(getattr(management, name)[:, one] for name in management.__dataclass_fields__)),
    )
    assert alone.nee == pytest.approx(midwest.simulation.nee[:, one], abs=1e-12)


def test_corn_stubble_feeds_the_respiration_of_the_next_spring(midwest: Midwest) -> None:
    corn_before = midwest.corn[1]
    assert min(corn_before.sum(), (~corn_before).sum()) > SITES / 4
    spring = midwest.simulation.rh[365 + 366 : 365 + 366 + 115].sum(0)
    assert spring[corn_before].mean() > spring[~corn_before].mean()


def test_given_production_is_taken_for_the_simulated_one(midwest: Midwest) -> None:
    """Half of the sites are given their own production, and repeat themselves but for the spin-up; half none."""
    given = midwest.simulation.gpp * (np.arange(SITES) % 2)
    run = simulate(midwest.weather, soils=midwest.soils, management=midwest.management, gpp=given)
    assert np.array_equal(run.gpp, given)
    assert run.nee[-365:, 1::2] == pytest.approx(midwest.simulation.nee[-365:, 1::2], abs=0.02)
    assert run.ra[:, ::2].max() == run.yield_[:, ::2].max() == 0
    assert run.rh.min() > 0


def test_production_of_other_days_is_refused(midwest: Midwest) -> None:
    with pytest.raises(SyntheticInputError, match="production has the shape"):
        simulate(midwest.weather, soils=midwest.soils, management=midwest.management, gpp=np.zeros((365, SITES)))


def test_negative_production_is_refused(midwest: Midwest) -> None:
    gpp = np.where(midwest.simulation.gpp > 25, -0.4, midwest.simulation.gpp)
    with pytest.raises(SyntheticInputError, match=r"production of -0\.4 .* is negative"):
        simulate(midwest.weather, soils=midwest.soils, management=midwest.management, gpp=gpp)


def test_the_carbon_of_every_day_balances(midwest: Midwest) -> None:
    """Between harvests the carbon of plants, litter and soil changes by minus NEE, day by day."""
    run, weather = midwest.simulation, midwest.weather
    harvested = midwest.management.harvest[weather.calendar_year - 2003] == weather.day_of_year[:, None]
    residual = np.diff(run.carbon, axis=0) + run.nee[1:]
    assert np.abs(residual[~harvested[1:]]).max() < 1e-6
    assert residual[harvested[1:]].max() < 0


def test_management_of_other_years_is_refused(midwest: Midwest) -> None:
    with pytest.raises(SyntheticInputError, match="management has the shape"):
        simulate(midwest.weather, soils=midwest.soils, management=draw_management(1, years=[2001], sites=SITES))


def test_soils_of_other_sites_are_refused(midwest: Midwest) -> None:
    with pytest.raises(SyntheticInputError, match="soils have the shape"):
        simulate(midwest.weather, soils=draw_soils(1, sites=2), management=midwest.management)


@dataclass(frozen=True)
class Years:
    """Annual carbon of drawn sites over 18 years, each (Y, S), g C m-2."""

    soils: Soils
    corn: NDArray[np.bool_]
    gpp: NDArray[np.float64]
    yield_: NDArray[np.float64]
    dsoc: NDArray[np.float64]


@pytest.fixture(scope="module")
def long_run() -> Years:
    rng, years = np.random.default_rng(3), range(2001, 2019)
    latitude, longitude = rng.uniform(37.5, 46, 150), rng.uniform(-99, -82, 150)
    weather = generate_weather(3, latitude=latitude, longitude=longitude, years=years)
    soils, management = draw_soils(4, sites=150), draw_management(5, years=years, sites=150)
    run = simulate(weather, soils=soils, management=management)
    gpp, nee = (annual_sum(flux, dates=run.dates) for flux in (run.gpp, run.nee))
    return Years(soils, management.crop == CORN, gpp, run.yield_, -nee - run.yield_)


@pytest.mark.slow
def test_soil_carbon_changes_alike_in_sand_and_silt(long_run: Years) -> None:
    """Per 100 g kg-1 of sand by less than 5 g C m-2 yr-1; 25 with a ramp over water-filled pores."""
    slope = np.polyfit(long_run.soils.sand / 100, long_run.dsoc.mean(0), 1)[0]
    assert abs(slope) < 5


@pytest.mark.slow
def test_the_pools_are_in_balance_at_the_start(long_run: Years) -> None:
    """What is left of a trend comes from better cultivars; published residue less Rh is -30 g C m-2 yr-1."""
    first, last = long_run.dsoc[:6].mean(), long_run.dsoc[-6:].mean()
    assert -45 < first < 0
    assert abs(last - first) < 30


@pytest.mark.slow
def test_production_reaches_that_of_satellites_and_grain_is_its_share_on_real_fields(long_run: Years) -> None:
    """SLOPE reaches 2050 (corn) and 1450 (soybean); grain is 0.23 to 0.26 and 0.12 of it in Illinois (NASS)."""
    corn, soybean = long_run.corn, ~long_run.corn
    assert np.percentile(long_run.gpp[corn], 99) > 2050
    assert np.percentile(long_run.gpp[soybean], 99) > 1450
    for crop, low, high, share in ((corn, 1550, 1750, 0.243), (soybean, 1100, 1250, 0.122)):
        fertile = crop & (long_run.gpp > low) & (long_run.gpp < high)
        assert fertile.sum() > 30
        assert (long_run.yield_[fertile] / long_run.gpp[fertile]).mean() == pytest.approx(share, rel=0.05)
