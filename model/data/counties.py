"""Simulated counties: points with similar weather and soils of their own, and the yields that a survey would report.

They replace county yields paired with satellite GPP, which no open archive offers together. Real yields are never
paired with simulated GPP: that would teach the network that yield does not depend on its inputs.

Shape legend: C counties, P points, Y years, K 2 crops (corn, soybean).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.data.records import CROPS, Booleans, CountySet, DataSetError, Floats, Integers, SiteSequences
from model.data.sites import LATITUDE, LONGITUDE, SYNTHETIC, Field, simulated
from model.features import CORN, SOYBEAN
from model.synthetic.generator import generate_weather
from model.synthetic.management import draw_management
from model.synthetic.simulator import simulate
from model.synthetic.soils import draw_soils
from model.synthetic.weather import Weather

SURVEY_CV = 0.04
"""Median coefficient of variation that NASS states for county yields of corn, 2018-2021 (3,140 counties and years)."""
LOCAL_RAIN_SPREAD = 0.3
"""Standard deviation of the logarithm of a wet day's rain between the points of a county: showers are small."""
LOCAL_TEMPERATURE_SPREAD = 0.3
"""Standard deviation of mean temperature between the points of a county, degC."""
COUNTY_MANAGEMENT_SPREAD = 0.15
"""Standard deviation of the logarithm of light-use efficiency between counties, beyond that between fields. It shows in
GPP, an input of the network. Without it, county means of corn spread only a fifth as widely as those of NASS."""
UNASSIGNED_STATE = "43"
"""State code that no state has, so that these counties cannot be mistaken for real ones."""
_MOST_COUNTIES = 840  # the highest county code in use


@dataclass(frozen=True)
class CountyDraw:
    """Number of simulated counties, number of points in each, and years."""

    counties: int
    points: int
    years: Integers

    def __post_init__(self) -> None:
        if not 1 <= self.counties <= _MOST_COUNTIES or self.points < 1:
            raise DataSetError(
                f"{self.counties} counties of {self.points} points; draw 1 to {_MOST_COUNTIES}, of at least 1 point"
            )


def simulate_counties(seed: int, *, draw: CountyDraw) -> CountySet:
    """Return simulated counties; the observed yield of a crop is the mean over its points times the survey's error.

    The error is lognormal with mean 1 and a coefficient of variation of `SURVEY_CV`, independent from year to year. A
    crop that no point grows, or that failed on all of them, has no observation, as in the survey.
    """
    # Seeds of management and soils are offset from that of the weather, so that the three are independent.
    rng, total = np.random.default_rng(seed), draw.counties * draw.points
    county_P = np.repeat(np.arange(draw.counties), draw.points)
    weather = local_weather(rng, county_weather=_county_weather(seed, draw=draw), county_P=county_P)
    management = draw_management(seed + 2, years=draw.years, sites=total)
    # Drawn after the local weather from the same generator: the order of draws is part of the result.
    county_factor = np.exp(rng.normal(0, COUNTY_MANAGEMENT_SPREAD, draw.counties))
    management = replace(management, management_factor=management.management_factor * county_factor[county_P])
    field = Field(weather, draw_soils(seed + 1, sites=total), management)
    simulation = simulate(weather, soils=field.soils, management=management)
    fips = tuple(f"{UNASSIGNED_STATE}{county + 1:03d}" for county in range(draw.counties))
    points = simulated(simulation, field=field, sites=tuple(fips[county] for county in county_P))
    return surveyed(rng, points=points, county_P=county_P, fips=fips)


def _county_weather(seed: int, *, draw: CountyDraw) -> Weather:
    rng = np.random.default_rng(seed + 3)
    latitude, longitude = rng.uniform(*LATITUDE, draw.counties), rng.uniform(*LONGITUDE, draw.counties)
    return generate_weather(seed, latitude=latitude, longitude=longitude, years=draw.years)


def local_weather(rng: np.random.Generator, *, county_weather: Weather, county_P: NDArray[np.int64]) -> Weather:
    """Return the weather of points: that of their county, slightly warmer or colder, with showers of their own."""
    repeated = {
        name: getattr(county_weather, name)[:, county_P]
        for name in ("radn", "tmax_air", "tdif_air", "hmax_air", "hdif_air", "wind", "precn")
    }
    # Factors of mean 1, day by day: points differ in showers and not in climate, and dry days stay dry.
    shower = np.exp(LOCAL_RAIN_SPREAD * rng.standard_normal(repeated["precn"].shape) - LOCAL_RAIN_SPREAD**2 / 2)
    repeated["tmax_air"] = repeated["tmax_air"] + rng.normal(0, LOCAL_TEMPERATURE_SPREAD, len(county_P))
    return Weather(county_weather.dates, **repeated | {"precn": repeated["precn"] * shower})


def surveyed(
    rng: np.random.Generator, *, points: SiteSequences, county_P: Integers, fips: tuple[str, ...]
) -> CountySet:
    """Return a county set whose observations are the points' mean yields with the survey's error."""
    corn_PY, soybean_PY = points.crop_NY == CORN, points.crop_NY == SOYBEAN
    exact = CountySet(
        points=points,
        county_P=county_P,
        corn_PY=corn_PY,
        soybean_PY=soybean_PY,
        observed_CYK=np.full((len(fips), len(points.years), len(CROPS)), np.nan, np.float32),
        fips=fips,
        origin=f"{SYNTHETIC}; county yields are means over points with a survey error of {SURVEY_CV:.0%}",
    )
    mean_CYK = county_means(points.yield_NY, counties=exact)
    # Lognormal with mean 1: the survey has no bias.
    error = np.exp(rng.normal(-np.log1p(SURVEY_CV**2) / 2, np.sqrt(np.log1p(SURVEY_CV**2)), mean_CYK.shape))
    observed = np.where(mean_CYK > 0, mean_CYK * error, np.nan).astype(np.float32)
    return replace(exact, observed_CYK=observed)


def county_means(values_PY: Floats, *, counties: CountySet) -> NDArray[np.float64]:
    """Return the unweighted mean (C, Y, 2) of annual values over the points of each crop; NaN where none grows it."""
    weight_PYK: Booleans = counties.mask_PYK
    shape = (len(counties), len(counties.years), len(CROPS))
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, counties.county_P, np.where(weight_PYK, values_PY[..., None].astype(np.float64), 0.0))
    np.add.at(count, counties.county_P, weight_PYK)
    mean_CYK: NDArray[np.float64] = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    return mean_CYK
