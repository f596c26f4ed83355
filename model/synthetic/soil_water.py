"""Soil water by layer: a snow pack, wet crop residue and six layers to 1.7 m, day by day.

Shape legend: L layers from the top down, S sites. Water is in mm, fluxes in mm d-1.

References
----------
Allen, R. G. et al. (1998). FAO Irrigation and Drainage Paper 56 (FAO-56): reference evapotranspiration, water stress.
Savabi, M. R. & Stott, D. E. (1994). Transactions of the ASAE 37, 1093-1098: rain that crop residue holds.
Ritchie, J. T. (1972). Water Resources Research 8, 1204-1213. doi:10.1029/WR008i005p01204: evaporation beneath a canopy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.synthetic.soils import Soils
from model.synthetic.weather import Array, Weather, saturation_pressure

LAYER_M = np.array([0.05, 0.10, 0.15, 0.30, 0.40, 0.70])[:, None]
"""Thickness of the layers, (L, 1), m; the first three are the 0 to 30 cm of the soil features."""
BOTTOM_M = LAYER_M.cumsum(axis=0)
"""Depth of the layers' bottoms, (L, 1), m."""
NET_RADIATION_SHARE = 0.6
"""Net radiation over short-wave radiation, mean of the growing season."""
PSYCHROMETRIC = 0.066
"""Psychrometric constant, kPa per degC."""
RESIDUE_WATER_MM = 3.0
"""Rain that the residue of a crop holds, mm."""
RESIDUE_DRYING, RESIDUE_SHADE = 0.6, 0.8
"""Evaporation from wet residue relative to the demand, and the share of it that a closed canopy prevents."""
EVAPORATION_SHARES = np.array([0.45, 0.15, 0.0, 0.0, 0.0, 0.0])[:, None]
"""Evaporation from moist layers beneath residue, relative to that of bare wet soil, (L, 1)."""
MELT_MM = 3.0
"""Snow melt per degree above 0 degC, mm d-1."""
DEPLETION_FRACTION = 0.55
"""Share of the available water that a crop takes up without stress (FAO-56, table 22: corn 0.55, soybean 0.50)."""
DRAINAGE_MM_H = 4.0
"""Conductivity at which two thirds of the water above field capacity drain in a day, mm h-1."""
DEEP_DRAINAGE = 0.03
"""Factor on drainage from the last layer: drains and the water table hold water back."""


class SoilWater(NamedTuple):
    """Water in mm of the snow pack (S,), of residue on the ground (S,), and of the soil's layers (L, S)."""

    snow: Array
    residue: Array
    layers: Array


class WaterForcing(NamedTuple):
    """Forcing of the soil's water on one day, each (S,)."""

    tmean: Array  # degC
    precn: Array  # mm d-1
    evaporative_demand: Array  # reference evapotranspiration, mm d-1
    cover: Array  # share of light that the canopy absorbs
    root_depth: Array  # m


class WaterStep(NamedTuple):
    """Water after a day, and its losses, each (S,) mm d-1: precipitation = change + drainage + vapour."""

    water: SoilWater
    drainage: Array
    vapour: Array


def field_capacity_state(soils: Soils) -> SoilWater:
    """Return the water of soils at field capacity, without snow and with dry residue."""
    zero = np.zeros_like(soils.field_capacity)
    return SoilWater(zero, zero, soils.field_capacity * 1000 * LAYER_M)


def reference_evapotranspiration(weather: Weather) -> Array:
    """Return the evaporative demand of the air, (T, S), mm d-1 (FAO-56, equation 6, at sea level)."""
    # Wind run in km d-1 to m s-1, and from 10 m to 2 m above ground (FAO-56, equation 47).
    tmean, wind_2m = weather.tmean_air, weather.wind / 86.4 * 0.748
    slope = 4098 * saturation_pressure(tmean) / (tmean + 237.3) ** 2
    energy = 0.408 * slope * NET_RADIATION_SHARE * weather.radn
    air = PSYCHROMETRIC * 900 / (tmean + 273) * wind_2m * weather.vapour_pressure_deficit
    demand: Array = (energy + air) / (slope + PSYCHROMETRIC * (1 + 0.34 * wind_2m))
    return demand


def available_share(water: SoilWater, *, soils: Soils, root_depth: Array) -> Array:
    """Return the plant-available water of the rooted soil as a share of its capacity, (S,), 0 to 1."""
    rooted = _rooted_share(root_depth)
    held = (rooted * np.maximum(water.layers - soils.wilting_point * 1000 * LAYER_M, 0)).sum(0)
    capacity = (rooted * LAYER_M).sum(0) * 1000 * (soils.field_capacity - soils.wilting_point)
    share: Array = np.clip(held / capacity, 0, 1)
    return share


