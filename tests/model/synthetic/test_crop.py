"""Crop, soil climate and decomposition, one process at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.features import CORN, SOYBEAN
from model.synthetic.crop import (
    CORN_SPECIES,
    CropForcing,
    Plant,
    Season,
    bare,
    development_stage,
    grow,
    harvest,
    photosynthesis,
    root_depth,
    sow,
    species_of,
)
from model.synthetic.decomposition import (
    ACTIVE,
    POOLS,
    SURFACE,
    Litter,
    abiotic_factor,
    add_litter,
    bury,
    decompose,
    disturb,
    initial_pools,
    temperature_response,
    turnover_of,
)
from model.synthetic.soil_water import field_capacity_state
from model.synthetic.soils import Soils, draw_soils

BOTH = np.array([CORN, SOYBEAN])
SEASON = Season(species_of(BOTH), requirement=np.array([1500.0, 1500.0]), efficiency=np.ones(2))
LITTER = Litter(*(np.full(2, value) for value in (300.0, 100.0, 20.0)))
MILD = CropForcing(*(np.full(2, value) for value in (22.0, 16.0, 10.0, 1.0, 1.0)))


def plant(thermal_time: float) -> Plant:
    organs = (np.full(2, value) for value in (80.0, 120.0, 60.0, 40.0))
    return Plant(np.full(2, thermal_time), np.array([True, True]), *organs)


@pytest.fixture
def soils() -> Soils:
    return draw_soils(4, sites=2)


def test_photosynthesis_is_absorbed_light_times_efficiency_in_mild_weather() -> None:
    leaf_area = 80.0 * 0.045
    expected = 1.97 * 10.0 * (1 - np.exp(-0.55 * leaf_area))
    assert photosynthesis(plant(900.0), season=SEASON, day=MILD)[0] == pytest.approx(expected)


def test_photosynthesis_falls_with_cold_dry_air_and_drought() -> None:
    best = photosynthesis(plant(900.0), season=SEASON, day=MILD)
    withered = MILD._replace(water_limit=np.zeros(2))
    assert photosynthesis(plant(900.0), season=SEASON, day=withered).tolist() == [0.0, 0.0]
    for worse in (MILD._replace(tmean=np.full(2, 10.0)), MILD._replace(deficit=np.full(2, 3.0)),
                  MILD._replace(water_limit=np.full(2, 0.5))):  # fmt: skip
        assert np.all(photosynthesis(plant(900.0), season=SEASON, day=worse) < 0.95 * best)


@pytest.mark.parametrize("thermal_time", [40.0, 300.0, 900.0, 1300.0, 1700.0])
@pytest.mark.parametrize("par", [0.0, 10.0])
def test_a_day_of_growth_conserves_carbon_at_every_stage_in_light_and_dark(thermal_time: float, par: float) -> None:
    before = plant(thermal_time)
    day = MILD._replace(par=np.full(2, par))
    gpp = photosynthesis(before, season=SEASON, day=day)
    after = grow(before, season=SEASON, day=day, gpp=gpp)
    change = after.plant.carbon - before.carbon
    assert gpp - after.ra - sum(after.litter) == pytest.approx(change, abs=1e-10)


def test_roots_grow_from_the_seed_to_the_bottom_of_the_soil_until_flowering() -> None:
    emergence, flowering = CORN_SPECIES.emergence, CORN_SPECIES.vegetative_share * 1500
    times = (0.0, emergence, emergence + flowering / 2, emergence + flowering, emergence + 1400)
    depths = [root_depth(plant(time), season=SEASON)[0] for time in times]
    assert depths == pytest.approx([0.15, 0.15, 0.825, 1.5, 1.5])


def test_crops_flower_at_stage_one_and_ripen_at_stage_two() -> None:
    emergence, flowering = CORN_SPECIES.emergence, CORN_SPECIES.vegetative_share * 1500
    stages = [
        development_stage(np.full(2, t), season=SEASON)[0] for t in (emergence, emergence + flowering, emergence + 1500)
    ]
    assert stages == pytest.approx([0.0, 1.0, 2.0])


def test_frost_kills_a_flowering_crop_and_spares_a_seedling() -> None:
    frost = MILD._replace(tmin=np.full(2, -5.0))
    assert not grow(plant(1000.0), season=SEASON, day=frost, gpp=np.zeros(2)).plant.alive.any()
    assert grow(plant(150.0), season=SEASON, day=frost, gpp=np.zeros(2)).plant.alive.all()


def test_harvest_takes_the_grain_and_leaves_the_rest_as_litter() -> None:
    taken = harvest(plant(1700.0), where=np.array([True, False]))
    assert taken.yield_ == pytest.approx([0.97 * 40.0, 0.0])
    assert taken.yield_ + sum(taken.litter) == pytest.approx([300.0, 0.0])
    assert taken.litter.root == pytest.approx([60.0, 0.0])
    assert taken.plant.carbon == pytest.approx([0.0, 300.0])


def test_a_sown_field_is_bare_until_emergence() -> None:
    sown = sow(bare(2), where=np.array([True, True]))
    assert photosynthesis(sown, season=SEASON, day=MILD).tolist() == [0.0, 0.0]


def test_decomposition_conserves_carbon_and_respires(soils: Soils) -> None:
    pools = add_litter(initial_pools(soils), litter=LITTER, metabolic_share=0.4)
    assert pools.sum(0) - initial_pools(soils).sum(0) == pytest.approx(420.0)
    decay = decompose(pools, turnover=turnover_of(soils), factor=np.ones((POOLS, 2)))
    assert decay.pools.sum(0) + decay.rh == pytest.approx(pools.sum(0), abs=1e-9)
    assert np.all(decay.rh > 0)


def test_initial_pools_hold_the_soils_organic_carbon_beside_old_litter(soils: Soils) -> None:
    pools = initial_pools(soils)
    assert pools.shape == (POOLS, 2)
    assert pools.min() >= 0
    assert pools[ACTIVE:].sum(0) == pytest.approx(soils.organic_carbon * soils.bulk_density * 0.3 * 1000)


def test_transfers_between_pools_leave_a_share_to_respire(soils: Soils) -> None:
    passed_on = turnover_of(soils).transfers.sum(1)
    assert np.all((passed_on > 0) & (passed_on < 1))


def test_decomposition_is_fastest_in_warm_moist_soil(soils: Soils) -> None:
    wet = field_capacity_state(soils)._replace(residue=np.full(2, 3.0))
    best = abiotic_factor(wet, temperature=np.full((7, 2), 25.0), soils=soils)
    cold = abiotic_factor(wet, temperature=np.full((7, 2), 5.0), soils=soils)
    dry = wet._replace(layers=wet.layers * 0.3, residue=np.zeros(2))
    assert np.all(cold < 0.3 * best)
    assert np.all(abiotic_factor(dry, temperature=np.full((7, 2), 25.0), soils=soils) < 0.7 * best)


def test_litter_on_the_ground_responds_to_its_own_rain_and_the_uppermost_layer_alone(soils: Soils) -> None:
    warm_top = np.repeat([[25.0], [5.0], [5.0], [5.0], [5.0], [5.0], [5.0]], 2, axis=1)
    wet = abiotic_factor(
        field_capacity_state(soils)._replace(residue=np.full(2, 3.0)), temperature=warm_top, soils=soils
    )
    dry = abiotic_factor(field_capacity_state(soils), temperature=warm_top, soils=soils)
    assert wet[SURFACE] == pytest.approx(1.0)
    assert np.all(dry[SURFACE] < 0.3)
    assert np.array_equal(wet[SURFACE.stop :], dry[SURFACE.stop :])
    assert np.all(wet[SURFACE.stop :] < 0.6)


def test_warmth_doubles_to_quadruples_decomposition_from_5_to_15_degc_and_ends_it_in_deep_frost() -> None:
    cold, cool, reference, frozen = temperature_response(np.array([5.0, 15.0, 25.0, -30.0]))
    assert 2 < cool / cold < 4
    assert reference == pytest.approx(1.0)
    assert frozen < 0.01


def test_deeper_tillage_buries_more_litter_and_loses_none(soils: Soils) -> None:
    pools = add_litter(initial_pools(soils), litter=LITTER, metabolic_share=0.4)
    depths = (np.zeros(2), np.full(2, 0.1), np.full(2, 0.2))
    on_ground = [bury(pools, depth=depth)[SURFACE].sum(0)[0] for depth in depths]
    assert on_ground[0] == pytest.approx(300.0 + 100.0)
    assert on_ground[0] > 1.5 * on_ground[1] > 1.5 * 1.5 * on_ground[2]
    assert bury(pools, depth=depths[2]).sum(0) == pytest.approx(pools.sum(0), abs=1e-9)


def test_deeper_tillage_speeds_decomposition_more_and_fades_in_weeks() -> None:
    after = disturb(np.zeros(3), depth=np.array([0.0, 0.1, 0.2]))
    assert after[0] == 0
    assert after[2] == pytest.approx(2 * after[1])
    for _ in range(30):
        after = disturb(after, depth=np.zeros(3))
    assert after[2] == pytest.approx(0.36 * 0.5 * 2 / 3, rel=0.02)


def test_sandy_soil_respires_more_of_its_active_carbon_than_clay() -> None:
    base = draw_soils(4, sites=2)
    soils = replace(base, sand=np.array([850.0, 50.0]), silt=np.array([100.0, 350.0]), ph=np.full(2, 6.5))
    pools = np.zeros((POOLS, 2))
    pools[ACTIVE] = 100.0
    rh = decompose(pools, turnover=turnover_of(soils), factor=np.ones((POOLS, 2))).rh
    assert rh[0] > 2 * rh[1]
