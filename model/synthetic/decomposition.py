"""Litter and soil organic carbon in seven pools, after the CENTURY model, day by day.

Litter lies on the ground, where it is moist only after rain, or in the soil; tillage buries it. The carbon of 0 to
30 cm decomposes by the temperature and moisture of its layers. Carbon is in g C m-2, heterotrophic respiration is
positive and in g C m-2 d-1.

Shape legend: (7, S) pools in the order of their indices below, (3, S) soil layers of 0 to 30 cm, S sites.

References
----------
Parton, W. J. et al. (1987). Soil Science Society of America Journal 51, 1173-1179.
    doi:10.2136/sssaj1987.03615995005100050015x (pools, rates, transfers)
Lloyd, J. & Taylor, J. A. (1994). Functional Ecology 8, 315-323. doi:10.2307/2389824 (temperature)
Andren, O. & Paustian, K. (1987). Ecology 68, 1190-1200. doi:10.2307/1939203 (moisture)
Bonan, G. (2019). Climate Change and Terrestrial Ecosystem Modeling. Cambridge University Press, chapter 18 (pH, as in
    DayCent)
Renard, K. G. et al. (1997). Predicting soil erosion by water (RUSLE). USDA Agriculture Handbook 703, chapter 5 (burial
    of residue by tillage)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.synthetic.soil_water import LAYER_M, RESIDUE_WATER_MM, SoilWater
from model.synthetic.soils import DEPTH_M, Soils
from model.synthetic.weather import Array

SURFACE_METABOLIC, SURFACE_STRUCTURAL, METABOLIC, STRUCTURAL, ACTIVE, SLOW, PASSIVE = range(7)
POOLS = 7
SURFACE = slice(SURFACE_METABOLIC, METABOLIC)
BURIED = slice(METABOLIC, ACTIVE)
RATES_PER_YEAR = 1.2 * np.array([14.8, 3.9, 18.5, 4.9, 7.3, 0.20, 0.0066])
"""Decomposition of each pool at 25 degC in soil at -2 kPa, yr-1: the rates of CENTURY, and a factor that keeps the mean
heterotrophic respiration of the published simulations."""
PH_CENTRE = np.array([4.0, 4.0, 4.0, 4.0, 4.8, 4.8, 3.0])[:, None]
PH_RISE = np.array([1.1, 1.1, 1.1, 1.1, 1.14, 1.14, 1.1])[:, None]
"""pH at which acidity halves the decomposition of each pool, and the height of the rise, (7, 1)."""
STRUCTURAL_LIGNIN = 0.2
"""Share of structural litter that is lignin and enters the slow pool."""
LARGEST_SLOW_POOL, HALF_SLOW_CARBON = 17000.0, 17.0
"""Largest slow pool, g C m-2, where all litter is stabilised, and the organic carbon, g kg-1, at which it is half as
large: the carbon of carbon-rich soils is mostly old and protected. It follows the carbon per mass, not per volume: a
compacted soil is no richer."""
ACTIVE_SHARE = 0.03
"""Active pool relative to the slow pool on the first day."""
DRIEST_KPA, WETTEST_KPA = 1e4, 2.0
"""Suction of soil water at which decomposition stops, and up to which it is fastest, kPa (Andren & Paustian 1987)."""
DRY_RESIDUE = 0.05
"""Decomposition of dry residue relative to wet residue; not 0, because dew and the ground moisten it."""
OLD_LITTER = 100.0
"""Structural litter on the first day, on the ground and as much in the soil, g C m-2."""
CARBON_SHARES = np.array([0.35, 0.40, 0.25])[:, None]
"""Shares of the decomposing carbon of 0 to 30 cm in its three layers, (3, 1)."""
BURIAL_DEPTH_M = 0.15
"""Depth of tillage that buries two thirds of the residue, m; a chisel at 0.2 m then buries three quarters. Assumed."""
TILLAGE_GAIN = 0.5
"""Relative gain of decomposition where soil has just been tilled."""
TILLAGE_MEMORY = 1 - 1 / 30
"""Share of that gain left a day later."""


@dataclass(frozen=True)
class Turnover:
    """Rates (7, S), d-1, and transfers between pools (7 from, 7 to, S) at S sites; the rest is respired."""

    rates: Array
    transfers: Array


class Litter(NamedTuple):
    """Litter of a day, each (S,), g C m-2 d-1: on the ground, in the soil, and exuded by roots."""

    shoot: Array
    root: Array
    exudates: Array


class Decay(NamedTuple):
    """Pools (7, S) after a day, and heterotrophic respiration (S,), g C m-2 d-1."""

    pools: Array
    rh: Array


def turnover_of(soils: Soils) -> Turnover:
    """Return rates and transfers by texture and pH: fine soils protect active carbon and stabilise more of it."""
    # Texture effects and transfer shares are those of CENTURY. Of each pool, what no transfer passes on is respired.
    fine = 1 - soils.sand / 1000
    rates = RATES_PER_YEAR[:, None] / 365 * acidity_response(soils.ph)
    rates[ACTIVE] *= 1 - 0.75 * fine
    transfers = np.zeros((POOLS, POOLS, len(fine)))
    transfers[METABOLIC, ACTIVE] = transfers[SURFACE_METABOLIC, ACTIVE] = 0.45
    transfers[STRUCTURAL, ACTIVE] = transfers[SURFACE_STRUCTURAL, ACTIVE] = 0.50 * (1 - STRUCTURAL_LIGNIN)
    transfers[STRUCTURAL, SLOW] = transfers[SURFACE_STRUCTURAL, SLOW] = 0.70 * STRUCTURAL_LIGNIN
    transfers[ACTIVE, SLOW] = 1 - (0.85 - 0.68 * fine) - 0.004
    transfers[ACTIVE, PASSIVE] = 0.004
    transfers[SLOW, ACTIVE], transfers[SLOW, PASSIVE] = 0.42, 0.03
    transfers[PASSIVE, ACTIVE] = 0.45
    return Turnover(rates, transfers)


def acidity_response(ph: Array) -> Array:
    """Return the factor of pH (S,) on the decomposition of each pool, (7, S), at most 1 (Bonan 2019, DayCent).

    >>> acidity_response(np.array([4.8, 6.0]))[ACTIVE].round(1).tolist()
    [0.5, 0.9]
    """
    factor: Array = np.clip(0.5 + PH_RISE / np.pi * np.arctan(np.pi * 0.7 * (ph - PH_CENTRE)), 0, 1)
    return factor


def initial_pools(soils: Soils) -> Array:
    """Return the carbon of the seven pools, (7, S): the soil's organic carbon and the litter of earlier crops."""
    # The passive pool takes the rest of the stock, so that the pools of the soil sum to its organic carbon exactly.
    stock, carbon = soils.carbon_stock, soils.organic_carbon
    slow = LARGEST_SLOW_POOL * _stabilised_share(soils) * carbon / (carbon + HALF_SLOW_CARBON)
    active = ACTIVE_SHARE * slow
    zero, old = np.zeros_like(stock), np.full_like(stock, OLD_LITTER)
    return np.stack([zero, old, zero, old, active, slow, stock - active - slow])


