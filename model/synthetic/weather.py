"""Daily weather at sites: the record that the simulator reads, in the units of the network's climate features.

Shape legend: T days, S sites, Y years.

References
----------
Allen, R. G. et al. (1998). Crop evapotranspiration. FAO Irrigation and Drainage Paper 56 (FAO-56).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Dates = NDArray[np.datetime64]


class SyntheticInputError(ValueError):
    """Weather, soils or management that the simulator cannot use."""


@dataclass(frozen=True)
class Weather:
    """Daily weather of T days at S sites.

    Attributes
    ----------
    dates : (T,) datetime64[D], every day of complete calendar years.
    radn : (T, S) short-wave radiation, MJ m-2 d-1.
    tmax_air, tdif_air : (T, S) highest air temperature and its daily range, degC.
    hmax_air, hdif_air : (T, S) highest vapour pressure and its daily range, kPa.
    wind : (T, S) wind run, km d-1.
    precn : (T, S) precipitation, mm d-1.
    """

    dates: Dates
    radn: Array
    tmax_air: Array
    tdif_air: Array
    hmax_air: Array
    hdif_air: Array
    wind: Array
    precn: Array

    def __post_init__(self) -> None:
        if not self.dates.size or not np.array_equal(self.dates, calendar_days(self.years)):
            raise SyntheticInputError(
                f"the {self.dates.size} dates of the weather are not every day of calendar years; give complete years"
            )
        shape = (len(self.dates), self.sites)
        for name, values in self._variables().items():
            if values.shape != shape:
                raise SyntheticInputError(f"weather {name} has shape {values.shape}, not (days, sites) = {shape}")
            if not np.isfinite(values).all():
                raise SyntheticInputError(
                    f"weather {name} has missing values; the simulator needs every day, fill the gaps first"
                )

    def _variables(self) -> dict[str, Array]:
        return {field.name: getattr(self, field.name) for field in fields(self)[1:]}

    @property
    def sites(self) -> int:
        """Number of sites, S."""
        return int(self.radn.shape[-1])

    @property
    def years(self) -> Integers:
        """(Y,) calendar years, ascending."""
        return np.unique(self.calendar_year)

    @property
    def calendar_year(self) -> Integers:
        """(T,) calendar year of each day."""
        return self.dates.astype("datetime64[Y]").astype(np.int64) + 1970

    @property
    def day_of_year(self) -> Integers:
        """(T,) day of year of each day, from 1."""
        return days_of_year(self.dates)

    @property
    def tmean_air(self) -> Array:
        """(T, S) mean of the highest and lowest air temperature, degC."""
        return self.tmax_air - self.tdif_air / 2

    @property
    def vapour_pressure_deficit(self) -> Array:
        """(T, S) mean vapour pressure deficit, kPa, never negative (FAO-56, equations 12 and 17)."""
        # The mean of both extremes, not the value at the mean temperature: the curve is convex (FAO-56).
        saturation = (saturation_pressure(self.tmax_air) + saturation_pressure(self.tmax_air - self.tdif_air)) / 2
        return np.maximum(saturation - (self.hmax_air - self.hdif_air / 2), 0.0)

    def features(self) -> Array:
        """Return the seven climate features in the network's order, (T, S, 7)."""
        return np.stack(list(self._variables().values()), axis=-1)


def calendar_days(years: Integers | Sequence[int]) -> Dates:
    """Return every day from 1 January of the first to 31 December of the last year, (T,) datetime64[D].

    >>> calendar_days([2003, 2004]).size
    731
    """
    # NumPy counts years from 1970.
    first, last = np.array([years[0], years[-1] + 1], dtype=np.int64) - 1970
    return np.arange(first.astype("datetime64[Y]"), last.astype("datetime64[Y]"), dtype="datetime64[D]")


def days_of_year(dates: Dates) -> Integers:
    """Return the day of year of each date, from 1.

    >>> days_of_year(np.array(["2004-01-01", "2004-12-31"], dtype="datetime64[D]")).tolist()
    [1, 366]
    """
    elapsed: Integers = (dates - dates.astype("datetime64[Y]")).astype(np.int64)
    return elapsed + 1


def saturation_pressure(temperature: Array) -> Array:
    """Return the saturation vapour pressure over water, kPa, at a temperature in degC (FAO-56, equation 11).

    >>> saturation_pressure(np.array([0.0, 20.0, 30.0])).round(3).tolist()
    [0.611, 2.338, 4.243]
    """
    return 0.6108 * np.exp(17.27 * temperature / (temperature + 237.3))
