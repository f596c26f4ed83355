"""Recipes of experiments: how many sites and years, how long to train, which sample sizes; TOML into frozen values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.experiments.baselines import FitRecipe
from model.recipe.toml import RecipeError, read_toml, record


@dataclass(frozen=True)
class WorldRecipe:
    """How the world that is observed differs from the simulator that pre-training learns from.

    Attributes
    ----------
    ra, rh, grain
        Factors on autotrophic and heterotrophic respiration and on yield; NEE closes the balance.
    flux_error, grain_error
        Coefficient of variation of the observations' lognormal error: of daily Reco, of annual yield.
    """

    ra: float
    rh: float
    grain: float
    flux_error: float
    grain_error: float

    def __post_init__(self) -> None:
        if min(self.ra, self.rh, self.grain) <= 0 or min(self.flux_error, self.grain_error) < 0:
            raise RecipeError("world: ra, rh and grain must be above 0, errors at least 0")


@dataclass(frozen=True)
class ExperimentRecipe:
    """All that decides the tables.

    Attributes
    ----------
    seed
        Of sites, weights and draws of samples.
    first_year, last_year
        Of all sequences, inclusive.
    source_sites
        Simulated sites of pre-training.
    pool_sites, validation_sites, test_sites
        Sites of the observed world: to draw samples from, to choose the best epoch, to test.
    sample_sizes, repeats
        Sites of the sample-size curve, each drawn so often.
    ablation_sizes
        Sites of the small and the large ablation.
    outlier
        Standard deviations from the trend beyond which the yield of a site-year is extreme.
    world
        The observed world.
    pretraining, training
        How long and how fast; networks without pre-training have twice the epochs of `training`.
    """

    seed: int
    first_year: int
    last_year: int
    source_sites: int
    pool_sites: int
    validation_sites: int
    test_sites: int
    sample_sizes: tuple[int, ...]
    repeats: int
    ablation_sizes: tuple[int, ...]
    outlier: float
    world: WorldRecipe
    pretraining: FitRecipe
    training: FitRecipe

    def __post_init__(self) -> None:
        sizes = (*self.sample_sizes, *self.ablation_sizes)
        if not sizes or min(sizes) < 1 or max(sizes) > self.pool_sites:
            raise RecipeError(f"experiment: sample sizes {sizes} must lie between 1 and pool_sites, {self.pool_sites}")
        counts = (self.source_sites, self.validation_sites, self.test_sites, self.repeats)
        if min(counts) < 1 or self.last_year - self.first_year < 2:
            raise RecipeError("experiment: sites and repeats must be at least 1, years at least 3")

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Hash that changes with any value."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()


def read_experiment_recipe(path: Path) -> ExperimentRecipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file is absent, not TOML, or holds a missing, unknown or impossible value.
    """
    return read_toml(path, _recipe)


def _recipe(raw: Mapping[str, Any]) -> ExperimentRecipe:
    sections = {
        "world": record(WorldRecipe, raw.get("world", {})),
        "pretraining": record(FitRecipe, raw.get("pretraining", {})),
        "training": record(FitRecipe, raw.get("training", {})),
    }
    lists: dict[str, Any] = {name: tuple(raw[name]) for name in ("sample_sizes", "ablation_sizes") if name in raw}
    return record(ExperimentRecipe, {**raw, **sections, **lists})