def _stabilised_share(soils: Soils) -> Array:
    """Return the slow carbon in balance with litter that is half metabolic, per unit of its input and turnover time."""
    # Litter feeds the slow pool directly and through the active pool, to which the slow pool returns a part.
    transfers = turnover_of(soils).transfers
    direct = (transfers[METABOLIC, SLOW] + transfers[STRUCTURAL, SLOW]) / 2
    through_active = (transfers[METABOLIC, ACTIVE] + transfers[STRUCTURAL, ACTIVE]) / 2 * transfers[ACTIVE, SLOW]
    share: Array = (direct + through_active) / (1 - transfers[SLOW, ACTIVE] * transfers[ACTIVE, SLOW])
    return share


def add_litter(pools: Array, *, litter: Litter, metabolic_share: Array | float) -> Array:
    """Return the pools with new litter, divided into metabolic and structural; exudates are metabolic."""
    fresh = np.zeros_like(pools)
    fresh[SURFACE_METABOLIC], fresh[SURFACE_STRUCTURAL] = (
        litter.shoot * metabolic_share,
        litter.shoot * (1 - metabolic_share),
    )
    fresh[METABOLIC] = litter.root * metabolic_share + litter.exudates
    fresh[STRUCTURAL] = litter.root * (1 - metabolic_share)
    return pools + fresh


