"""Networks at several flux towers beside null models, pure machine learning and *ecosys*: fluxes by model.

The input GPP of a tower is Reco - NEE, so that NEE is almost given: Reco and annual NEE say more about a model than
daily NEE does. *ecosys* is a run with the GPP of its own, of the field US-Ne3, and not of the tower's GPP.

Shape legend: Y years, T 365 days, M 12 months.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import model.training
from model.checkpoint import Checkpoint
from model.data.records import Booleans, Integers, TowerSet
from model.evaluation.scores import ANNUAL_COVERAGE, Carbon, predicted_carbon
from model.experiments.baselines import tower_baseline
from model.features import CROP_TYPE
from model.recipe.experiments import FitRecipe
from model.recipe.toml import read_toml
from model.recipe.training import Recipe, TowerRecipe
from model.training.tower_stage import TowerData
from pipeline.evaluation.subjects import ECOSYS_FILES, days_of
from pipeline.site.skill import NullModels, seasonal_nulls
from pipeline.sources.towers.read import tower_name
from pipeline.training.files import read_ecosys_run, read_tower_set

Floats: TypeAlias = NDArray[np.float64]

NETWORK, BEFORE, PURE = "network", "before fine-tuning", "pure ML"
ECOSYS, ECOSYS_SITE = "ecosys, own GPP", "US-Ne3"
LEARNED, CHOSEN, JUDGED = "learned", "chosen on", "judged"
ROLES = (LEARNED, CHOSEN, JUDGED)
RECIPE = Path(model.training.__file__).parent / "recipes" / "towers.toml"
"""Recipe whose towers are evaluated if no other is given."""
# Of several recipes tried, the one with which the pure-ML network was best in the validation year.
PURE_RECIPE = FitRecipe(epochs=60, patience=30, batch_sites=1, learning_rate=3e-3, decay=0.7, decay_epochs=25)
PURE_SEED = 1
MID_MONTH = 14  # days after the first, further from other months than the window of seasonal cycles


@dataclass(frozen=True)
class TowerFluxes:
    """Observed and predicted fluxes of a tower.

    Attributes
    ----------
    tower
        Inputs and observations.
    roles
        Role in the training of the network (one of `ROLES`) of each calendar year.
    reco, nee
        Fluxes (Y, 365) by model [g C m-2 d-1], NEE positive to the atmosphere; at a monthly tower the mean of each
        day's month. NaN where a model has no value.
    yields
        Grain (Y,) [g C m-2 yr-1] of the models that have it.
    """

    tower: TowerSet
    roles: tuple[str, ...]
    reco: Mapping[str, Floats]
    nee: Mapping[str, Floats]
    yields: Mapping[str, Floats]

    @property
    def crops(self) -> Integers:
        """(Y,) crop code of each year."""
        return crops_of(self.tower)

    def observed(self, flux: str) -> Floats:
        """Return the observations (Y, 365) of "reco" or "nee"; NaN where masked."""
        values: Floats = Carbon.of_tower(self.tower).daily(flux)[0].astype(np.float64)
        return values

    def models(self, flux: str) -> Mapping[str, Floats]:
        """Return the fluxes of "reco" or "nee" by model."""
        return {"reco": self.reco, "nee": self.nee}[flux]


def crops_of(tower: TowerSet) -> Integers:
    """Return the crop code (Y,) of each year of a tower."""
    return np.rint(tower.x_YTF[:, 0, CROP_TYPE]).astype(np.int64)


def recorded_towers(checkpoint: Checkpoint) -> tuple[TowerRecipe, ...]:
    """Return the towers in the recipe of a checkpoint's record; none if stage 5 was not run or nothing is recorded."""
    return tuple(TowerRecipe(**each) for each in checkpoint.record.get("recipe", {}).get("towers", []))


