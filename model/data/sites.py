"""Data sets of site sequences, normalised for the network and divided into training and validation.

Shape legend: N sites, Y years, T 365 days, F 19 features, X any leading axes.
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
from model.data.published_layout import read_published_layout
from model.data.records import DAYS, DataSetError, Floats, SiteSequences
from model.data.splits import SiteSplit, split_sites
from model.data.training_ranges import training_ranges
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, PUBLISHED_FEATURE_SCALERS, SOIL, YEAR, Scaler
from model.ranges import TrainingRanges
from model.recipe.training import DataRecipe
from model.synthetic.generator import generate_weather
from model.synthetic.management import Management, draw_management
from model.synthetic.simulator import Simulation, simulate
from model.synthetic.soils import Soils, draw_soils
from model.synthetic.weather import Weather

LATITUDE, LONGITUDE = (37.5, 46.0), (-99.0, -82.0)
"""Extent of the synthetic sites, degrees."""
SYNTHETIC = "synthetic: simulations of this project's own process model (model/synthetic)"


@dataclass(frozen=True)
class Sequences:
    """Years of daily inputs and targets at sites, normalised, in the network's signs.

    Attributes
    ----------
    x_NYTF, fluxes_NYT3, yield_NY
        Inputs (N, Y, T, F); Ra, Rh and NEE (N, Y, T, 3); yield (N, Y).
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
    """Sequences for training and for validation, each with the mask (N, Y) of the site-years that count."""

    training: Sequences
    training_mask_NY: Tensor
    validation: Sequences
    validation_mask_NY: Tensor
    unseen_N: Tensor  # validation sites that training never sees
    scalers: Scalers
    split: SiteSplit
    digest: str  # of the sequences in physical units
    ranges: TrainingRanges  # of the site-years that are trained on


def synthetic_data(recipe: DataRecipe, *, seed: int) -> DataSet:
    """Return the recipe's sites divided into training and validation.

    Raises
    ------
    DataSetError
        If its file cannot be read, or has too few sites or other years.
    """
    sequences = site_sequences(recipe, seed=seed)
    held_out = {"held_out_years": recipe.held_out_years, "held_out_sites": recipe.held_out_sites}
    return divide(sequences, split=split_sites(seed, years=sequences.years, sites=recipe.all_sites, **held_out))


def site_sequences(recipe: DataRecipe, *, seed: int) -> SiteSequences:
    """Return the recipe's sites, held-out ones last: the first sites of its file, or simulated ones.

    Raises
    ------
    DataSetError
        If the file cannot be read, has fewer sites or other years.
    """
    years = np.arange(recipe.first_year, recipe.last_year + 1)
    if recipe.file is None:
        return simulate_sites(seed, sites=recipe.all_sites, years=years)
    found = read_published_layout(recipe.file, first_year=recipe.first_year)
    if len(found) < recipe.all_sites or not np.array_equal(found.years, years):
        raise DataSetError(
            f"{recipe.file} has {len(found)} sites of {found.years[0]}-{found.years[-1]}, and the recipe asks for "
            f"{recipe.all_sites} of {years[0]}-{years[-1]}; set sites and years in the recipe to those of the file"
        )
    return found.at(slice(recipe.all_sites))


def divide(sequences: SiteSequences, *, split: SiteSplit) -> DataSet:
    """Return sequences normalised and divided.

    Validation consists of all years of the sites that are held out entirely, and of the held-out years of as many
    training sites, or of every training site where no site is held out entirely.

    Raises
    ------
    DataSetError
        If the split is of other sites or years, or leaves nothing to train on or to validate with.
    """
    training_NY, unseen_N = torch.from_numpy(split.training_NY), torch.from_numpy(split.unseen_N)
    if split.training_NY.shape != (len(sequences), len(sequences.years)):
        raise DataSetError(
            f"the split has the shape (sites, years) {split.training_NY.shape}, the data {sequences.yield_NY.shape}"
        )
    if split.training_NY.all() or not split.training_NY.any():
        raise DataSetError(
            "the split holds out every site-year or none; leave some for training and some for validation"
        )
    scalers, unseen = output_scalers(sequences), int(unseen_N.sum())
    normalised = normalise(sequences, scalers=scalers)
    # All unseen sites, and the first training sites, as many as there are unseen ones.
    chosen_N = unseen_N | ((~unseen_N).cumsum(0) <= unseen) if unseen else ~unseen_N
    return DataSet(
        training=normalised.at(~unseen_N),
        training_mask_NY=training_NY[~unseen_N],
        validation=normalised.at(chosen_N),
        validation_mask_NY=~training_NY[chosen_N],
        unseen_N=unseen_N[chosen_N],
        scalers=scalers,
        split=split,
        digest=sequences.digest,
        ranges=training_ranges(sequences, training_NY=split.training_NY),
    )


