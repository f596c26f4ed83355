"""Hourly weather of the demo: the record of the granules, disaggregated from daily weather and reduced to days again.

References
----------
Brutsaert, W. (1975). Water Resources Research 11, 742-744. doi:10.1029/WR011i005p00742 (clear-sky emissivity).
Priestley, C. H. B. & Taylor, R. J. (1972). Monthly Weather Review 100, 81-92 (potential evaporation).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.signal import lfilter

from model.synthetic.weather import Weather, saturation_pressure
from pipeline.demo.area import Array, NldasCells

UTC_MINUS_LOCAL = np.timedelta64(6, "h")
"""Central Standard Time is six hours behind UTC."""
COOLEST_HOUR, WARMEST_HOUR, DUSK_HOUR = 5, 14, 20
"""Local hours of the lowest and highest temperature and vapour pressure, and of the end of their fast decline."""
LEFT_AT_DUSK = 0.35
"""Share of the decline to the next minimum that remains at dusk."""
KELVIN = 273.15
MOLAR_MASS_RATIO = 0.622
"""Molar mass of water relative to dry air."""
STEFAN_BOLTZMANN = 5.670374e-8  # W m-2 K-4
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
    tair : air temperature [K].
    qair : specific humidity [kg kg-1].
    psurf : surface pressure [Pa].
    wind_e, wind_n : eastward and northward wind at 10 m [m s-1].
    lwdown, swdown : downward long-wave and short-wave radiation [W m-2].
    crainf_frac : convective share of the rain in the hour that ends at the stamp.
    cape : convective available potential energy [J kg-1].
    potevap, rainf : potential evaporation and rain in the hour that ends at the stamp [kg m-2].
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


def daily_weather(hourly: Hourly) -> Weather:
    """Return the daily weather of the cells over UTC days of stamps 00 to 23, in the network's units.

    This is the reduction that ingest makes by default: the simulated crops grow in the weather that the network sees.
    """
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
    """Return vapour pressure [kPa] from specific humidity [kg kg-1] and air pressure [Pa]."""
    return specific_humidity * pressure_pa / (MOLAR_MASS_RATIO + (1 - MOLAR_MASS_RATIO) * specific_humidity) / 1000


def disaggregate(rng: np.random.Generator, *, daily: Weather, cells: NldasCells) -> Hourly:
    """Return the hours of complete local days, stamped in UTC, with the precision of the product."""
    end = daily.dates[-1] + np.timedelta64(1, "D")
    local: NDArray[np.datetime64] = np.arange(daily.dates[0], end, dtype="datetime64[h]")
    stamps = local + UTC_MINUS_LOCAL
    temperature = _diurnal_curve(daily.tmax_air - daily.tdif_air, high=daily.tmax_air)
    saturation = saturation_pressure(temperature)
    # Two independent curves would exceed saturation at night.
    vapour = np.minimum(_diurnal_curve(daily.hmax_air - daily.hdif_air, high=daily.hmax_air), saturation)
    pressure = _pressure(rng, hours=local.size)
    rain = _rain(rng, daily_mm=daily.precn)
    radiation = _radiation(daily.radn, stamps=stamps, cells=cells)
    wind_e, wind_n = _wind(rng, mean=daily.wind / 86.4)
    cloud = np.repeat(np.where(daily.precn > 0, 0.18, 0.06), 24, axis=0)
    slope = 4098 * saturation / (temperature + 237.3) ** 2
    variables = {
        "Tair": temperature + KELVIN,
        "Qair": MOLAR_MASS_RATIO * vapour / (pressure / 1000 - (1 - MOLAR_MASS_RATIO) * vapour),
        "PSurf": np.broadcast_to(pressure, rain.shape),
        "Wind_E": wind_e,
        "Wind_N": wind_n,
        "LWdown": 1.24 * (10 * vapour / (temperature + KELVIN)) ** (1 / 7) * (1 + cloud) * _black_body(temperature),
        "CRainf_frac": np.where(rain > 0, np.clip((temperature - 8) / 25, 0, 0.9), 0.0),
        "CAPE": 1400 * np.clip(vapour - 1.6, 0, None) * np.clip((temperature - 15) / 15, 0, 1),
        "PotEvap": 1.26 * slope / (slope + 0.066) * 0.7 * radiation * 3600 / 2.45e6,
        "Rainf": rain,
        "SWdown": radiation,
    }
    return Hourly(stamps, *(_packed(variables[name], step=step) for name, step in PACKING_STEP.items()))


def _black_body(temperature: Array) -> Array:
    return STEFAN_BOLTZMANN * (temperature + KELVIN) ** 4


def _diurnal_curve(low: Array, *, high: Array) -> Array:
    """Hourly values (24 days, C) that rise from each day's minimum to its maximum and fall to the next minimum.

    The curve is monotonic between its knots: hourly extremes are those of the day, and daily ranges survive.
    """
    # The last day has no next minimum: its own is repeated; callers cut it off.
    next_low = np.vstack([low[1:], low[-1:]])
    knots = np.add.outer(24 * np.arange(len(low)), (COOLEST_HOUR, WARMEST_HOUR, DUSK_HOUR)).ravel()
    values = np.stack([low, high, next_low + LEFT_AT_DUSK * (high - next_low)], axis=1)
    curve = PchipInterpolator(knots, values.reshape(knots.size, -1))
    return np.asarray(curve(np.clip(np.arange(24 * len(low)), knots[0], knots[-1])))


def _autoregressive(rng: np.random.Generator, *, steps: int, persistence: float) -> Array:
    """Standard normal numbers (steps,), each correlated with the previous one."""
    shocks = rng.standard_normal(steps) * np.sqrt(1 - persistence**2)
    return np.asarray(lfilter([1.0], [1.0, -persistence], shocks))


def _pressure(rng: np.random.Generator, *, hours: int) -> Array:
    """Air pressure [Pa], (hours, 1), with highs and lows of a few days."""
    return MEAN_PRESSURE_PA + 600 * _autoregressive(rng, steps=hours, persistence=0.985)[:, None]


def _wind(rng: np.random.Generator, *, mean: Array) -> tuple[Array, Array]:
    """Eastward and northward wind [m s-1], (24 days, C), from the daily mean speed; south-westerly on average."""
    hours = 24 * len(mean)
    diurnal = 1 + 0.25 * np.cos(2 * np.pi * (np.arange(hours) - WARMEST_HOUR) / 24)
    gust = np.exp(0.2 * _autoregressive(rng, steps=hours, persistence=0.7) - 0.02)
    # The mean of hourly speeds is not the speed of the mean vector: readers must average speeds.
    speed = np.repeat(mean, 24, axis=0) * (diurnal * gust)[:, None]
    direction = np.radians(45 + 75 * _autoregressive(rng, steps=hours, persistence=0.97))[:, None]
    return speed * np.sin(direction), speed * np.cos(direction)


def _rain(rng: np.random.Generator, *, daily_mm: Array) -> Array:
    """Hourly rain [mm], (24 days, C): a shower of 1 to 9 hours on every wet day, usually at night."""
    days = len(daily_mm)
    # One course for all cells: they differ in the daily amount only, as in a passing front.
    start = np.clip(rng.normal(3, 7, days) % 24, 0, 22).astype(int)[:, None]
    hour, duration = np.arange(24), rng.integers(1, 10, days)[:, None]
    amount = rng.gamma(1.2, 1.0, (days, 24)) * ((hour >= start) & (hour < start + duration))
    share = amount / amount.sum(axis=1, keepdims=True)
    return np.asarray(share[..., None] * daily_mm[:, None, :]).reshape(24 * days, -1)


def _radiation(daily_mj: Array, *, stamps: NDArray[np.datetime64], cells: NldasCells) -> Array:
    """Short-wave radiation at each stamp [W m-2], (24 days, C): daily sums [MJ m-2] distributed by solar elevation."""
    midnight = stamps.astype("datetime64[D]")
    day_of_year = (midnight - stamps.astype("datetime64[Y]")).astype(int)[:, None] + 1
    solar_hour = (stamps - midnight).astype(int)[:, None] + cells.longitude / 15
    declination = 0.409 * np.sin(2 * np.pi * day_of_year / 365 - 1.39)
    phi, angle = np.radians(cells.latitude), np.radians(15 * (solar_hour - 12))
    elevation = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    sine = np.clip(elevation, 0, None).reshape(len(daily_mj), 24, -1)
    share = sine / sine.sum(axis=1, keepdims=True)
    return np.asarray(daily_mj[:, None, :] * 1e6 / 3600 * share).reshape(len(stamps), -1)


def _packed(values: Array, *, step: float) -> Array:
    """Values rounded as by the GRIB packing behind the product."""
    return np.asarray(np.round(values / step) * step)
