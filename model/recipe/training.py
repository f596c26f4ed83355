"""Training recipes: what data, which stages, how long; a TOML file parsed into frozen values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from model.losses import BALANCE_TOLERANCE, YIELD_LIMIT
from model.network import DROPOUT
from model.recipe.toml import RecipeError as RecipeError
from model.recipe.toml import read_toml, record

STEPS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class DataRecipe:
    """Synthetic sites: to simulate, or those of a file.

    Attributes
    ----------
    sites
        Number of sites in training.
    held_out_sites
        Number of sites kept for testing, all their years; with 0, held-out years of every site test, as published.
    first_year, last_year
        Calendar years, inclusive.
    held_out_years
        Years of each training site kept to choose the best epoch.
    file
        Sequences in the published layout (`model.data.published_layout`) that hold these sites, as many or more,
        and these years; the path is as a shell would take it.
    """

    sites: int
    held_out_sites: int
    first_year: int
    last_year: int
    held_out_years: int
    file: str | None = None

    def __post_init__(self) -> None:
        if self.sites < 1 or self.held_out_sites < 0:
            raise RecipeError(
                f"recipe data: {self.sites} sites and {self.held_out_sites} held out; at least 1, and not below 0"
            )
        if not 1 <= self.held_out_years <= self.last_year - self.first_year - 1:
            raise RecipeError(
                f"recipe data: held_out_years {self.held_out_years} of {self.first_year}-{self.last_year}; "
                f"hold out at least 1 and keep 2"
            )

    @property
    def all_sites(self) -> int:
        """Number of sites, held out or not."""
        return self.sites + self.held_out_sites


@dataclass(frozen=True)
class CheckRecipe:
    """Size of the response checks; the published ones run all levels over all years.

    Attributes
    ----------
    sites
        Training sites whose inputs are moved.
    level_stride
        Every which level of the published grids is run.
    years
        First years of the sequences that are run, after a spin-up over the first two.
    """

    sites: int = 10
    level_stride: int = 1
    years: int = 18

    def __post_init__(self) -> None:
        if min(self.sites, self.level_stride, self.years) < 1:
            raise RecipeError("recipe checks: sites, level_stride and years must be at least 1")


@dataclass(frozen=True)
class CountyRecipe:
    """Counties that stage 3 learns from, simulated.

    Attributes
    ----------
    counties, points
        Number of counties, and of points of each.
    training_points
        Largest number of a county's points that one epoch of training runs, drawn at random.
    batch_counties
        Counties of a batch.
    first_year, last_year
        Calendar years, inclusive.
    """

    counties: int = 630
    points: int = 300
    training_points: int = 200
    batch_counties: int = 2
    first_year: int = 2000
    last_year: int = 2020

    def __post_init__(self) -> None:
        if min(self.counties, self.points, self.training_points, self.batch_counties) < 1:
            raise RecipeError(
                "recipe counties: counties, points, training_points and batch_counties must be at least 1"
            )
        if self.last_year <= self.first_year:
            raise RecipeError(f"recipe counties: {self.first_year}-{self.last_year} are fewer than 2 years")


@dataclass(frozen=True)
class TowerRecipe:
    """One flux tower that stage 5 learns from.

    Attributes
    ----------
    weather, soil, tower
        Files in the folder of tower data.
    crop
        "corn", or "2001=corn,2002=soybean".
    years
        Years to run, as "2001-2004".
    training_years, validation_years, test_years
        Years to learn from, to choose the best epoch with, and to score; none may be in two of them.
    """

    weather: str
    soil: str
    tower: str
    crop: str
    years: str
    training_years: tuple[int, ...]
    validation_years: tuple[int, ...]
    test_years: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # TOML has lists.
        for name in ("training_years", "validation_years", "test_years"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        years = [*self.training_years, *self.validation_years, *self.test_years]
        if not (self.training_years and self.validation_years) or len(set(years)) < len(years):
            raise RecipeError(
                f"recipe tower {self.tower}: training_years and validation_years need a year each, and no year twice"
            )


@dataclass(frozen=True)
class StageRecipe:
    """One stage of training; what has a default is as in the published code.

    Attributes
    ----------
    step
        Number of the stage in the published sequence.
    epochs, patience
        Most epochs, and epochs without a better validation score after which the stage ends.
    learning_rate, decay, decay_epochs
        Adam's rate, multiplied by `decay` every `decay_epochs` epochs.
    pace, pace_growth, pace_epochs
        Self-paced limit of the first epoch, and its factor from epoch to epoch until `pace_epochs` (stages 1, 3).
    basis_factor
        Rate of the shared GRU relative to `learning_rate` (stage 3).
    rh_factor
        Rate of the Rh block relative to `learning_rate` (stage 5).
    dropout
        Share of units dropped in training.
    balance_weight, balance_tolerance
        Weight of the mass balance, and the imbalance that passes, relative to respiration (stages 2, 4, 5).
    annual_balance_weight
        Weight of the annual imbalance (stages 2, 4); not published.
    response_weight
        Weight of the response checks (stages 2 to 5); 0 leaves them out, with their cost.
    yield_limit
        Largest yield that passes, relative to GPP (stage 3).
    average_decay
        Share of the running mean of the weights that is kept at each step; its weights are then validated and kept
        instead of the last ones. 0 takes the last ones.
    stop_r2
        Mean R2 of training above which the stage ends.
    """

    step: int
    epochs: int
    patience: int
    learning_rate: float
    decay: float
    decay_epochs: int
    pace: float = 1.0
    pace_growth: float = 1.02
    pace_epochs: int = 500
    basis_factor: float = 0.2
    rh_factor: float = 0.4
    dropout: float = DROPOUT
    balance_weight: float = 1.0
    balance_tolerance: float = BALANCE_TOLERANCE
    annual_balance_weight: float = 0.0
    response_weight: float = 1.0
    yield_limit: float = YIELD_LIMIT
    average_decay: float = 0.0
    stop_r2: float = 0.999

    def __post_init__(self) -> None:
        if self.step not in STEPS:
            raise RecipeError(f"recipe stage {self.step}: the published stages are 1 to 5")
        if self.epochs < 1 or self.patience < 1 or self.decay_epochs < 1:
            raise RecipeError(f"recipe stage {self.step}: epochs, patience and decay_epochs must be at least 1")
        if not (self.learning_rate > 0 and 0 < self.decay <= 1 and self.pace > 0):
            raise RecipeError(f"recipe stage {self.step}: learning_rate and pace above 0, decay in (0, 1]")
        if not (0 <= self.dropout < 1 and 0 <= self.average_decay < 1):
            raise RecipeError(f"recipe stage {self.step}: dropout and average_decay in [0, 1)")
        weights = (self.balance_weight, self.annual_balance_weight, self.response_weight, self.balance_tolerance)
        if min(weights) < 0:
            raise RecipeError(f"recipe stage {self.step}: weights and balance_tolerance must be at least 0")

    def pace_of(self, epoch: int) -> float:
        """Return the self-paced limit of an epoch, counted from 0."""
        return self.pace * self.pace_growth ** min(epoch, self.pace_epochs)


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run.

    Attributes
    ----------
    seed
        Of first weights, order of the batches and dropout; of data and splits too, without `data_seed`.
    batch_sites
        Sites of a batch (stages 1, 2, 4).
    data, stages, checks
        Synthetic sites; what is trained on them, and with which response checks.
    counties
        Counties of stage 3.
    towers
        Towers of stage 5.
    data_seed
        Of data and splits; the members of an ensemble have one in common, and each a seed of its own.
    """

    seed: int
    batch_sites: int
    data: DataRecipe
    stages: tuple[StageRecipe, ...]
    checks: CheckRecipe = field(default_factory=CheckRecipe)
    counties: CountyRecipe | None = None
    towers: tuple[TowerRecipe, ...] = ()
    data_seed: int | None = None

    def __post_init__(self) -> None:
        if self.batch_sites < 1:
            raise RecipeError(f"recipe: batch_sites {self.batch_sites} must be at least 1")
        steps = [stage.step for stage in self.stages]
        if not steps or steps != sorted(set(steps)):
            raise RecipeError(f"recipe: stages {steps} must be one or more of 1 to 5, each once and in order")
        if 3 in steps and self.counties is None:
            raise RecipeError("recipe: stage 3 learns from counties; add a section [counties]")
        if 5 in steps and not self.towers:
            raise RecipeError("recipe: stage 5 learns from towers; add a section [[towers]]")

    @property
    def seed_of_data(self) -> int:
        """The seed of data and splits."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def steps(self) -> tuple[int, ...]:
        """Numbers of the stages, in order."""
        return tuple(stage.step for stage in self.stages)

    def stage(self, step: int) -> StageRecipe:
        """Return the recipe of one stage.

        Raises
        ------
        RecipeError
            If the recipe does not have it.
        """
        for stage in self.stages:
            if stage.step == step:
                return stage
        raise RecipeError(f"recipe: no stage {step}; it has {', '.join(map(str, self.steps))}")

    def until(self, step: int) -> Recipe:
        """Return the recipe without the stages after one and their data: all that decides that stage's result."""
        return replace(
            self,
            stages=tuple(stage for stage in self.stages if stage.step <= step),
            counties=self.counties if step >= 3 else None,
            towers=self.towers if step >= 5 else (),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """Hash that changes with any value of the recipe; settings that have their default leave it as it is.

        So a run goes on where it was killed even if a later version knows more settings.
        """
        return hashlib.sha256(json.dumps(_set(self), sort_keys=True).encode()).hexdigest()


def _set(value: Any) -> Any:
    """Return what a record sets beside its defaults, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _set(getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default}
    return [_set(item) for item in value] if isinstance(value, tuple) else value


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file is absent, not TOML, or holds a missing, unknown or impossible value.
    """
    return read_toml(path, parse_recipe)


def parse_recipe(raw: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a TOML file or the record of a checkpoint holds.

    Raises
    ------
    RecipeError
        For a missing, unknown or impossible value.
    """
    sections: dict[str, Any] = {"data": record(DataRecipe, raw.get("data", {}))}
    if "checks" in raw:
        sections["checks"] = record(CheckRecipe, raw["checks"])
    if "counties" in raw:
        sections["counties"] = record(CountyRecipe, raw["counties"])
    sections["towers"] = tuple(record(TowerRecipe, tower) for tower in raw.get("towers", ()))
    sections["stages"] = tuple(record(StageRecipe, stage) for stage in raw.get("stages", ()))
    return record(Recipe, {**raw, **sections})