def bury(pools: Array, *, depth: Array) -> Array:
    """Return the pools after tillage to a depth (S,), m: deeper tillage moves more surface litter into the soil."""
    kept = np.exp(-depth / BURIAL_DEPTH_M)
    tilled = pools.copy()
    tilled[SURFACE] *= kept
    tilled[BURIED] += pools[SURFACE] - tilled[SURFACE]
    return tilled


def disturb(disturbance: Array, *, depth: Array) -> Array:
    """Return the relative gain of decomposition (S,) after tillage to a depth (S,), m, by the share tilled."""
    stirred = TILLAGE_GAIN * np.minimum(depth / DEPTH_M, 1.0)
    return np.maximum(disturbance * TILLAGE_MEMORY, stirred)


def abiotic_factor(water: SoilWater, *, temperature: Array, soils: Soils) -> Array:
    """Return the factor of temperature and moisture on the decomposition of each pool, (7, S), 1 in warm moist soil.

    Parameters
    ----------
    water
        Water of residue and layers.
    temperature : (H, S)
        Temperature of the layers from the top down, degC.
    soils
        Soils of the sites.
    """
    topsoil = len(CARBON_SHARES)
    response = temperature_response(temperature[:topsoil])
    content = water.layers[:topsoil] / (1000 * LAYER_M[:topsoil])
    within = (CARBON_SHARES * response * moisture_response(content, soils=soils)).sum(0)
    factor = np.empty((POOLS, len(within)))
    factor[:] = within
    # Litter on the ground has the temperature of the uppermost layer and the moisture of the residue itself.
    factor[SURFACE] = response[0] * (DRY_RESIDUE + (1 - DRY_RESIDUE) * water.residue / RESIDUE_WATER_MM)
    return factor


def temperature_response(temperature: Array) -> Array:
    """Return the factor of soil temperature, degC, on decomposition, 1 at 25 degC (Lloyd & Taylor, equation 11).

    >>> temperature_response(np.array([5.0, 15.0, 25.0])).round(2).tolist()
    [0.18, 0.49, 1.0]
    """
    # 71.02 = 25 + 46.02 moves the published reference temperature to 25 degC. The bound keeps clear of the pole at
    # -46.02 degC; decomposition is negligible there.
    bounded = np.maximum(temperature, -15.0)
    return np.exp(308.56 * (1 / 71.02 - 1 / (bounded + 46.02)))


def moisture_response(content: Array, *, soils: Soils) -> Array:
    """Return the factor of water content (H, S), m3 m-3, on decomposition: 0 at -10 MPa, 1 at -2 kPa and wetter.

    It is linear in the logarithm of water potential, so that it is the same at field capacity in every soil: 0.67, and
    0.22 at the wilting point (Andren & Paustian 1987).
    """
    # Potential is a power of water content through field capacity (-33 kPa) and the wilting point (-1500 kPa) of the
    # soil itself; everything is in logarithms.
    slope = np.log(1500 / 33) / np.log(soils.field_capacity / soils.wilting_point)
    tension = np.log(33) - slope * np.log(np.maximum(content, 1e-6) / soils.field_capacity)
    factor: Array = np.clip((np.log(DRIEST_KPA) - tension) / np.log(DRIEST_KPA / WETTEST_KPA), 0, 1)
    return factor


def decompose(pools: Array, *, turnover: Turnover, factor: Array) -> Decay:
    """Decompose the pools for a day with abiotic factors (7, S); carbon that no pool takes up is respired."""
    # The exponential is the exact loss of a day at constant rate: no pool can lose more than it holds.
    lost = pools * (1 - np.exp(-turnover.rates * factor))
    gained = np.einsum("fs,fts->ts", lost, turnover.transfers)
    return Decay(pools - lost + gained, (lost - gained).sum(0))
