"""Hourly weather of the demo's NLDAS-2 cells, and the daily weather to which it reduces.

Daily weather of the project's stochastic generator is cut into hours of local standard time, which are stamped in UTC.
A day of the archive is a UTC day and ends in the local evening: the simulator is therefore driven with the reduced
hours, never with the daily weather from which they were made.

References
----------
Brutsaert, W. (1975). Water Resources Research 11, 742-744. doi:10.1029/WR011i005p00742 (clear-sky emissivity).
Priestley, C. H. B. & Taylor, R. J. (1972). Monthly Weather Review 100, 81-92 (potential evaporation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.signal import lfilter

from model.synthetic.generator import generate_weather
from model.synthetic.weather import Weather, saturation_pressure
from pipeline.demo.area import CENTRE_LATITUDE, CENTRE_LONGITUDE, Array, NldasCells

UTC_MINUS_LOCAL_H = 6
"""Central Standard Time lags UTC by six hours."""
COOLEST_HOUR, WARMEST_HOUR = 5, 15
"""Local hours of the day's lowest and highest temperature and vapour pressure."""
REALISATIONS = 40
"""Realisations of every year, of which one is chosen."""
DROUGHT_YEAR = 2012
ORDINARY_SUMMER, DROUGHT_SUMMER = (0.0, 0.0), (-1.5, 1.0)
"""Rain and warmth of May to August, in standard deviations from the median."""
KELVIN = 273.15
MOLAR_MASS_RATIO = 0.622
"""Water to dry air."""
STEFAN_BOLTZMANN = 5.670374e-8
MEAN_PRESSURE_PA = 99_100.0
PACKING_STEP = {
    "Tair": 0.01,
    "Qair": 4e-7,
    "PSurf": 0.64,
    "Wind_E": 0.01,
    "Wind_N": 0.01,
    "LWdown": 0.01,
    "CRainf_frac": 1e-4,
    "CAPE": 0.064,
    "PotEvap": 1e-4,
    "Rainf": 8e-4,
    "SWdown": 0.016,
}
"""Step [unit of the variable] of the GRIB packing behind NLDAS-2, by netCDF name and in the order of `Hourly`."""


