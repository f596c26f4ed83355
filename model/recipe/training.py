"""Training recipes: which data, which stages, how long; a TOML file parsed into typed, frozen values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field, fields, is_dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from model.losses import BALANCE_TOLERANCE, YIELD_LIMIT
from model.network import DROPOUT
from model.recipe.toml import (
    NO_OTHER_KEYS,
    Count,
    CountOrZero,
    NotNegative,
    Number,
    Positive,
    PositiveShare,
    RecipeError,
    Seed,
    ShareBelowOne,
    Year,
)

Step = Annotated[int, Field(strict=True, ge=1, le=5)]
"""Number of a stage in the published sequence."""


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class DataRecipe:
    """Synthetic sites, simulated or read from a file.

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
        Sequences in the published layout (`model.data.published_layout`) of at least as many sites and of these years;
        a relative path is taken from the working directory. None simulates them.
    """

    sites: Count
    held_out_sites: CountOrZero
    first_year: Year
    last_year: Year
    held_out_years: Count
    file: str | None = None

    @model_validator(mode="after")
    def _years_suffice(self) -> DataRecipe:
        if self.held_out_years > self.last_year - self.first_year - 1:
            raise ValueError(
                f"held_out_years {self.held_out_years} of {self.first_year}-{self.last_year} leave fewer than 2 years "
                f"to train on; hold out fewer or add years"
            )
        return self

    @property
    def all_sites(self) -> int:
        """Number of sites, held out or not."""
        return self.sites + self.held_out_sites


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class CheckRecipe:
    """Size of the response checks; the published ones run all levels over all years.

    Attributes
    ----------
    sites
        Training sites whose inputs are moved.
    level_stride
        Stride through the levels of the published grids; 1 runs every level.
    years
        Number of years run from the start of the sequences, after a spin-up over the first two.
    """

    sites: Count = 10
    level_stride: Count = 1
    years: Count = 18


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class CountyRecipe:
    """Counties that stage 3 learns from, simulated.

    Attributes
    ----------
    counties, points
        Number of counties, and of points in each.
    training_points
        Largest number of a county's points, drawn at random, that one epoch of training uses.
    batch_counties
        Counties of a batch.
    first_year, last_year
        Calendar years, inclusive.
    """

    counties: Count = 630
    points: Count = 300
    training_points: Count = 200
    batch_counties: Count = 2
    first_year: Year = 2000
    last_year: Year = 2020

    @model_validator(mode="after")
    def _years_suffice(self) -> CountyRecipe:
        if self.last_year <= self.first_year:
            raise ValueError(f"{self.first_year}-{self.last_year} are fewer than 2 years; move first_year or last_year")
        return self


def _several(names: object) -> object:
    return (names,) if isinstance(names, str) else names


Names = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""One name or several, as a text or a list of texts."""


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class TowerRecipe:
    """One flux tower that stage 5 learns from.

    Attributes
    ----------
    soil
        File in the folder of tower data.
    tower
        File of the tower in that folder, or several of different years.
    crop
        "corn", or the crop of each year as "2001=corn,2002=soybean".
    years
        Years to run, as "2001-2004".
    training_years, validation_years, test_years
        Years to train on, to choose the best epoch by, and to score; no year may be in two of them.
    weather
        Folder of hourly weather in the folder of tower data, or files of a tower nearby; absent for the weather of the
        tower's own files.
    monthly
        Whether the tower's file is one of months: monthly means are learned and scored.
    weight
        Weight of the tower's loss beside that of other towers: the mean of a month has a smaller error than a day.
    """

    soil: str
    tower: Names
    crop: str
    years: str
    training_years: tuple[Year, ...] = ()
    validation_years: tuple[Year, ...] = ()
    test_years: tuple[Year, ...] = ()
    weather: Names = ()
    monthly: bool = False
    weight: Positive = 1.0

    @model_validator(mode="after")
    def _years_are_distinct(self) -> TowerRecipe:
        years = [*self.training_years, *self.validation_years, *self.test_years]
        if not years or len(set(years)) < len(years):
            raise ValueError(f"{', '.join(self.tower)}: give years to train on or to score, no year twice")
        return self


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class StageRecipe:
    """One stage of training; defaults are those of the published code.

    Attributes
    ----------
    step
        Number of the stage in the published sequence.
    epochs, patience
        Largest number of epochs, and number of epochs without a better validation score after which the stage ends.
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
        Weight of the mass balance, and the imbalance that goes unpunished, relative to respiration (stages 2, 4, 5).
    annual_balance_weight
        Weight of the annual imbalance (stages 2, 4, 5); not published.
    replay_weight
        Weight of a batch of simulated sites that each epoch replays (stage 5); 0 replays none, as published.
    response_weight
        Weight of the response checks (stages 2 to 5); 0 leaves them out, with their cost.
    yield_limit
        Largest yield that goes unpunished, relative to GPP (stage 3).
    average_decay
        Share of the running mean of the weights that is kept at each step; its weights are then validated and kept
        instead of the last ones. 0 takes the last ones.
    stop_r2
        Mean R2 of training above which the stage ends.
    """

    step: Step
    epochs: Count
    patience: Count
    learning_rate: Positive
    decay: PositiveShare
    decay_epochs: Count
    pace: Positive = 1.0
    pace_growth: Number = 1.02
    pace_epochs: CountOrZero = 500
    basis_factor: Number = 0.2
    rh_factor: Number = 0.4
    dropout: ShareBelowOne = DROPOUT
    balance_weight: NotNegative = 1.0
    balance_tolerance: NotNegative = BALANCE_TOLERANCE
    annual_balance_weight: NotNegative = 0.0
    replay_weight: NotNegative = 0.0
    response_weight: NotNegative = 1.0
    yield_limit: Number = YIELD_LIMIT
    average_decay: ShareBelowOne = 0.0
    stop_r2: Number = 0.999

    def pace_of(self, epoch: int) -> float:
        """Return the self-paced limit of an epoch, counted from 0."""
        return self.pace * self.pace_growth ** min(epoch, self.pace_epochs)


