"""Cropland soils of the U.S. Midwest, 0 to 30 cm: the network's nine soil features, drawn jointly.

Texture and organic carbon are drawn; bulk density follows from organic carbon, and water retention and conductivity
from texture and organic matter, so that the nine features are as consistent as in a soil survey.

Shape legend: S sites.

References
----------
Saxton, K. E. & Rawls, W. J. (2006). Soil Science Society of America Journal 70, 1569-1578. doi:10.2136/sssaj2005.0117
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from model.synthetic.weather import Array, SyntheticInputError

ORGANIC_MATTER_PER_CARBON = 1.724
"""Van Bemmelen factor."""
PARTICLE_DENSITY = 2.65
"""Density of soil minerals, Mg m-3."""
DEPTH_M = 0.3
"""Depth that the soil features describe, m."""

SURVEY_FIELD_CAPACITY = (-0.03, 0.015)
"""Field capacity of the soil survey minus that of the pedotransfer function: mean and standard deviation, m3 m-3."""


@dataclass(frozen=True)
class Soils:
    """Soil of S sites in the units and order of the network's features, each (S,).

    Attributes
    ----------
    bulk_density : Mg m-3.
    sand, silt : g kg-1.
    field_capacity, wilting_point : m3 m-3.
    conductivity : saturated, mm h-1.
    organic_carbon : g kg-1.
    ph : 1.
    cation_exchange : cmol(+) kg-1.
    """

    bulk_density: Array
    sand: Array
    silt: Array
    field_capacity: Array
    wilting_point: Array
    conductivity: Array
    organic_carbon: Array
    ph: Array
    cation_exchange: Array

    def __post_init__(self) -> None:
        values = self.features()
        if values.ndim != 2 or not np.isfinite(values).all():
            raise SyntheticInputError(f"soils of shape {values.shape} must be nine finite (sites,) arrays")
        thin = np.flatnonzero(self.field_capacity - self.wilting_point < 0.01)
        if thin.size:
            raise SyntheticInputError(
                f"soil of site {thin[0]} holds less than 0.01 m3 m-3 between wilting point and field capacity"
            )

    @property
    def clay(self) -> Array:
        """(S,) clay, g kg-1."""
        return 1000 - self.sand - self.silt

    @property
    def porosity(self) -> Array:
        """(S,) pore space, m3 m-3, at least 0.02 above field capacity."""
        return np.maximum(1 - self.bulk_density / PARTICLE_DENSITY, self.field_capacity + 0.02)

    @property
    def carbon_stock(self) -> Array:
        """(S,) organic carbon of 0 to 30 cm, g C m-2."""
        return self.organic_carbon * self.bulk_density * DEPTH_M * 1000

    def features(self) -> Array:
        """Return the nine soil features in the network's order, (9, S)."""
        return np.stack([getattr(self, field.name) for field in fields(self)])


class WaterRetention(NamedTuple):
    """Hydraulic properties, each (S,): field capacity and wilting point, m3 m-3, and conductivity, mm h-1."""

    field_capacity: Array
    wilting_point: Array
    conductivity: Array


def draw_soils(seed: int, *, sites: int) -> Soils:
    """Return soils of S sites: 15 % sandy, the others silty, and 2.5 % organic; equal seeds give equal soils."""
    # The tests compare levels and spreads with the published scalers of the training data (`model.features`).
    # The order of the draws is part of the result: another one gives other soils for the same seed.
    rng = np.random.default_rng(seed)
    sandy = rng.random(sites) < 0.15
    sand = np.where(sandy, rng.uniform(350, 800, sites), np.clip(rng.lognormal(4.4, 0.6, sites), 30, 400))
    silt = (1000 - sand) * np.clip(rng.normal(0.71, 0.08, sites), 0.45, 0.92)
    organic = rng.random(sites) < 0.025
    lognormal = rng.lognormal(2.62, 0.42, sites) * np.where(sandy, 0.75, 1.0)
    carbon = np.where(organic, rng.uniform(60, 115, sites), np.clip(lognormal, 6, 60))
    clay = 1000 - sand - silt
    water = water_retention(sand / 1000, clay=clay / 1000, organic_matter=carbon * ORGANIC_MATTER_PER_CARBON / 10)
    wilting_point = np.maximum(water.wilting_point, 0.045)
    field_capacity = water.field_capacity + rng.normal(*SURVEY_FIELD_CAPACITY, sites)
    return Soils(
        bulk_density=np.clip(1.475 - 0.006 * carbon + rng.normal(0, 0.055, sites), 0.6, 1.65),
        sand=sand,
        silt=silt,
        field_capacity=np.maximum(field_capacity, wilting_point + 0.065),
        wilting_point=wilting_point,
        conductivity=np.clip(1.5 * water.conductivity * rng.lognormal(0, 0.4, sites), 2.5, 330.0),
        organic_carbon=carbon,
        ph=np.clip(rng.normal(6.24, 0.48, sites), 4.7, 8.2),
        cation_exchange=np.clip(0.055 * clay + 0.35 * carbon * rng.lognormal(0, 0.15, sites) + 1, 3, 51),
    )


def water_retention(sand: Array, *, clay: Array, organic_matter: Array) -> WaterRetention:
    """Return hydraulic properties from texture (mass fractions) and organic matter (per cent by mass, at most 8).

    >>> loam = water_retention(np.array([0.4]), clay=np.array([0.2]), organic_matter=np.array([2.5]))
    >>> [float(value[0].round(3)) for value in loam[:2]]
    [0.28, 0.137]

    References
    ----------
    Saxton & Rawls (2006), table 1, equations 1 to 5, 15 and 16.
    """
    # Equations 1 and 2 give water at 1500 and 33 kPa, 3 and 5 the water between saturation and 33 kPa, 15 and 16
    # conductivity from the slope of the logarithmic tension curve.
    s, c, om = sand, clay, np.minimum(organic_matter, 8.0)
    dry = -0.024 * s + 0.487 * c + 0.006 * om + 0.005 * s * om - 0.013 * c * om + 0.068 * s * c + 0.031
    wilting_point = dry + 0.14 * dry - 0.02
    moist = -0.251 * s + 0.195 * c + 0.011 * om + 0.006 * s * om - 0.027 * c * om + 0.452 * s * c + 0.299
    field_capacity = moist + 1.283 * moist**2 - 0.374 * moist - 0.015
    wet = 0.278 * s + 0.034 * c + 0.022 * om - 0.018 * s * om - 0.027 * c * om - 0.584 * s * c + 0.078
    drainable = wet + 0.636 * wet - 0.107 - 0.097 * s + 0.043
    slope = (np.log(field_capacity) - np.log(wilting_point)) / (np.log(1500) - np.log(33))
    return WaterRetention(field_capacity, wilting_point, 1930 * np.maximum(drainable, 0.02) ** (3 - slope))