def evaluated_towers(checkpoint: Checkpoint, recipe: Path = RECIPE) -> tuple[TowerRecipe, ...]:
    """Return the towers of a recipe, then those of the checkpoint's record that it does not name.

    Raises
    ------
    RecipeError
        If the recipe cannot be read.
    """
    towers = read_toml(recipe, Recipe).towers
    named = {_name(each) for each in towers}
    return (*towers, *(each for each in recorded_towers(checkpoint) if _name(each) not in named))


def _name(recipe: TowerRecipe) -> str:
    return tower_name(Path(recipe.tower[0]))


def year_roles(checkpoint: Checkpoint, *, site: str, years: Integers) -> tuple[str, ...]:
    """Return the role of each year of a site in the training of a checkpoint; a year not in its record is judged."""
    roles: dict[int, str] = {}
    for recipe in recorded_towers(checkpoint):
        if _name(recipe) == site:
            roles |= dict.fromkeys(recipe.training_years, LEARNED) | dict.fromkeys(recipe.validation_years, CHOSEN)
    return tuple(roles.get(int(year), JUDGED) for year in years)


def read_towers(
    recipes: Sequence[TowerRecipe], *, network: Checkpoint, before: Checkpoint | None, data: Path
) -> tuple[TowerFluxes, ...]:
    """Return the fluxes of all models at each tower.

    Parameters
    ----------
    recipes
        Towers.
    network, before
        Checkpoint to evaluate, whose record decides the roles of the years; and one before its fine-tuning.
    data
        Folder of the towers' files, and of the run of *ecosys* (`ECOSYS_FILES`), which may be absent.

    Raises
    ------
    UserError
        If a tower's file is missing or refused.
    """
    networks = {NETWORK: network} | ({BEFORE: before} if before else {})
    return tuple(
        tower_fluxes(tower, networks=networks, ecosys=_ecosys(tower, data))
        for tower in (read_tower_set(recipe, data) for recipe in recipes)
    )


def tower_fluxes(tower: TowerSet, *, networks: Mapping[str, Checkpoint], ecosys: Carbon | None = None) -> TowerFluxes:
    """Return the fluxes of networks by name, of null models, of pure ML where years are learned by the day, and a run.

    Parameters
    ----------
    tower
        Inputs and observations.
    networks
        Checkpoints by name; the record of `NETWORK` decides the roles of the years.
    ecosys
        Carbon of the run in the years of the tower.
    """
    roles = year_roles(networks[NETWORK], site=tower.site, years=tower.years)
    carbon = {name: _predicted(checkpoint, tower) for name, checkpoint in networks.items()}
    carbon |= {ECOSYS: ecosys} if ecosys else {}
    reco, nee = ({name: each.daily(flux)[0] for name, each in carbon.items()} for flux in ("reco", "nee"))
    if not tower.monthly and {LEARNED, CHOSEN} <= set(roles):
        pure_YT2 = _pure(tower, roles, networks[NETWORK])
        reco[PURE], nee[PURE] = pure_YT2[..., 0], pure_YT2[..., 1]
    reco, nee = ({name: _as_observed(tower, values) for name, values in flux.items()} for flux in (reco, nee))
    nulls = null_models(tower, roles)
    yields = {name: each.yield_NY[0].astype(np.float64) for name, each in carbon.items()}
    return TowerFluxes(tower, roles, {**reco, **nulls.reco}, {**nee, **nulls.nee}, yields)


def _predicted(checkpoint: Checkpoint, tower: TowerSet) -> Carbon:
    return predicted_carbon(checkpoint.network(), tower.x_YTF[None], scalers=checkpoint.scalers)


def _as_observed(tower: TowerSet, values_YT: NDArray[np.floating]) -> Floats:
    return tower.as_observed(values_YT.astype(np.float32)).astype(np.float64)


def _pure(tower: TowerSet, roles: Sequence[str], checkpoint: Checkpoint) -> NDArray[np.float32]:
    learned, chosen = (tuple(tower.years[np.array(roles) == role].tolist()) for role in (LEARNED, CHOSEN))
    data = TowerData(tower, learned, chosen)
    return tower_baseline(data, scalers=checkpoint.scalers, recipe=PURE_RECIPE, seed=PURE_SEED)