@dataclass(frozen=True, config=NO_OTHER_KEYS)
class Recipe:
    """All settings that decide a training run.

    Attributes
    ----------
    seed
        Seed of first weights, order of the batches and dropout; also of data and splits unless `data_seed` is given.
    batch_sites
        Sites of a batch (stages 1, 2, 4).
    data, stages, checks
        Synthetic sites, the stages of training, and the size of their response checks.
    counties
        Counties of stage 3.
    towers
        Towers of stage 5.
    data_seed
        Seed of data and splits: the members of an ensemble share it, and each has a `seed` of its own.
    """

    seed: Seed
    batch_sites: Count
    data: DataRecipe
    stages: tuple[StageRecipe, ...]
    checks: CheckRecipe = field(default_factory=CheckRecipe)
    counties: CountyRecipe | None = None
    towers: tuple[TowerRecipe, ...] = ()
    data_seed: Seed | None = None

    @model_validator(mode="after")
    def _stages_have_data(self) -> Recipe:
        steps = self.steps
        if not steps or list(steps) != sorted(set(steps)):
            raise ValueError(f"stages {list(steps)} must be one or more of 1 to 5, each once and in order")
        if 3 in steps and self.counties is None:
            raise ValueError("stage 3 learns from counties; add a section [counties]")
        learned = any(tower.training_years for tower in self.towers)
        if 5 in steps and not (learned and any(tower.validation_years for tower in self.towers)):
            raise ValueError("stage 5 needs sections [[towers]] with training_years and with validation_years")
        return self

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
        """Return the recipe without later stages and their data: all settings that decide one stage's result."""
        return replace(
            self,
            stages=tuple(stage for stage in self.stages if stage.step <= step),
            counties=self.counties if step >= 3 else None,
            towers=self.towers if step >= 5 else (),
        )

    @property
    def digest(self) -> str:
        """Hash that changes with any value of the recipe; settings at their default leave it unchanged.

        An interrupted training therefore resumes even under a later version that knows more settings.
        """
        return hashlib.sha256(json.dumps(_changed(self), sort_keys=True).encode()).hexdigest()


def _changed(value: Any) -> Any:
    """Return the values of a record that differ from their defaults, as JSON values."""
    # Sections with a default factory are always named, changed or not, as in the digests of earlier versions.
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _changed(getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default}
    return [_changed(item) for item in value] if isinstance(value, tuple) else value
