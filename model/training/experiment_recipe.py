"""Recipes of experiments: how many sites and years, how long to train, which sample sizes; TOML into frozen values."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from model.training.baselines import FitRecipe
from model.training.recipe import RecipeError

Record = TypeVar("Record")


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
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    try:
        sections = {
            "world": _record(WorldRecipe, raw.get("world", {})),
            "pretraining": _record(FitRecipe, raw.get("pretraining", {})),
            "training": _record(FitRecipe, raw.get("training", {})),
        }
        lists: dict[str, Any] = {name: tuple(raw[name]) for name in ("sample_sizes", "ablation_sizes") if name in raw}
        return _record(ExperimentRecipe, {**raw, **sections, **lists})
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def _record(kind: type[Record], raw: Mapping[str, Any]) -> Record:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = set(raw) - known
    if unknown:
        raise RecipeError(f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}")
    try:
        return kind(**raw)
    except TypeError as error:
        raise RecipeError(f"{kind.__name__}: {error}") from None