def water_limit(water: SoilWater, *, soils: Soils, root_depth: Array) -> Array:
    """Return the factor of drought on transpiration, (S,): 1 until the readily available water is used, then down to 0.

    References
    ----------
    FAO-56, equation 84, with a constant depletion fraction.
    """
    return np.minimum(available_share(water, soils=soils, root_depth=root_depth) / (1 - DEPLETION_FRACTION), 1.0)


def advance_water(water: SoilWater, *, soils: Soils, day: WaterForcing) -> WaterStep:
    """Advance snow, residue and layers by one day: melt and rain, drainage, evaporation and uptake by roots."""
    # Order of a day: snow and rain, residue, percolation, evaporation, uptake. All of it is explicit: each loss is
    # bounded by the water that is there, so that no store falls below 0.
    freezing = day.tmean < 0
    melt = np.minimum(water.snow, MELT_MM * np.maximum(day.tmean, 0))
    fallen = np.where(freezing, 0.0, day.precn) + melt
    caught = np.minimum(RESIDUE_WATER_MM - water.residue, fallen)
    snow = water.snow + np.where(freezing, day.precn, 0.0) - melt
    layers = water.layers.copy()
    layers[0] += fallen - caught
    drainage = _percolate(layers, soils=soils)
    residue = water.residue + caught
    exposure = RESIDUE_DRYING * (1 - RESIDUE_SHADE * day.cover)
    dried = residue * (1 - np.exp(-exposure * day.evaporative_demand / RESIDUE_WATER_MM))
    # The soil beneath evaporates only the demand that neither canopy nor residue has met.
    beneath = np.maximum((1 - day.cover) * day.evaporative_demand - dried, 0)
    limit = water_limit(water, soils=soils, root_depth=day.root_depth)
    lost = _evaporation(layers, soils=soils, demand=beneath)
    lost += _uptake(layers - lost, soils=soils, demand=day.cover * day.evaporative_demand * limit, day=day)
    return WaterStep(SoilWater(snow, residue - dried, layers - lost), drainage, dried + lost.sum(0))


def _rooted_share(root_depth: Array) -> Array:
    """Return the share of each layer that roots have reached, (L, S)."""
    share: Array = np.clip((root_depth - (BOTTOM_M - LAYER_M)) / LAYER_M, 0, 1)
    return share


def _percolate(layers: Array, *, soils: Soils) -> Array:
    """Let water above field capacity sink through the layers (L, S), in place, and return what leaves the last, (S,).

    The share that drains in a day rises with conductivity; water in excess of the pores always moves on.
    """
    share = 1 - np.exp(-soils.conductivity / DRAINAGE_MM_H)
    capacity, pores = soils.field_capacity * 1000, soils.porosity * 1000
    shares = [share] * (len(LAYER_M) - 1) + [share * DEEP_DRAINAGE]
    flow = np.zeros_like(share)
    for layer, (thickness,), passed in zip(layers, LAYER_M, shares, strict=True):
        layer += flow
        flow = np.maximum(passed * np.maximum(layer - capacity * thickness, 0), layer - pores * thickness)
        layer -= flow
    return flow


def _evaporation(layers: Array, *, soils: Soils, demand: Array) -> Array:
    """Return evaporation from each layer, (L, S) mm d-1: it falls with the square of wetness, to 0 in air-dry soil."""
    # Air-dry soil holds half the water of the wilting point (FAO-56, equation 73).
    driest = 0.5 * soils.wilting_point * 1000 * LAYER_M
    held = np.maximum(layers - driest, 0)
    wetness = np.minimum(held / (soils.field_capacity * 1000 * LAYER_M - driest), 1.0)
    lost: Array = np.minimum(EVAPORATION_SHARES * wetness**2 * demand, held)
    return lost


def _uptake(layers: Array, *, soils: Soils, demand: Array, day: WaterForcing) -> Array:
    """Return transpiration from each layer, (L, S) mm d-1: roots draw on layers in proportion to available water."""
    held = _rooted_share(day.root_depth) * np.maximum(layers - soils.wilting_point * 1000 * LAYER_M, 0)
    taken: Array = held * np.minimum(demand / np.maximum(held.sum(0), 1e-9), 1.0)
    return taken
