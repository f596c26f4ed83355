"""Soil temperature by layer: heat conduction from a surface under sun, canopy, residue and snow.

Shape legend: H thermal layers from the top down, S sites. The latent heat of freezing is neglected.

References
----------
Peters-Lidard, C. D. et al. (1998). Journal of the Atmospheric Sciences 55, 1209-1224.
    doi:10.1175/1520-0469(1998)055<1209:TEOSTC>2.0.CO;2 (conductivity after Johansen)
de Vries, D. A. (1963). Thermal properties of soils. In: Physics of Plant Environment, North-Holland, 210-235 (capacity)
Parton, W. J. (1984). Soil Science 138, 93-101. doi:10.1097/00010694-198408000-00001 (surface beneath sun and plants)
Sturm, M. et al. (1997). Journal of Glaciology 43, 26-41. doi:10.3189/S0022143000002781 (conductivity of snow)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.synthetic.soil_water import LAYER_M, SoilWater
from model.synthetic.soils import PARTICLE_DENSITY, Soils
from model.synthetic.weather import Array

DEEP_M = 1.5
"""Thickness of the layer beneath the roots, which only stores heat, m."""
THICKNESS_M = np.append(LAYER_M, [[DEEP_M]], axis=0)
"""Thickness of the thermal layers, (H, 1), m: those of the soil's water and one beneath them."""
SECONDS = 86400.0
MINERAL_HEAT, WATER_HEAT = 2.0e6, 4.18e6
"""Volumetric heat capacity of soil minerals and of water, J m-3 K-1."""
QUARTZ_CONDUCTIVITY, OTHER_CONDUCTIVITY, WATER_CONDUCTIVITY = 7.7, 2.0, 0.57
"""Thermal conductivity of quartz, of other minerals, and of water, W m-1 K-1."""
SURFACE_RESISTANCE = 0.05
"""Thermal resistance of residue and still air on the ground, m2 K W-1."""
SNOW_RESISTANCE = 1 / (200 * 0.12)
"""Thermal resistance of snow of 200 kg m-3 and 0.12 W m-1 K-1 per mm of its water, m2 K W-1."""
SUN_WARMING, CANOPY_COOLING = 0.17, 1.5
"""Warming of bare ground above the air per MJ m-2 d-1, and its cooling under a closed canopy, degC."""


class HeatForcing(NamedTuple):
    """Forcing of the soil's temperature on one day, each (S,)."""

    tmean: Array  # degC
    radn: Array  # MJ m-2 d-1
    cover: Array  # share of light that the canopy absorbs


def advance_temperature(temperature: Array, *, water: SoilWater, soils: Soils, day: HeatForcing) -> Array:
    """Return the temperature of the thermal layers (H, S) after a day, degC.

    Implicit heat conduction with no flux at the bottom: a step of a whole day is stable at any conductivity.
    """
    # The layer beneath the roots holds as much water per volume as the last rooted one.
    content = np.append(water.layers / (1000 * LAYER_M), water.layers[-1:] / (1000 * LAYER_M[-1]), axis=0)
    # Resistances in series: from the surface through residue and snow, then between the centres of adjacent layers.
    half = THICKNESS_M / 2 / thermal_conductivity(content, soils=soils)
    upper = SURFACE_RESISTANCE + SNOW_RESISTANCE * water.snow + half[0]
    conductance = np.append(1 / upper[None], 1 / (half[1:] + half[:-1]), axis=0) * SECONDS
    capacity = ((1 - soils.porosity) * MINERAL_HEAT + content * WATER_HEAT) * THICKNESS_M
    return _conduct(temperature, conductance=conductance, capacity=capacity, surface=surface_temperature(water, day))


def surface_temperature(water: SoilWater, day: HeatForcing) -> Array:
    """Return the temperature above residue or snow, (S,) degC: the sun warms bare ground, a canopy cools it."""
    sun = np.where(water.snow > 0, 0.0, SUN_WARMING * day.radn * (1 - day.cover))
    return day.tmean + sun - CANOPY_COOLING * day.cover


def thermal_conductivity(content: Array, *, soils: Soils) -> Array:
    """Return thermal conductivity (H, S), W m-1 K-1, from water content (H, S), m3 m-3, texture and density.

    References
    ----------
    Johansen's method as given by Peters-Lidard et al. (1998).
    """
    density = (1 - soils.porosity) * PARTICLE_DENSITY * 1000
    dry = (0.135 * density + 64.7) / (2700 - 0.947 * density)
    quartz = soils.sand / 1000
    solids = QUARTZ_CONDUCTIVITY**quartz * OTHER_CONDUCTIVITY ** (1 - quartz)
    wet = solids ** (1 - soils.porosity) * WATER_CONDUCTIVITY**soils.porosity
    # Kersten number of unfrozen soil: 0 when dry, 1 when saturated.
    kersten = np.log10(np.clip(content / soils.porosity, 0.1, 1.0)) + 1
    return dry + kersten * (wet - dry)


def _conduct(temperature: Array, *, conductance: Array, capacity: Array, surface: Array) -> Array:
    """Solve the tridiagonal system of one implicit day (Thomas algorithm); `conductance[i]` is that above layer i."""
    layers = len(temperature)
    below = np.append(conductance[1:], np.zeros((1, temperature.shape[1])), axis=0)
    diagonal = capacity + conductance + below
    known = capacity * temperature
    known[0] += conductance[0] * surface
    for i in range(1, layers):
        factor = conductance[i] / diagonal[i - 1]
        diagonal[i] -= factor * conductance[i]
        known[i] += factor * known[i - 1]
    known[-1] /= diagonal[-1]
    for i in range(layers - 2, -1, -1):
        known[i] = (known[i] + below[i] * known[i + 1]) / diagonal[i]
    return known
