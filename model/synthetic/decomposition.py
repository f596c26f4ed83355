"""Litter and soil organic carbon in five pools, after the CENTURY model, day by day.

Carbon is in gC m-2, heterotrophic respiration in gC m-2 d-1 and positive.

References
----------
Parton, W. J. et al. (1987). Soil Science Society of America Journal 51, 1173-1179.
    doi:10.2136/sssaj1987.03615995005100050015x (pools, rates, transfers)
Parton, W. J. et al. (2001). DAYCENT: description and testing. In: Modeling Carbon and Nitrogen Dynamics for Soil
    Management, CRC Press, 303-337 (effect of pH)
Lloyd, J. & Taylor, J. A. (1994). Functional Ecology 8, 315-323. doi:10.2307/2389824 (temperature)
Moyano, F. E. et al. (2013). Soil Biology & Biochemistry 59, 72-85. doi:10.1016/j.soilbio.2013.01.002 (moisture)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.synthetic.soil_climate import SoilClimate, topsoil_water
from model.synthetic.soils import Soils
from model.synthetic.weather import Array

METABOLIC, STRUCTURAL, ACTIVE, SLOW, PASSIVE = range(5)
POOLS = 5
RATES_PER_YEAR = np.array([18.5, 4.9, 7.3, 0.2, 0.0066])
"""Decomposition of each pool at 25 degC and the best moisture, yr-1."""
STRUCTURAL_LIGNIN = 0.2
"""Share of structural litter that is lignin and enters the slow pool."""
LARGEST_SLOW_POOL, HALF_SLOW_STOCK = 12000.0, 13000.0
"""Largest slow pool, and the stock of half of it: carbon-rich soils are rich in old, protected carbon, gC m-2."""


@dataclass(frozen=True)
class Turnover:
    """Rates (5, S), d-1, and transfers between pools (5 from, 5 to, S) at S sites; the rest is respired."""

    rates: Array
    transfers: Array


class Decay(NamedTuple):
    """Pools (5, S) after a day, and what was respired, (S,) gC m-2 d-1."""

    pools: Array
    rh: Array


def turnover_of(soils: Soils) -> Turnover:
    """Rates and transfers by texture and pH: fine soils protect active carbon and turn more of it into slow carbon."""
    fine = 1 - soils.sand / 1000
    rates = np.outer(RATES_PER_YEAR / 365, 0.56 + np.arctan(np.pi * 0.45 * (soils.ph - 5)) / np.pi)
    rates[ACTIVE] *= 1 - 0.75 * fine
    transfers = np.zeros((POOLS, POOLS, len(fine)))
    transfers[METABOLIC, ACTIVE] = 0.45
    transfers[STRUCTURAL, ACTIVE] = 0.50 * (1 - STRUCTURAL_LIGNIN)
    transfers[STRUCTURAL, SLOW] = 0.70 * STRUCTURAL_LIGNIN
    transfers[ACTIVE, SLOW] = 1 - (0.85 - 0.68 * fine) - 0.004
    transfers[ACTIVE, PASSIVE] = 0.004
    transfers[SLOW, ACTIVE], transfers[SLOW, PASSIVE] = 0.42, 0.03
    transfers[PASSIVE, ACTIVE] = 0.45
    return Turnover(rates, transfers)


def initial_pools(soils: Soils) -> Array:
    """Carbon of the five pools, (5, S): the soil's organic carbon, without litter."""
    stock = soils.carbon_stock
    slow = LARGEST_SLOW_POOL * stock / (stock + HALF_SLOW_STOCK)
    active = 0.05 * slow
    litter = np.zeros_like(stock)
    return np.stack([litter, litter, active, slow, stock - active - slow])


def add_litter(pools: Array, *, litter: Array, metabolic_share: Array | float) -> Array:
    """Pools with new litter, divided into metabolic and structural."""
    fresh = np.zeros_like(pools)
    fresh[METABOLIC], fresh[STRUCTURAL] = litter * metabolic_share, litter * (1 - metabolic_share)
    return pools + fresh


def environment(climate: SoilClimate, *, soils: Soils) -> Array:
    """Effect of the soil's temperature and moisture on decomposition, (S,), 1 at 25 degC and the best moisture."""
    temperature = np.maximum(climate.temperature, -15.0)
    warmth = np.exp(308.56 * (1 / 71.02 - 1 / (temperature + 46.02)))
    saturation = topsoil_water(climate) / soils.porosity
    dry = np.clip((saturation - 0.08) / 0.55, 0.05, 1)
    waterlogged = np.clip(1 - (saturation - 0.75) / 0.5, 0.5, 1)
    return warmth * dry * waterlogged


def decompose(pools: Array, *, turnover: Turnover, effect: Array) -> Decay:
    """Decompose the pools for a day; what is not passed on is respired."""
    lost = pools * (1 - np.exp(-turnover.rates * effect))
    gained = np.einsum("fs,fts->ts", lost, turnover.transfers)
    return Decay(pools - lost + gained, (lost - gained).sum(0))
