"""Temperature and water of the soil: a snow pack, two water stores and a damped temperature, day by day.

References
----------
Allen, R. G. et al. (1998). FAO Irrigation and Drainage Paper 56 (FAO-56): reference evapotranspiration, water stress.
Zheng, D., Hunt, E. R. & Running, S. W. (1993). Climate Research 2, 183-191. doi:10.3354/cr002183: soil temperature from
    the air temperature of the days before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.synthetic.soils import DEPTH_M, Soils
from model.synthetic.weather import Array, Weather, saturation_pressure

SUBSOIL_M = 1.4
"""Depth of the roots below the topsoil, m."""
NET_RADIATION_SHARE = 0.6
"""Net radiation over short-wave radiation, mean of the growing season."""
PSYCHROMETRIC = 0.066
"""Psychrometric constant, kPa per degC."""
MULCH = 0.6
"""Evaporation from soil under crop residue, relative to bare soil."""
DAMPING = 0.12
"""Share of the difference to the surface that the soil's temperature makes up in a day."""
SNOW_INSULATION = 0.25
"""Share of air temperature that reaches the soil through snow."""
MELT_MM = 3.0
"""Snow melt per degree above 0 degC, mm d-1."""
DEPLETION_FRACTION = 0.6
"""Share of the available water that a crop takes up without stress (FAO-56, table 22)."""
THIN_SNOW_MM = 5.0
"""Water of a snow pack that insulates, mm."""
CANOPY_COOLING = 2.0
"""Cooling of the soil's surface under a closed canopy, degC."""
DRAINAGE_MM_H = 4.0
"""Conductivity at which two thirds of the water above field capacity drain in a day, mm h-1."""


class SoilClimate(NamedTuple):
    """Snow and water in mm, temperature of 0 to 30 cm in degC, each (S,)."""

    snow: Array
    topsoil: Array
    subsoil: Array
    temperature: Array


class WaterDay(NamedTuple):
    """What the soil's water and temperature feel in a day, each (S,)."""

    tmean: Array  # degC
    precn: Array  # mm d-1
    evaporative_demand: Array  # reference evapotranspiration, mm d-1
    cover: Array  # share of light that the canopy absorbs


def moist(soils: Soils) -> SoilClimate:
    """Return soils at field capacity and 0 degC without snow."""
    zero = np.zeros_like(soils.field_capacity)
    capacity = soils.field_capacity * 1000
    return SoilClimate(zero, capacity * DEPTH_M, capacity * SUBSOIL_M, zero)


def reference_evapotranspiration(weather: Weather) -> Array:
    """Evaporative demand of the air, (T, S), mm d-1 (FAO-56, equation 6, at sea level)."""
    tmean, wind_2m = weather.tmean_air, weather.wind / 86.4 * 0.748
    slope = 4098 * saturation_pressure(tmean) / (tmean + 237.3) ** 2
    energy = 0.408 * slope * NET_RADIATION_SHARE * weather.radn
    air = PSYCHROMETRIC * 900 / (tmean + 273) * wind_2m * weather.vapour_pressure_deficit
    return (energy + air) / (slope + PSYCHROMETRIC * (1 + 0.34 * wind_2m))


def available_share(climate: SoilClimate, *, soils: Soils) -> Array:
    """Plant-available water of the root zone as a share of its capacity, (S,), 0 to 1."""
    depth = 1000 * (DEPTH_M + SUBSOIL_M)
    water = (climate.topsoil + climate.subsoil) / depth
    return np.clip((water - soils.wilting_point) / (soils.field_capacity - soils.wilting_point), 0, 1)


def water_limit(climate: SoilClimate, *, soils: Soils) -> Array:
    """Factor on photosynthesis and transpiration: 1 until the easily available water is used, then falling to 0."""
    return np.minimum(available_share(climate, soils=soils) / (1 - DEPLETION_FRACTION), 1.0)


def topsoil_water(climate: SoilClimate) -> Array:
    """Water content of 0 to 30 cm, m3 m-3, (S,)."""
    return climate.topsoil / (1000 * DEPTH_M)


def advance_soil_climate(climate: SoilClimate, *, soils: Soils, day: WaterDay) -> SoilClimate:
    """Advance snow, water and temperature by one day."""
    freezing = day.tmean < 0
    melt = np.minimum(climate.snow, MELT_MM * np.maximum(day.tmean, 0))
    snow = climate.snow + day.precn * freezing - melt
    wetted = climate._replace(snow=snow, topsoil=climate.topsoil + day.precn * ~freezing + melt)
    dried = _dry(_percolate(wetted, soils=soils), soils=soils, day=day)
    surface = day.tmean * np.where(snow > THIN_SNOW_MM, SNOW_INSULATION, 1.0) - CANOPY_COOLING * day.cover
    return dried._replace(temperature=climate.temperature + DAMPING * (surface - climate.temperature))


def _percolate(climate: SoilClimate, *, soils: Soils) -> SoilClimate:
    """Drain what exceeds field capacity, at a rate that rises with conductivity, and run off what exceeds the pores."""
    share = 1 - np.exp(-soils.conductivity / DRAINAGE_MM_H)
    flow = share * np.maximum(climate.topsoil - soils.field_capacity * 1000 * DEPTH_M, 0)
    topsoil, subsoil = climate.topsoil - flow, climate.subsoil + flow
    loss = share * np.maximum(subsoil - soils.field_capacity * 1000 * SUBSOIL_M, 0)
    pores = soils.porosity * 1000
    return climate._replace(
        topsoil=np.minimum(topsoil, pores * DEPTH_M), subsoil=np.minimum(subsoil - loss, pores * SUBSOIL_M)
    )


def _dry(climate: SoilClimate, *, soils: Soils, day: WaterDay) -> SoilClimate:
    """Evaporate from the topsoil and transpire from both stores by their share of the available water."""
    lowest = soils.wilting_point * 1000
    top = np.maximum(climate.topsoil - 0.5 * lowest * DEPTH_M, 0)
    wetness = np.minimum(top / ((soils.field_capacity * 1000 - 0.5 * lowest) * DEPTH_M), 1.0)
    evaporation = np.minimum(MULCH * (1 - day.cover) * wetness**2 * day.evaporative_demand, top)
    topsoil = climate.topsoil - evaporation
    stores = [np.maximum(topsoil - lowest * DEPTH_M, 0), np.maximum(climate.subsoil - lowest * SUBSOIL_M, 0)]
    demand = day.cover * day.evaporative_demand * water_limit(climate, soils=soils)
    taken = np.minimum(demand / np.maximum(stores[0] + stores[1], 1e-9), 1.0)
    return climate._replace(topsoil=topsoil - taken * stores[0], subsoil=climate.subsoil - taken * stores[1])