def simulate_sites(seed: int, *, sites: int, years: NDArray[np.int64]) -> SiteSequences:
    """Return simulations of sites spread over the Midwest, each with its own weather, soil and management."""
    rng = np.random.default_rng(seed)
    latitude, longitude = rng.uniform(*LATITUDE, sites), rng.uniform(*LONGITUDE, sites)
    return simulate_fields(seed, latitude=latitude, longitude=longitude, years=years)


def simulate_fields(
    seed: int, *, latitude: NDArray[np.float64], longitude: NDArray[np.float64], years: NDArray[np.int64]
) -> SiteSequences:
    """Return simulations of sites at these places [degrees north, east], each with its own soil and management."""
    sites = len(latitude)
    weather = generate_weather(seed, latitude=latitude, longitude=longitude, years=years)
    soils = draw_soils(seed + 1, sites=sites)
    management = draw_management(seed + 2, years=years, sites=sites)
    simulation = simulate(weather, soils=soils, management=management)
    # Names are numbers: these sites stand for no county.
    field = Field(weather, soils, management)
    return simulated(simulation, field=field, sites=tuple(f"{site:05d}" for site in range(sites)))


class Field(NamedTuple):
    """Forcing of a simulation."""

    weather: Weather
    soils: Soils
    management: Management


def simulated(simulation: Simulation, *, field: Field, sites: tuple[str, ...]) -> SiteSequences:
    """Return a simulation with its inputs as sequences of 365-day years.

    The carbon of the day that is dropped from leap years is dropped too: annual sums are over the remaining days.
    """
    weather, shape = field.weather, (len(sites), len(field.weather.years), DAYS)
    x_NYTF = np.empty((*shape, len(FEATURES)), np.float32)
    x_NYTF[..., CLIMATE] = by_year(weather.features(), weather=weather)
    x_NYTF[..., CROP_TYPE] = field.management.crop.T[..., None]
    x_NYTF[..., GPP] = by_year(simulation.gpp, weather=weather)
    x_NYTF[..., YEAR] = weather.years[:, None]
    x_NYTF[..., SOIL] = field.soils.features().T[:, None, None, :]
    fluxes = np.stack([-simulation.ra, -simulation.rh, simulation.nee], axis=-1)
    fluxes_NYT3 = by_year(fluxes, weather=weather).astype(np.float32)
    return SiteSequences(x_NYTF, fluxes_NYT3, simulation.yield_.T.astype(np.float32), weather.years, sites, SYNTHETIC)


def by_year(daily: NDArray[np.float64], *, weather: Weather) -> NDArray[np.float64]:
    """Return daily values (T, N, ...) of complete calendar years as (N, Y, 365, ...)."""
    kept = daily[weather.day_of_year <= DAYS]
    return np.moveaxis(kept.reshape(-1, DAYS, *kept.shape[1:]), 2, 0)


def output_scalers(sequences: SiteSequences) -> Scalers:
    """Return the published scalers of features and GPP, with mean and standard deviation of these targets."""
    # The published mean and standard deviation of the targets are of another set of simulations: they are not used.
    ra, rh, nee = (_scaler(sequences.fluxes_NYT3[..., i]) for i in range(3))
    outputs = {"ra": ra, "rh": rh, "nee": nee}
    annual = {"yield": _scaler(sequences.yield_NY), "residue": _scaler(sequences.residue_NY)}
    features = PUBLISHED_FEATURE_SCALERS
    return Scalers.parse({"features": features, "gpp": features[GPP], **outputs, **annual})


def _scaler(values: Floats) -> Scaler:
    return Scaler(float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)))


def normalise(sequences: SiteSequences, *, scalers: Scalers) -> Sequences:
    """Return sequences in the network's normalised units."""
    outputs = scalers.outputs
    return Sequences(
        normalised_inputs(sequences.x_NYTF, scalers=scalers),
        _z(sequences.fluxes_NYT3, scalers=[outputs[name] for name in ("ra", "rh", "nee")]),
        _z(sequences.yield_NY[..., None], scalers=[outputs["yield"]])[..., 0],
    )


def normalised_inputs(x_XF: Floats, *, scalers: Scalers) -> Tensor:
    """Return physical inputs (..., 19) normalised."""
    return _z(x_XF, scalers=scalers.features)


def _z(values: Floats, *, scalers: Sequence[Scaler]) -> Tensor:
    """Return normalised values; the last axis is that of the scalers."""
    # Column by column in double precision, rounded once: the whole array in double precision would need thrice the
    # memory.
    result = np.empty(values.shape, np.float32)
    for i, (mean, std) in enumerate(scalers):
        result[..., i] = (values[..., i].astype(np.float64) - mean) / std
    return torch.from_numpy(result)
