"""The truth of experiments: the simulator with perturbed rates, its observation with errors, and its extreme years.

Pre-training on the simulator helps in this world and is not enough, as it is with *ecosys* and the real one.

Shape legend: N sites, Y years, T days.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model.data.records import Booleans, Floats, SiteSequences
from model.features import CORN, GPP, SOYBEAN
from model.recipe.experiments import WorldRecipe


def perturbed(simulated: SiteSequences, *, world: WorldRecipe) -> SiteSequences:
    """Return simulations with the rates of respiration and yield perturbed; NEE closes the balance."""
    ra, rh = world.ra * simulated.fluxes_NYT3[..., 0], world.rh * simulated.fluxes_NYT3[..., 1]
    nee = -(simulated.x_NYTF[..., GPP] + ra + rh)
    fluxes_NYT3 = np.stack([ra, rh, nee], -1).astype(np.float32)
    return replace(simulated, fluxes_NYT3=fluxes_NYT3, yield_NY=np.float32(world.grain) * simulated.yield_NY)


def observed(truth: SiteSequences, *, world: WorldRecipe, seed: int) -> SiteSequences:
    """Return the truth as towers and surveys observe it, with errors."""
    rng = np.random.default_rng(seed)
    # Ra and Rh share one error, and NEE closes the balance: a tower's NEE and Reco err together.
    factor_NYT = _error(rng, truth.fluxes_NYT3.shape[:3], cv=world.flux_error)
    ra, rh = (truth.fluxes_NYT3[..., i] * factor_NYT for i in (0, 1))
    nee = -(truth.x_NYTF[..., GPP] + ra + rh)
    yield_NY = truth.yield_NY * _error(rng, truth.yield_NY.shape, cv=world.grain_error)
    return replace(truth, fluxes_NYT3=np.stack([ra, rh, nee], -1).astype(np.float32), yield_NY=yield_NY)


def _error(rng: np.random.Generator, shape: tuple[int, ...], *, cv: float) -> Floats:
    """Return lognormal factors of mean 1 with a coefficient of variation."""
    variance = np.log1p(cv**2)
    return np.exp(rng.normal(-variance / 2, np.sqrt(variance), shape)).astype(np.float32)


def extreme_years(truth: SiteSequences, *, deviations: float) -> Booleans:
    """Return which yields (N, Y) lie beyond a number of standard deviations from their crop's trend at their site.

    The trend is linear and common to all sites of the crop, the level that of the site, and the standard deviation that
    of the crop's residuals.
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
