"""Stochastic weather of the U.S. Midwest: a generator of Richardson's type.

A first-order Markov chain decides wet and dry days. Temperature, radiation, vapour pressure and wind follow their
seasonal cycle, shifted on wet days, plus residuals correlated with each other and from day to day. A growing-season
anomaly, in part common to all sites, makes wet years and droughts. The spread, persistence and correlation of the
residuals and the contrast of wet and dry days are those of the hourly record of Mead, Nebraska, 2001-2006; levels and
gradients are rounded climate normals of the region.

Shape legend: T days, S sites.

References
----------
Richardson, C. W. (1981). Water Resources Research 17, 182-190. doi:10.1029/WR017i001p00182
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from model.synthetic.weather import (
    Array,
    Dates,
    Integers,
    SyntheticInputError,
    Weather,
    calendar_days,
    days_of_year,
    saturation_pressure,
)

WET_DAY_MM = 0.254
"""Least precipitation of a wet day (0.01 inch), mm."""
WET_PERSISTENCE, AMOUNT_SHAPE = 0.22, 0.65
"""Chance of rain after a wet day less that after a dry day, and the shape of the gamma distribution of amounts: Mead
2001-2006 has 0.41 - 0.18 = 0.23 and 0.59; the published spread of daily precipitation is between."""
WETNESS_TO_DAYS, WETNESS_TO_AMOUNT, WETNESS_TO_COOLING = 0.10, 0.14, 0.8
"""Effect of a standard deviation of a summer's wetness on the logarithms of rainy days and of amounts, and in degC:
June to August of the region then vary by a sixth, and hot summers are dry ones (as 1988, 2002 and 2012 were)."""
SHARED_VARIANCE = 0.6
"""Share of the variance of the growing-season anomaly that all sites have in common."""
DROUGHT_PROBABILITY, DROUGHT_ANOMALY = 0.06, -2.6
"""Probability of a drought year, and its common anomaly in standard deviations."""

HIGHEST_DEW_POINT = 27.0
"""Highest dew point of summer air in the region, degC."""
STRONGEST_WIND = 1200.0
"""Wind run of the windiest day, km d-1."""

RESIDUALS = ("temperature", "range", "clearness", "humidity", "wind")
PERSISTENCE = np.array([0.61, 0.27, 0.24, 0.34, 0.30])
CORRELATION = np.array(
    [
        [1.00, 0.55, 0.30, -0.15, 0.05],
        [0.55, 1.00, 0.52, 0.40, -0.14],
        [0.30, 0.52, 1.00, 0.10, -0.13],
        [-0.15, 0.40, 0.10, 1.00, -0.15],
        [0.05, -0.14, -0.13, -0.15, 1.00],
    ]
)
"""Lag-one autocorrelation and mutual correlation of the residuals, in the order of RESIDUALS."""


def generate_weather(seed: int, *, latitude: Array, longitude: Array, years: Integers | Sequence[int]) -> Weather:
    """Return the weather of complete calendar years at S sites; equal arguments give equal weather.

    Parameters
    ----------
    seed
        Seed of the random numbers.
    latitude, longitude : (S,)
        Degrees north and degrees east (negative in America), meant for 36 to 49 N and 104 to 80 W.
    years
        Consecutive calendar years.

    Raises
    ------
    SyntheticInputError
        If the years are not consecutive.
    """
    if len(years) == 0 or np.any(np.diff(years) != 1):
        raise SyntheticInputError(f"years {list(years)} are not consecutive; give first to last without a gap")
    dates = calendar_days(years)
    normals = _Normals(np.asarray(latitude, dtype=float), np.asarray(longitude, dtype=float), days_of_year(dates))
    return _draw(np.random.default_rng(seed), normals=normals, dates=dates)


@dataclass(frozen=True)
class _Normals:
    """Climate normals of S sites on T days, each (T, S), from latitude, longitude and day of year."""

    latitude: Array
    longitude: Array
    day_of_year: Integers

    @property
    def north(self) -> Array:
        """Degrees north of 41 N."""
        return self.latitude - 41.0

    @property
    def west(self) -> Array:
        """Degrees west of 90 W."""
        return -90.0 - self.longitude

    def season(self, peak: float) -> Array:
        """Return the cosine of the year, (T, 1): 1 on the peak's day of year."""
        season: Array = np.cos(2 * np.pi * (self.day_of_year[:, None] - peak) / 365.25)
        return season

    def daily_precipitation(self) -> Array:
        """Return mean precipitation, mm d-1: drier to the west and north, the summer's share rising to the west."""
        annual = np.clip(1000 - 28 * self.west - 20 * self.north, 350, 1250)
        return annual / 365.25 * (1 + np.clip(0.32 + 0.03 * self.west, 0.1, 0.75) * self.season(168))

    def wet_probability(self) -> Array:
        """Return the share of wet days."""
        return np.clip(0.30 - 0.007 * self.west, 0.15, 0.40) * (1 + 0.2 * self.season(150))

    def tmax(self) -> Array:
        """Return the highest air temperature of a dry day, degC."""
        return 16.8 - 0.95 * self.north + 0.05 * self.west + (14.6 + 0.35 * self.north) * self.season(202)

    def tmax_spread(self) -> Array:
        """Return the standard deviation of the highest air temperature, degC."""
        return 5.3 + 1.5 * self.season(20)

    def temperature_range(self) -> Array:
        """Return the daily range of air temperature on a dry day, degC."""
        return np.maximum(11.0 + 0.25 * self.west, 8.0) + 0.4 * self.season(200)

    def humidity_offset(self) -> Array:
        """Return the highest dew point of the day minus the lowest temperature of the night, degC."""
        return 3.6 - 0.25 * self.west + 1.6 * self.season(10)

    def wind_run(self) -> Array:
        """Return wind run, km d-1: strongest in March, weakest in August, stronger on the plains."""
        return (360 + 5 * self.west) * (1 + 0.22 * self.season(70))

    def extraterrestrial_radiation(self) -> Array:
        """Return solar radiation above the atmosphere, MJ m-2 d-1 (FAO-56, equations 21 to 25)."""
        phase = 2 * np.pi * self.day_of_year[:, None] / 365
        distance, declination = 1 + 0.033 * np.cos(phase), 0.409 * np.sin(phase - 1.39)
        phi = np.radians(self.latitude)
        sunset = np.arccos(-np.tan(phi) * np.tan(declination))
        geometry = sunset * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(sunset)
        radiation: Array = 24 * 60 / np.pi * 0.0820 * distance * geometry
        return radiation


