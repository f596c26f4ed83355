"""Weather of the demo's NLDAS-2 cells: drawn by day at random, and disaggregated to hours.

A day of the archive is a UTC day, which ends in the local evening: the simulator is driven with the days to which the
hours are reduced, never with the local days from which they were made. A reader that confused the two would be noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np

from model.synthetic.generator import generate_weather
from model.synthetic.weather import Weather
from pipeline.demo.area import CENTRE_LATITUDE, CENTRE_LONGITUDE, Array, Integers, NldasCells
from pipeline.demo.hours import UTC_MINUS_LOCAL, Hourly, disaggregate

REALISATIONS = 40
"""Number of realisations of every year, of which one is chosen."""
DROUGHT_YEAR = 2012
ORDINARY_SUMMER, DROUGHT_SUMMER = (0.0, 0.0), (-1.5, 1.0)
"""Rain and temperature of May to August, in standard deviations from the median."""


def draw_hourly(seed: int, *, cells: NldasCells, years: Sequence[int]) -> Hourly:
    """Return the weather of the cells, row by row from the south-west, with the precision of the product.

    The stamps run from 00 UTC on 1 January of the first year to 06 UTC on the day after the last year, the end of its
    last local day.
    """
    rng = np.random.default_rng(seed)
    # One year more on both sides: a UTC day has hours of two local days, and the diurnal curves need their neighbours.
    site = _chosen_years(rng, years=range(years[0] - 1, years[-1] + 2))
    hourly = disaggregate(rng, daily=_spread(rng, site=site, cells=cells), cells=cells)
    begin, end = (np.datetime64(f"{year}-01-01T00", "h") for year in (years[0], years[-1] + 1))
    return hourly.between(begin, end + UTC_MINUS_LOCAL)


def sites_of(weather: Weather, sites: Integers) -> Weather:
    """Return the weather of the sites, which may be repeated."""
    return _map_sites(lambda values: values[:, sites], weather)


def _chosen_years(rng: np.random.Generator, *, years: Sequence[int]) -> Weather:
    """Daily weather at the centre of the area (days, 1), composed of years of many realisations.

    For every year the realisation is chosen whose summer is closest to the drought, or to an ordinary summer.
    """
    drawn = _realisations(rng, years=years)
    chosen = np.empty(drawn.dates.size, dtype=np.int64)
    for year in years:
        of_year = drawn.calendar_year == year
        summer = of_year & (drawn.day_of_year > 120) & (drawn.day_of_year <= 243)
        target = DROUGHT_SUMMER if year == DROUGHT_YEAR else ORDINARY_SUMMER
        rain, temperature = _anomaly(drawn.precn[summer]), _anomaly(drawn.tmean_air[summer])
        chosen[of_year] = np.argmin(np.hypot(rain - target[0], temperature - target[1]))
    return _map_sites(lambda values: np.take_along_axis(values, chosen[:, None], axis=1), drawn)


def _realisations(rng: np.random.Generator, *, years: Sequence[int]) -> Weather:
    """Weather at the centre of the area (days, REALISATIONS), each drawn alone: sites of one draw share wet years."""
    place = {"latitude": np.array([CENTRE_LATITUDE]), "longitude": np.array([CENTRE_LONGITUDE])}
    seeds = rng.integers(0, 2**31, REALISATIONS)
    return _map_sites(
        lambda *one: np.hstack(one), *(generate_weather(int(seed), **place, years=years) for seed in seeds)
    )


def _map_sites(function: Callable[..., Array], *weather: Weather) -> Weather:
    """Weather with a function, which keeps the days, applied to every variable."""
    _, *variables = (field.name for field in fields(Weather))
    return Weather(weather[0].dates, *(function(*(getattr(each, name) for each in weather)) for name in variables))


def _anomaly(daily: Array) -> Array:
    """Standardised deviation of the mean of each realisation from their median (realisations,)."""
    means = daily.mean(axis=0)
    return np.asarray((means - np.median(means)) / means.std())


def _spread(rng: np.random.Generator, *, site: Weather, cells: NldasCells) -> Weather:
    """Daily weather of the cells: that of the site with random gradients of each day, and warmer to the south."""
    north, east = cells.latitude - CENTRE_LATITUDE, cells.longitude - CENTRE_LONGITUDE

    def tilt(per_degree: float) -> Array:
        return per_degree * rng.standard_normal((site.dates.size, 2)) @ np.stack([north, east])

    humidity = np.exp(tilt(0.05))
    return Weather(
        dates=site.dates,
        radn=site.radn * np.exp(tilt(0.03)),
        tmax_air=site.tmax_air - 0.95 * north + tilt(0.8),
        tdif_air=site.tdif_air * np.exp(tilt(0.05)),
        hmax_air=site.hmax_air * humidity,
        hdif_air=site.hdif_air * humidity,
        wind=site.wind * np.exp(tilt(0.1)),
        precn=site.precn * np.exp(tilt(0.4)),
    )
