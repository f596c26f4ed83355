"""A world that is observed: the simulator with other rates, errors of observation, and its extreme years.

Shape legend: N sites, Y years, T days.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.data.records import Booleans, Floats, SiteSequences
from model.features import CORN, GPP, SOYBEAN
from model.recipe.experiments import WorldRecipe


def changed_world(simulated: SiteSequences, *, world: WorldRecipe) -> SiteSequences:
    """Return what happens in a world of other rates, NEE closing the balance."""
    ra, rh = world.ra * simulated.fluxes_NYT3[..., 0], world.rh * simulated.fluxes_NYT3[..., 1]
    nee = -(simulated.x_NYTF[..., GPP] + ra + rh)
    fluxes_NYT3 = np.stack([ra, rh, nee], -1).astype(np.float32)
    return replace(simulated, fluxes_NYT3=fluxes_NYT3, yield_NY=np.float32(world.grain) * simulated.yield_NY)


def observed(truth: SiteSequences, *, world: WorldRecipe, seed: int) -> SiteSequences:
    """Return a world as towers and surveys see it: with errors, the same in Reco and in NEE."""
    rng = np.random.default_rng(seed)
    factor_NYT = _error(rng, truth.fluxes_NYT3.shape[:3], cv=world.flux_error)
    ra, rh = (truth.fluxes_NYT3[..., i] * factor_NYT for i in (0, 1))
    nee = -(truth.x_NYTF[..., GPP] + ra + rh)
    grain = truth.yield_NY * _error(rng, truth.yield_NY.shape, cv=world.grain_error)
    return replace(truth, fluxes_NYT3=np.stack([ra, rh, nee], -1).astype(np.float32), yield_NY=grain)


def _error(rng: np.random.Generator, shape: tuple[int, ...], *, cv: float) -> Floats:
    variance = np.log1p(cv**2)
    return np.exp(rng.normal(-variance / 2, np.sqrt(variance), shape)).astype(np.float32)


def extreme_years(truth: SiteSequences, *, deviations: float) -> Booleans:
    """(N, Y) whether a yield lies beyond so many standard deviations from its crop's trend at its site.

    The trend is linear over all sites of the crop, the level that of the site, the deviation that of the crop.
    """
    extreme_NY = np.zeros(truth.yield_NY.shape, dtype=bool)
    for crop in (CORN, SOYBEAN):
        grown_NY = truth.crop_NY == crop
        if not grown_NY.any():
            continue
        values = np.where(grown_NY, truth.yield_NY.astype(np.float64), np.nan)
        counts_N1 = np.maximum(grown_NY.sum(1, keepdims=True), 1)
        anomaly_NY = values - np.where(grown_NY, values, 0.0).sum(1, keepdims=True) / counts_N1
        years_NY = np.broadcast_to(truth.years - truth.years.mean(), values.shape)
        residual = anomaly_NY[grown_NY] - np.polyval(
            np.polyfit(years_NY[grown_NY], anomaly_NY[grown_NY], 1), years_NY[grown_NY]
        )
        extreme_NY[grown_NY] = np.abs(residual) > deviations * residual.std()
    return extreme_NY
