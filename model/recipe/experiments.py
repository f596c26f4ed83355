"""Recipes of experiments: how many sites and years, how long to train, which sample sizes; TOML into frozen values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from model.recipe.toml import NO_OTHER_KEYS, Count, NotNegative, Number, Positive, PositiveShare, Seed, Year


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class FitRecipe:
    """Length and rate of a training without stages.

    Attributes
    ----------
    epochs, patience
        Most epochs, and epochs without a better validation loss after which training ends.
    batch_sites
        Sites of one step of the optimiser; the last batch takes the remainder.
    learning_rate, decay, decay_epochs
        Adam's rate, multiplied by `decay` every `decay_epochs` epochs.
    """

    epochs: Count
    patience: Count
    batch_sites: Count
    learning_rate: Positive = 1e-3
    decay: PositiveShare = 0.6
    decay_epochs: Count = 20

    @property
    def doubled(self) -> FitRecipe:
        """The recipe with twice the epochs, for networks that are not pre-trained."""
        return replace(self, epochs=2 * self.epochs)


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class WorldRecipe:
    """Perturbation of the simulator that makes the truth of the experiments, and the errors of its observation.

    Attributes
    ----------
    ra, rh, grain
        Factors on autotrophic and heterotrophic respiration and on yield; NEE closes the balance.
    flux_error, grain_error
        Coefficient of variation of the observations' lognormal error: of daily Reco, of annual yield.
    """

    ra: Positive
    rh: Positive
    grain: Positive  # the key in recipes and their digests; everywhere else it is called yield
    flux_error: NotNegative
    grain_error: NotNegative


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class ExperimentRecipe:
    """All settings that decide the tables.

    Attributes
    ----------
    seed
        Seed of sites, weights and draws of samples.
    first_year, last_year
        Calendar years of all sequences, inclusive.
    source_sites
        Number of simulated sites of pre-training.
    pool_sites, validation_sites, test_sites
        Number of sites of the observed world from which samples are drawn, by which the best epoch is chosen, and on
        which networks are tested.
    sample_sizes, repeats
        Sites of the sample-size curve, and number of draws of each.
    ablation_sizes, ablation_repeats
        Sites of the small and the large ablation, and number of draws of each.
    outlier
        Standard deviations from the trend beyond which the yield of a site-year is extreme.
    world
        The observed world.
    pretraining, training
        Length and rate of training; networks without pre-training have twice the epochs of `training`.
    """

    seed: Seed
    first_year: Year
    last_year: Year
    source_sites: Count
    pool_sites: Count
    validation_sites: Count
    test_sites: Count
    sample_sizes: tuple[Count, ...]
    repeats: Count
    ablation_sizes: tuple[Count, ...]
    ablation_repeats: Count
    outlier: Number
    world: WorldRecipe
    pretraining: FitRecipe
    training: FitRecipe

    @model_validator(mode="after")
    def _sizes_and_years_fit(self) -> ExperimentRecipe:
        sizes = (*self.sample_sizes, *self.ablation_sizes)
        if not sizes or max(sizes) > self.pool_sites:
            raise ValueError(f"sample sizes {sizes} must lie between 1 and pool_sites, {self.pool_sites}")
        if self.last_year - self.first_year < 2:
            raise ValueError(
                f"{self.first_year}-{self.last_year} must be at least 3 years; move first_year or last_year"
            )
        return self

    @property
    def digest(self) -> str:
        """Hash that changes with any value."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