def _draw(rng: np.random.Generator, *, normals: _Normals, dates: Dates) -> Weather:
    shape = (len(dates), len(normals.latitude))
    anomaly = _growing_season_anomaly(rng, dates=dates, sites=shape[1]) * np.maximum(normals.season(196), 0.0)
    precn = _precipitation(rng, normals=normals, anomaly=anomaly)
    wet, summer = precn > 0, np.maximum(normals.season(196), 0.0)
    z = _residuals(rng, shape=shape)
    tmax = normals.tmax() - 1.2 * wet * summer - WETNESS_TO_COOLING * anomaly + normals.tmax_spread() * z["temperature"]
    tdif = np.clip(normals.temperature_range() * np.where(wet, 0.8, 1.0) * _lognormal(z["range"], 0.36), 0.5, 29.0)
    # The dew point follows the night's lowest temperature; air cannot hold more vapour than at its highest temperature.
    dew_point = tmax - tdif + normals.humidity_offset() + 1.2 * wet * summer + 2.8 * z["humidity"]
    hmax = saturation_pressure(np.minimum(dew_point, np.minimum(tmax, HIGHEST_DEW_POINT)))
    relative_range = (0.31 + 0.06 * normals.season(15)) * _lognormal(rng.standard_normal(shape), 0.38)
    clearness = np.where(wet, 0.42, 0.58) - 0.015 * anomaly + 0.13 * z["clearness"]
    return Weather(
        dates=dates,
        radn=normals.extraterrestrial_radiation() * np.clip(clearness, 0.06, 0.78),
        tmax_air=tmax,
        tdif_air=tdif,
        hmax_air=hmax,
        hdif_air=hmax * np.clip(relative_range, 0.02, 0.8),
        wind=np.minimum(normals.wind_run() * np.where(wet, 1.08, 0.98) * _lognormal(z["wind"], 0.34), STRONGEST_WIND),
        precn=precn,
    )


def _growing_season_anomaly(rng: np.random.Generator, *, dates: Dates, sites: int) -> Array:
    """Return the standardised anomaly of each day's year, (T, S): positive if wet and cool, constant within a year."""
    year: Integers = (dates.astype("datetime64[Y]") - dates[0].astype("datetime64[Y]")).astype(np.int64)
    years = int(year[-1]) + 1
    # Droughts are common to all sites: they replace the regional part of the anomaly.
    common = np.where(rng.random((years, 1)) < DROUGHT_PROBABILITY, DROUGHT_ANOMALY, rng.standard_normal((years, 1)))
    own = rng.standard_normal((years, sites))
    # Weights are roots of variance shares, so that the sum keeps the variance of a standardised anomaly.
    anomaly: Array = np.sqrt(SHARED_VARIANCE) * common + np.sqrt(1 - SHARED_VARIANCE) * own
    daily: Array = anomaly[year]
    return daily


def _precipitation(rng: np.random.Generator, *, normals: _Normals, anomaly: Array) -> Array:
    """Return precipitation, mm d-1: a Markov chain of wet days, gamma amounts."""
    wet_share = normals.wet_probability() * np.exp(WETNESS_TO_DAYS * anomaly)
    amount = normals.daily_precipitation() / normals.wet_probability() * np.exp(WETNESS_TO_AMOUNT * anomaly)
    # With these chances of rain after a dry and after a wet day, `wet_share` is the chain's stationary share.
    chance, wet, state = rng.random(anomaly.shape), np.zeros(anomaly.shape, bool), np.zeros(anomaly.shape[1], bool)
    for day, share in enumerate(wet_share):
        state = chance[day] < share * (1 - WET_PERSISTENCE) + WET_PERSISTENCE * state
        wet[day] = state
    return wet * np.maximum(rng.gamma(AMOUNT_SHAPE, amount / AMOUNT_SHAPE), WET_DAY_MM)


def _residuals(rng: np.random.Generator, *, shape: tuple[int, int]) -> dict[str, Array]:
    """Return standard normal residuals by name, each (T, S): z[t] = A z[t-1] + B e[t], A = diag(PERSISTENCE)."""
    # B Bt = C - A C At keeps the correlation C from day to day (Richardson 1981); for a diagonal A it is the product
    # below. The first day is drawn from C itself, without a run-in.
    noise = rng.standard_normal((*shape, len(RESIDUALS)))
    shocks = noise @ np.linalg.cholesky(CORRELATION * (1 - np.outer(PERSISTENCE, PERSISTENCE))).T
    shocks[0] = noise[0] @ np.linalg.cholesky(CORRELATION).T
    filtered = [lfilter([1.0], [1.0, -rho], shocks[..., i], axis=0) for i, rho in enumerate(PERSISTENCE)]
    return dict(zip(RESIDUALS, filtered, strict=True))


def _lognormal(z: Array, spread: float) -> Array:
    """Return factors of mean 1 from standard normal numbers, with the given standard deviation of the logarithm."""
    return np.exp(spread * z - spread**2 / 2)
