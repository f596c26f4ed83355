"""Fluxes of all models at towers: roles of years, null models that never see their year, and the run of ecosys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pipeline.evaluation.towers as evaluation
from model.checkpoint import Checkpoint
from model.data.records import TowerSet
from model.recipe.experiments import FitRecipe
from pipeline.evaluation.towers import (
    BEFORE,
    CHOSEN,
    ECOSYS,
    JUDGED,
    LEARNED,
    NETWORK,
    PURE,
    TowerFluxes,
    evaluated_towers,
    month_means,
    null_models,
    read_towers,
    tower_fluxes,
    year_roles,
)
from pipeline.site.skill import SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP
from tests.helpers.tower_fluxes import YEARS, random_years, recorded

ROLES = (LEARNED, LEARNED, CHOSEN, JUDGED, JUDGED)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PURE_RECIPE", FitRecipe(epochs=1, patience=1, batch_sites=1))


def fluxes_of(tower: TowerSet, checkpoint: Checkpoint) -> TowerFluxes:
    return tower_fluxes(tower, networks={NETWORK: recorded(checkpoint), BEFORE: checkpoint})


def test_roles_come_from_the_record_and_a_year_or_tower_without_one_is_judged(checkpoint: Checkpoint) -> None:
    network = recorded(checkpoint, test=(2006,))  # 2007 is not named
    assert year_roles(network, site="US-Ne1", years=YEARS) == ROLES
    assert set(year_roles(network, site="US-Ne3", years=YEARS)) == {JUDGED}
    assert set(year_roles(checkpoint, site="US-Ne1", years=YEARS)) == {JUDGED}


def test_towers_of_the_recipe_come_first_and_others_of_the_record_follow(checkpoint: Checkpoint) -> None:
    names = [Path(each.tower[0]).name[4:10] for each in evaluated_towers(recorded(checkpoint, site="US-Bo1"))]
    assert names == ["US-Ne1", "US-Ne2", "US-Ne3", "US-Bo1"]
    assert len(evaluated_towers(recorded(checkpoint))) == 3


@pytest.mark.parametrize("monthly", [False, True])
def test_judged_years_never_enter_what_they_are_compared_with(checkpoint: Checkpoint, monthly: bool) -> None:
    tower = random_years(monthly=monthly)
    other = replace(tower, reco_YT=tower.reco_YT.copy(), nee_YT=tower.nee_YT.copy())
    other.reco_YT[3:] += 50
    other.nee_YT[3:] -= 50
    first, second = (fluxes_of(each, checkpoint) for each in (tower, other))
    assert (PURE in first.nee) is not monthly
    for flux in ("reco", "nee"):
        for model, values in first.models(flux).items():
            assert np.isfinite(values[3:]).all(), model
            np.testing.assert_array_equal(values, second.models(flux)[model])


@pytest.mark.parametrize("roles", [ROLES, (JUDGED,) * 5])
def test_no_null_model_sees_its_own_year(roles: tuple[str, ...]) -> None:
    for monthly in (False, True):
        tower = random_years(monthly=monthly)
        nulls = null_models(tower, roles)
        for year in range(len(YEARS)):
            moved = replace(tower, reco_YT=tower.reco_YT.copy())
            moved.reco_YT[year] += 50
            found = null_models(moved, roles).reco[SEASONAL_CYCLE]
            np.testing.assert_array_equal(found[year], nulls.reco[SEASONAL_CYCLE][year])
            others = np.delete(found - nulls.reco[SEASONAL_CYCLE], year, axis=0)
            assert bool(np.nanmax(np.abs(others)) > 1) is (roles[year] != JUDGED or set(roles) == {JUDGED})


def test_the_null_of_a_month_is_the_mean_of_that_month_in_other_years_of_the_crop() -> None:
    tower = random_years(monthly=True)
    nulls = null_models(tower, (JUDGED,) * 5)
    july = 195
    gpp = tower.x_YTF[2, tower.month_YT[2] == 6, 8].mean(dtype=np.float64)
    expected = (tower.reco_YT[0, july] + tower.reco_YT[4, july]) / 2  # the other years of corn
    assert nulls.reco[SEASONAL_CYCLE][2, july] == pytest.approx(expected, rel=1e-5)
    assert nulls.nee[SEASONAL_RECO_LESS_GPP][2, july] == pytest.approx(expected - gpp, rel=1e-5)
    assert nulls.reco[SEASONAL_CYCLE][2, 5] == pytest.approx(tower.reco_YT[4, 5])  # January 2003 was not observed


def test_months_count_where_nine_tenths_of_their_days_are_seen() -> None:
    tower = random_years()
    values, seen = np.arange(5 * 365.0).reshape(5, 365), np.ones((5, 365), bool)
    seen[0, :4], seen[1, :3] = False, False
    means = month_means(values, seen_YT=seen, month_YT=tower.month_YT)
    assert np.isnan(means[0, 0])
    assert means[1, 0] == pytest.approx(values[1, 3:31].mean())
    assert means[1, 1] == pytest.approx(values[1, 31:60].mean())  # 2004 is a leap year
    assert means[0, 1] == pytest.approx(values[0, 31:59].mean())


def test_predictions_at_a_monthly_tower_are_means_of_months(checkpoint: Checkpoint) -> None:
    tower = random_years(monthly=True)
    values = fluxes_of(tower, checkpoint).reco[NETWORK]
    for month in range(12):
        days = tower.month_YT[0] == month
        assert np.ptp(values[0, days]) < 1e-5
    daily = fluxes_of(replace(tower, monthly=False), checkpoint).reco[NETWORK]
    assert values[0].mean() == pytest.approx(daily[0].mean(), rel=1e-5)


@pytest.mark.realdata
def test_at_mead_ecosys_is_scored_at_its_own_field_alone(checkpoint: Checkpoint, realdata: Path) -> None:
    towers = read_towers(evaluated_towers(checkpoint), network=checkpoint, before=None, data=realdata)
    assert [fluxes.tower.site for fluxes in towers] == ["US-Ne1", "US-Ne2", "US-Ne3"]
    assert [ECOSYS in fluxes.nee for fluxes in towers] == [False, False, True]
    assert all({NETWORK, SEASONAL_CYCLE} <= set(fluxes.reco) for fluxes in towers)
    run = towers[2]
    assert np.isfinite(run.nee[ECOSYS]).all()  # the crops of the run are those of the field
    assert 80 < run.yields[ECOSYS][0] < 160 < run.yields[ECOSYS][1]  # soybean in 2002, maize in 2003