@dataclass(frozen=True)
class Hourly:
    """Hourly weather of C cells at N stamps, each (N, C), in the units of NLDAS-2.

    Attributes
    ----------
    stamps : (N,) datetime64[h], UTC.
    tair : K.
    qair : specific humidity, kg kg-1.
    psurf : Pa.
    wind_e, wind_n : m s-1.
    lwdown, swdown : W m-2.
    crainf_frac : convective share of the rain of the hour that ends at the stamp.
    cape : J kg-1.
    potevap, rainf : kg m-2 in the hour that ends at the stamp.
    """

    stamps: NDArray[np.datetime64]
    tair: Array
    qair: Array
    psurf: Array
    wind_e: Array
    wind_n: Array
    lwdown: Array
    crainf_frac: Array
    cape: Array
    potevap: Array
    rainf: Array
    swdown: Array

    def variables(self) -> dict[str, Array]:
        """Return the fields by netCDF name, in the order of the product."""
        return dict(zip(PACKING_STEP, (getattr(self, field.name) for field in fields(self)[1:]), strict=True))

    def at(self, chosen: slice | NDArray[np.bool_]) -> Hourly:
        """Return the chosen stamps."""
        return Hourly(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def between(self, first: np.datetime64, last: np.datetime64) -> Hourly:
        """Return the stamps from `first` to `last`, both included."""
        return self.at((self.stamps >= first) & (self.stamps <= last))


def draw_hourly(seed: int, *, cells: NldasCells, years: Sequence[int]) -> Hourly:
    """Return the weather of the cells, row by row from the south-west, with the precision of the product.

    The stamps run from 00 UTC on 1 January of the first year to 06 UTC on the day after the last year, the end of its
    last local day.
    """
    rng = np.random.default_rng(seed)
    # A year more on both sides: a UTC day holds hours of two local days, and the curves need neighbours.
    site = _chosen_years(rng, years=range(years[0] - 1, years[-1] + 2))
    hourly = _hourly(rng, daily=_spread(rng, site=site, cells=cells), cells=cells)
    begin, end = (np.datetime64(f"{year}-01-01T00", "h") for year in (years[0], years[-1] + 1))
    return _packed(hourly.between(begin, end + UTC_MINUS_LOCAL_H))


def daily_weather(hourly: Hourly) -> Weather:
    """Return the daily weather of the cells over UTC days of stamps 00 to 23, in the network's units."""
    days = hourly.stamps.size // 24

    def by_day(values: Array) -> Array:
        return values[: days * 24].reshape(days, 24, -1)

    tair = by_day(hourly.tair) - KELVIN
    vapour = by_day(vapour_pressure(hourly.qair, pressure_pa=hourly.psurf))
    return Weather(
        dates=hourly.stamps[: days * 24 : 24].astype("datetime64[D]"),
        radn=by_day(hourly.swdown).mean(axis=1) * 0.0864,
        tmax_air=tair.max(axis=1),
        tdif_air=np.ptp(tair, axis=1),
        hmax_air=vapour.max(axis=1),
        hdif_air=np.ptp(vapour, axis=1),
        wind=by_day(np.hypot(hourly.wind_e, hourly.wind_n)).mean(axis=1) * 86.4,
        precn=by_day(hourly.rainf).sum(axis=1),
    )


def vapour_pressure(specific_humidity: Array, *, pressure_pa: Array) -> Array:
    """Vapour pressure [kPa] from specific humidity [kg kg-1] and air pressure [Pa]."""
    return specific_humidity * pressure_pa / (MOLAR_MASS_RATIO + (1 - MOLAR_MASS_RATIO) * specific_humidity) / 1000


def sites_of(weather: Weather, sites: NDArray[np.int64]) -> Weather:
    """Return the weather of chosen sites, repeated where a site is."""
    return _map_sites(lambda values: values[:, sites], weather)


def _chosen_years(rng: np.random.Generator, *, years: Sequence[int]) -> Weather:
    """Daily weather at the centre of the area, (days, 1), put together from years of many realisations.

    Of every year the realisation is chosen whose summer comes closest to a drought, or to an ordinary one.
    """
    drawn = _realisations(rng, years=years)
    chosen = np.empty(drawn.dates.size, dtype=np.int64)
    for year in years:
        of_year = drawn.calendar_year == year
        summer = of_year & (drawn.day_of_year > 120) & (drawn.day_of_year <= 243)
        wanted = DROUGHT_SUMMER if year == DROUGHT_YEAR else ORDINARY_SUMMER
        rain, warmth = _anomaly(drawn.precn[summer]), _anomaly(drawn.tmean_air[summer])
        chosen[of_year] = np.argmin(np.hypot(rain - wanted[0], warmth - wanted[1]))
    return _map_sites(lambda values: np.take_along_axis(values, chosen[:, None], axis=1), drawn)


def _realisations(rng: np.random.Generator, *, years: Sequence[int]) -> Weather:
    """Weather at the centre of the area, (days, REALISATIONS); the sites of one draw would share wet and dry years."""
    place = {"latitude": np.array([CENTRE_LATITUDE]), "longitude": np.array([CENTRE_LONGITUDE])}
    seeds = rng.integers(0, 2**31, REALISATIONS)
    return _map_sites(
        lambda *one: np.hstack(one), *(generate_weather(int(seed), **place, years=years) for seed in seeds)
    )


def _map_sites(function: Callable[..., Array], *weather: Weather) -> Weather:
    """Apply a function that keeps the days to every variable of the weather."""
    _, *variables = (field.name for field in fields(Weather))
    return Weather(weather[0].dates, *(function(*(getattr(each, name) for each in weather)) for name in variables))


def _anomaly(daily: Array) -> Array:
    """Standardised departure of each realisation's mean from their median, (realisations,)."""
    means = daily.mean(axis=0)
    return np.asarray((means - np.median(means)) / means.std())


def _spread(rng: np.random.Generator, *, site: Weather, cells: NldasCells) -> Weather:
    """Daily weather of the cells: the site's, tilted each day by random gradients, and warmer to the south."""
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


def _hourly(rng: np.random.Generator, *, daily: Weather, cells: NldasCells) -> Hourly:
    """Hours of local standard time, stamped in UTC."""
    local = np.arange(daily.dates[0], daily.dates[-1] + 1, dtype="datetime64[h]")
    stamps = local + UTC_MINUS_LOCAL_H
    temperature = _diurnal_curve(daily.tmax_air - daily.tdif_air, high=daily.tmax_air)
    saturation = saturation_pressure(temperature)
    vapour = np.minimum(_diurnal_curve(daily.hmax_air - daily.hdif_air, high=daily.hmax_air), saturation)
    pressure = _pressure(rng, hours=local.size)
    rain = _rain(rng, daily_mm=daily.precn)
    radiation = _radiation(daily.radn, stamps=stamps, cells=cells)
    wind_e, wind_n = _wind(rng, mean=daily.wind / 86.4)
    cloud = np.repeat(np.where(daily.precn > 0, 0.18, 0.06), 24, axis=0)
    slope = 4098 * saturation / (temperature + 237.3) ** 2
    return Hourly(
        stamps=stamps,
        tair=temperature + KELVIN,
        qair=MOLAR_MASS_RATIO * vapour / (pressure / 1000 - (1 - MOLAR_MASS_RATIO) * vapour),
        psurf=pressure,
        wind_e=wind_e,
        wind_n=wind_n,
        lwdown=1.24 * (10 * vapour / (temperature + KELVIN)) ** (1 / 7) * (1 + cloud) * _black_body(temperature),
        crainf_frac=np.where(rain > 0, np.clip((temperature - 8) / 25, 0, 0.9), 0.0),
        cape=1400 * np.clip(vapour - 1.6, 0, None) * np.clip((temperature - 15) / 15, 0, 1),
        potevap=1.26 * slope / (slope + 0.066) * 0.7 * radiation * 3600 / 2.45e6,
        rainf=rain,
        swdown=radiation,
    )


def _black_body(temperature: Array) -> Array:
    return STEFAN_BOLTZMANN * (temperature + KELVIN) ** 4


def _diurnal_curve(low: Array, *, high: Array) -> Array:
    """Hourly values (24 days, C) that rise from each day's low to its high and fall to the next low, both (days, C)."""
    days = np.arange(len(low))
    knots = np.stack([24 * days + COOLEST_HOUR, 24 * days + WARMEST_HOUR], axis=1).ravel()
    curve = PchipInterpolator(knots, np.stack([low, high], axis=1).reshape(knots.size, -1))
    return np.asarray(curve(np.clip(np.arange(24 * days.size), knots[0], knots[-1])))


def _autoregressive(rng: np.random.Generator, *, steps: int, persistence: float) -> Array:
    """Standard normal numbers (steps,), each correlated with the one before."""
    shocks = rng.standard_normal(steps) * np.sqrt(1 - persistence**2)
    return np.asarray(lfilter([1.0], [1.0, -persistence], shocks))


def _pressure(rng: np.random.Generator, *, hours: int) -> Array:
    """Air pressure [Pa], (hours, 1): highs and lows that pass within a few days."""
    return MEAN_PRESSURE_PA + 600 * _autoregressive(rng, steps=hours, persistence=0.985)[:, None]


def _wind(rng: np.random.Generator, *, mean: Array) -> tuple[Array, Array]:
    """Eastward and northward wind [m s-1], (24 days, C), from the daily mean speed: south-westerly, and veering."""
    hours = 24 * len(mean)
    diurnal = 1 + 0.25 * np.cos(2 * np.pi * (np.arange(hours) - WARMEST_HOUR) / 24)
    gust = np.exp(0.2 * _autoregressive(rng, steps=hours, persistence=0.7) - 0.02)
    speed = np.repeat(mean, 24, axis=0) * (diurnal * gust)[:, None]
    direction = np.radians(45 + 75 * _autoregressive(rng, steps=hours, persistence=0.97))[:, None]
    return speed * np.sin(direction), speed * np.cos(direction)


def _rain(rng: np.random.Generator, *, daily_mm: Array) -> Array:
    """Rain of each hour [mm], (24 days, C): a shower of 1 to 9 hours on every wet day, most often at night."""
    days = len(daily_mm)
    start = np.clip(rng.normal(3, 7, days) % 24, 0, 22).astype(int)[:, None]
    hour, duration = np.arange(24), rng.integers(1, 10, days)[:, None]
    amount = rng.gamma(1.2, 1.0, (days, 24)) * ((hour >= start) & (hour < start + duration))
    share = amount / amount.sum(axis=1, keepdims=True)
    return np.asarray(share[..., None] * daily_mm[:, None, :]).reshape(24 * days, -1)


def _radiation(daily_mj: Array, *, stamps: NDArray[np.datetime64], cells: NldasCells) -> Array:
    """Short-wave radiation at each stamp [W m-2], (24 days, C): the day's sum [MJ m-2] by the sun's elevation."""
    midnight = stamps.astype("datetime64[D]")
    day_of_year = (midnight - stamps.astype("datetime64[Y]")).astype(int)[:, None] + 1
    solar_hour = (stamps - midnight).astype(int)[:, None] + cells.longitude / 15
    declination = 0.409 * np.sin(2 * np.pi * day_of_year / 365 - 1.39)
    phi, angle = np.radians(cells.latitude), np.radians(15 * (solar_hour - 12))
    elevation = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    sine = np.clip(elevation, 0, None).reshape(len(daily_mj), 24, -1)
    share = sine / sine.sum(axis=1, keepdims=True)
    return np.asarray(daily_mj[:, None, :] * 1e6 / 3600 * share).reshape(len(stamps), -1)


def _packed(hourly: Hourly) -> Hourly:
    """Round every field as the GRIB packing does."""
    fields_ = ((np.broadcast_to(v, hourly.tair.shape), PACKING_STEP[name]) for name, v in hourly.variables().items())
    return Hourly(hourly.stamps, *(np.round(values / step) * step for values, step in fields_))
