"""Training recipes: what data, which stages, how long; a TOML file parsed into frozen values."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

Record = TypeVar("Record")


class RecipeError(ValueError):
    """A recipe that cannot be trained; the message names the key."""


@dataclass(frozen=True)
class DataRecipe:
    """Synthetic sites to simulate.

    Attributes
    ----------
    sites
        Number of sites in training.
    held_out_sites
        Number of sites kept for validation, all their years.
    first_year, last_year
        Calendar years, inclusive.
    held_out_years
        Years of each training site kept for validation.
    """

    sites: int
    held_out_sites: int
    first_year: int
    last_year: int
    held_out_years: int

    def __post_init__(self) -> None:
        if self.sites < 1 or self.held_out_sites < 1:
            raise RecipeError(f"recipe data: {self.sites} sites and {self.held_out_sites} held out; both at least 1")
        if not 1 <= self.held_out_years <= self.last_year - self.first_year - 1:
            raise RecipeError(
                f"recipe data: held_out_years {self.held_out_years} of {self.first_year}-{self.last_year}; "
                f"hold out at least 1 and keep 2"
            )


@dataclass(frozen=True)
class StageRecipe:
    """One stage of training.

    Attributes
    ----------
    step
        Number of the stage in the published sequence.
    epochs, patience
        Most epochs, and epochs without a better validation score after which the stage ends.
    learning_rate, decay, decay_epochs
        Adam's rate, multiplied by `decay` every `decay_epochs` epochs.
    pace, pace_growth
        Self-paced limit of the first epoch, and its factor from epoch to epoch.
    """

    step: int
    epochs: int
    patience: int
    learning_rate: float
    decay: float
    decay_epochs: int
    pace: float = 1.0
    pace_growth: float = 1.02

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1 or self.decay_epochs < 1:
            raise RecipeError(f"recipe stage {self.step}: epochs, patience and decay_epochs must be at least 1")
        if not (self.learning_rate > 0 and 0 < self.decay <= 1 and self.pace > 0):
            raise RecipeError(f"recipe stage {self.step}: learning_rate and pace above 0, decay in (0, 1]")

    def pace_of(self, epoch: int) -> float:
        """Return the self-paced limit of an epoch, counted from 0."""
        return self.pace * self.pace_growth**epoch


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run."""

    seed: int
    batch_sites: int
    data: DataRecipe
    stages: tuple[StageRecipe, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Hash that changes with any value of the recipe."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file is absent, not TOML, or holds a missing, unknown or impossible value.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML ({error})") from error
    try:
        stages = tuple(_record(StageRecipe, stage) for stage in raw.pop("stages", ()))
        return _record(Recipe, {**raw, "data": _record(DataRecipe, raw.get("data", {})), "stages": stages})
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