def _ecosys(tower: TowerSet, data: Path) -> Carbon | None:
    """Return the run's carbon, the mean of its cycles, in the tower's years of the same crop; None at other sites."""
    daily, soil = (data / name for name in ECOSYS_FILES)
    if tower.site != ECOSYS_SITE or not (daily.exists() and soil.exists()):
        return None
    run = read_ecosys_run(daily, soil=soil)
    mean, crops = Carbon.of_sites(run), dict(zip(run.years.tolist(), run.crop_NY[0].tolist(), strict=True))
    same = [crops.get(int(year)) == crop for year, crop in zip(tower.years, crops_of(tower), strict=True)]
    index = np.searchsorted(run.years, tower.years).clip(max=len(run.years) - 1)

    def in_years(values: NDArray[np.floating]) -> NDArray[np.float32]:
        chosen = values.mean(0)[index]
        chosen[~np.array(same)] = np.nan
        result: NDArray[np.float32] = chosen[None].astype(np.float32)
        return result

    return Carbon(*(in_years(getattr(mean, name)) for name in Carbon.__dataclass_fields__))


def null_models(tower: TowerSet, roles: Sequence[str]) -> NullModels:
    """Return the null models (Y, 365) of a tower: mean seasonal cycles of years other than the year itself.

    They are made of learned and chosen years; where a tower has none, of its other judged years. At a monthly tower
    they are means of the same month.
    """
    known_Y1 = np.array(roles)[:, None] != JUDGED
    known_Y1 = known_Y1 if known_Y1.any() else ~known_Y1
    seen_YT = tower.mask_YT & known_Y1
    carbon, shape = Carbon.of_tower(tower), tower.mask_YT.shape
    values = [np.where(seen_YT, carbon.daily(name)[0], np.nan) for name in ("reco", "nee")]
    gpp_YT, dates = carbon.gpp_NYT[0], days_of(tower.years)
    if tower.monthly:
        values = [month_means(each, seen_YT=seen_YT, month_YT=tower.month_YT) for each in values]
        gpp_YT = month_means(gpp_YT, seen_YT=np.ones(shape, bool), month_YT=tower.month_YT)
        first = (tower.years[:, None] - 1970) * 12 + np.arange(12)
        dates = (first.astype("datetime64[M]").astype("datetime64[D]") + MID_MONTH).ravel()
    crop = np.repeat(crops_of(tower), gpp_YT.shape[1])
    reco, nee, gpp = (each.ravel().astype(np.float64) for each in (*values, gpp_YT))
    nulls = seasonal_nulls(reco, nee, gpp=gpp, dates=dates, crop=crop)

    def by_day(flux: Mapping[str, Floats]) -> dict[str, Floats]:
        grids = {name: each.reshape(gpp_YT.shape) for name, each in flux.items()}
        months = tower.month_YT
        return {name: np.take_along_axis(each, months, 1) if tower.monthly else each for name, each in grids.items()}

    return NullModels(by_day(nulls.reco), by_day(nulls.nee))


def month_means(values_YT: NDArray[np.floating], *, seen_YT: Booleans, month_YT: Integers) -> Floats:
    """Return means (Y, 12) over the seen days of months of which nine tenths (`ANNUAL_COVERAGE`) are seen; else NaN."""
    in_month_YTM = month_YT[..., None] == np.arange(12)
    seen_YTM = in_month_YTM & seen_YT[..., None]
    days_YM = seen_YTM.sum(1)
    sums_YM = np.where(seen_YTM, values_YT[..., None], 0.0).sum(1, dtype=np.float64)
    enough_YM = days_YM >= ANNUAL_COVERAGE * in_month_YTM.sum(1)
    means_YM: Floats = np.where(enough_YM, sums_YM / np.maximum(days_YM, 1), np.nan)
    return means_YM
