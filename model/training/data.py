"""Synthetic sites as training sequences: normalised inputs and targets, and which of them are held out.

Shape legend: N sites, Y years, T 365 days, F 19 features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import Scalers
from model.features import GPP, PUBLISHED_FEATURE_SCALERS, Scaler
from model.synthetic import Management, Soils, Weather, draw_management, draw_soils, generate_weather, simulate
from model.training.recipe import DataRecipe

DAYS = 365
"""Days of a training year, as published: 31 December of leap years is dropped."""
LATITUDE, LONGITUDE = (37.5, 46.0), (-99.0, -82.0)
"""Extent of the synthetic sites, degrees."""


@dataclass(frozen=True)
class Sequences:
    """Years of daily inputs and targets at sites, normalised, in the network's signs.

    Attributes
    ----------
    x_NYTF, fluxes_NYT3, yield_NY
        Inputs; Ra, Rh, NEE; grain carbon.
    """

    x_NYTF: Tensor
    fluxes_NYT3: Tensor
    yield_NY: Tensor

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.x_NYTF)

    @property
    def years(self) -> int:
        """Number of years."""
        return self.x_NYTF.shape[1]

    def at(self, sites: Tensor) -> Sequences:
        """Return the sequences of some sites."""
        return Sequences(self.x_NYTF[sites], self.fluxes_NYT3[sites], self.yield_NY[sites])


class DataSet(NamedTuple):
    """Sequences to train on and to validate with, each with the mask (N, Y) of the site-years that count."""

    training: Sequences
    training_mask_NY: Tensor
    validation: Sequences
    validation_mask_NY: Tensor
    unseen_N: Tensor  # validation sites that training never sees
    scalers: Scalers


class _Physical(NamedTuple):
    """Arrays (N, Y, ...) in physical units and the network's signs."""

    x: NDArray[np.float64]
    fluxes: NDArray[np.float64]
    yield_: NDArray[np.float64]
    residue: NDArray[np.float64]


def synthetic_data(recipe: DataRecipe, *, seed: int) -> DataSet:
    """Simulate the recipe's sites and divide them into training and validation.

    Validation holds all years of the held-out sites, and the held-out years of as many training sites.
    """
    total = recipe.sites + recipe.held_out_sites
    physical = _simulate(recipe, seed=seed, sites=total)
    scalers = _scalers(physical)
    sequences = _normalise(physical, scalers=scalers)
    unseen_N = torch.arange(total) >= recipe.sites
    kept_NY = _training_years(recipe, seed=seed)
    chosen_N = unseen_N | (torch.arange(total) < recipe.held_out_sites)
    held_out_NY = torch.cat([~kept_NY, torch.ones(recipe.held_out_sites, sequences.years, dtype=torch.bool)])
    return DataSet(
        sequences.at(~unseen_N), kept_NY, sequences.at(chosen_N), held_out_NY[chosen_N], unseen_N[chosen_N], scalers
    )


def _training_years(recipe: DataRecipe, *, seed: int) -> Tensor:
    """Mask (N, Y) of training: each site keeps all but a few random years."""
    years = recipe.last_year - recipe.first_year + 1
    order = np.random.default_rng(seed).random((recipe.sites, years)).argsort(axis=1)
    return torch.from_numpy(order >= recipe.held_out_years)


def _simulate(recipe: DataRecipe, *, seed: int, sites: int) -> _Physical:
    rng, years = np.random.default_rng(seed), range(recipe.first_year, recipe.last_year + 1)
    latitude, longitude = rng.uniform(*LATITUDE, sites), rng.uniform(*LONGITUDE, sites)
    weather = generate_weather(seed, latitude=latitude, longitude=longitude, years=years)
    soils = draw_soils(seed + 1, sites=sites)
    management = draw_management(seed + 2, years=years, sites=sites)
    simulation = simulate(weather, soils=soils, management=management)
    x = _inputs(weather, gpp=simulation.gpp, soils=soils, management=management)
    fluxes = np.stack([-simulation.ra, -simulation.rh, simulation.nee], axis=-1)
    return _Physical(x, _by_year(fluxes, weather=weather), simulation.yield_.T, simulation.residue.T)


def _by_year(daily: NDArray[np.float64], *, weather: Weather) -> NDArray[np.float64]:
    """Daily values (T, N, ...) as (N, Y, 365, ...)."""
    kept = daily[weather.day_of_year <= DAYS]
    return np.moveaxis(kept.reshape(-1, DAYS, *kept.shape[1:]), 2, 0)


def _inputs(weather: Weather, *, gpp: NDArray[np.float64], soils: Soils, management: Management) -> NDArray[np.float64]:
    """The 19 features (N, Y, 365, 19), in the network's order."""
    climate, gpp_NYT = _by_year(weather.features(), weather=weather), _by_year(gpp, weather=weather)
    shape = gpp_NYT.shape
    crop = np.broadcast_to(management.crop.T[:, :, None], shape)
    year = np.broadcast_to(weather.years[None, :, None], shape)
    soil = np.broadcast_to(soils.features().T[:, None, None, :], (*shape, 9))
    return np.concatenate([climate, np.stack([crop, gpp_NYT, year], axis=-1), soil], axis=-1)


def _scalers(physical: _Physical) -> Scalers:
    """The published feature scalers, and output scalers of these simulations."""
    ra, rh, nee = (_scaler(physical.fluxes[..., i]) for i in range(3))
    outputs = {"ra": ra, "rh": rh, "nee": nee, "yield": _scaler(physical.yield_), "residue": _scaler(physical.residue)}
    return Scalers.parse({"features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[GPP], **outputs})


def _scaler(values: NDArray[np.float64]) -> Scaler:
    return Scaler(float(values.mean()), float(values.std()))


def _normalise(physical: _Physical, *, scalers: Scalers) -> Sequences:
    outputs = scalers.outputs
    fluxes = _z(physical.fluxes, scalers=[outputs[name] for name in ("ra", "rh", "nee")])
    yield_ = _z(physical.yield_[..., None], scalers=[outputs["yield"]])[..., 0]
    return Sequences(_z(physical.x, scalers=scalers.features), fluxes, yield_)


def _z(values: NDArray[np.float64], *, scalers: Sequence[Scaler]) -> Tensor:
    """Normalised values; the last axis is that of the scalers."""
    mean, std = np.array(scalers).T
    return torch.from_numpy(((values - mean) / std).astype(np.float32))
