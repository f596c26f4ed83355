"""A tower's test years: scored by hand, and never shown to what is learned from the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import pipeline.evaluation.tower as evaluation
from model.checkpoint import Checkpoint
from model.data.records import TowerSet
from model.data.sites import simulate_sites
from model.recipe.experiments import FitRecipe
from model.recipe.training import TowerRecipe
from pipeline.errors import UserError
from pipeline.evaluation.tower import BEFORE, FINE_TUNED, PURE, TowerFluxes
from pipeline.site.skill import SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP

YEARS = TowerRecipe("s", "t", "corn", "2003-2005", (2003,), (2004,), (2005,))


@pytest.fixture(scope="module")
def tower() -> TowerSet:
    site = simulate_sites(11, sites=1, years=np.arange(2003, 2006))
    ra, rh, nee = np.moveaxis(site.fluxes_NYT3[0], -1, 0)
    mask = np.random.default_rng(0).random(nee.shape) < 0.95
    reco = np.where(mask, -(ra + rh), 0).astype(np.float32)
    nee = np.where(mask, nee, 0).astype(np.float32)
    return TowerSet("XX-Sim", site.x_NYTF[0], reco, nee, mask, site.years, "simulated")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PURE_RECIPE", FitRecipe(epochs=1, patience=1, batch_sites=1))


def fluxes_of(tower: TowerSet, checkpoint: Checkpoint) -> TowerFluxes:
    return evaluation.tower_fluxes(tower, YEARS, fine_tuned=checkpoint, before=checkpoint)


@pytest.mark.usefixtures("quick")
def test_test_years_never_enter_what_they_are_scored_against(tower: TowerSet, checkpoint: Checkpoint) -> None:
    other = replace(tower, reco_YT=tower.reco_YT.copy(), nee_YT=tower.nee_YT.copy())
    other.reco_YT[2] += 50
    other.nee_YT[2] -= 50
    both = [fluxes_of(each, checkpoint) for each in (tower, other)]
    for model in (PURE, SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP):
        for flux in (each.nee for each in both):
            assert np.isfinite(flux[model]).all(), model
        np.testing.assert_array_equal(both[0].nee[model][2], both[1].nee[model][2])


@pytest.mark.usefixtures("quick")
def test_the_table_holds_the_scores_of_the_test_year_and_the_error_of_its_sum(
    tower: TowerSet, checkpoint: Checkpoint
) -> None:
    fluxes = fluxes_of(tower, checkpoint)
    table = evaluation.tower_table(fluxes).set_index(["flux", "model"])
    assert {model for _, model in table.index} == {FINE_TUNED, BEFORE, PURE, SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP}
    kept = tower.mask_YT[2]
    for model in (FINE_TUNED, SEASONAL_CYCLE):
        error = (fluxes.reco[model][2] - tower.reco_YT[2])[kept]
        row = table.loc[("reco", model)]
        assert row["days"] == kept.sum()
        assert row["r2"] == pytest.approx(1 - (error**2).mean() / tower.reco_YT[2][kept].var(), abs=1e-6)
        assert row["annual_bias"] == pytest.approx(error.sum(), rel=1e-5)
        assert row["years"] == 1


def test_a_checkpoint_that_no_tower_tuned_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match="0 towers with test years"):
        evaluation.tower_recipe(checkpoint)
