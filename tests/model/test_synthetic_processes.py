"""Crop, soil climate and decomposition, one process at a time."""

from __future__ import annotations

import numpy as np
import pytest

from model.features import CORN, SOYBEAN
from model.synthetic import Soils, draw_soils
from model.synthetic.crop import (
    CORN_SPECIES,
    CropDay,
    Plant,
    Season,
    bare,
    development_stage,
    grow,
    harvest,
    photosynthesis,
    sow,
    species_of,
)
from model.synthetic.decomposition import POOLS, add_litter, decompose, environment, initial_pools, turnover_of
from model.synthetic.soil_climate import WaterDay, advance_soil_climate, available_share, moist

BOTH = np.array([CORN, SOYBEAN])
SEASON = Season(species_of(BOTH), requirement=np.array([1500.0, 1500.0]), efficiency=np.ones(2))
MILD = CropDay(*(np.full(2, value) for value in (22.0, 16.0, 10.0, 1.0, 1.0)))


def plant(thermal_time: float) -> Plant:
    organs = (np.full(2, value) for value in (80.0, 120.0, 60.0, 40.0))
    return Plant(np.full(2, thermal_time), np.array([True, True]), *organs)


@pytest.fixture
def soils() -> Soils:
    return draw_soils(4, sites=2)


def test_photosynthesis_is_absorbed_light_times_efficiency_in_mild_weather() -> None:
    leaf_area = 80.0 * 0.045
    expected = 2.00 * 10.0 * (1 - np.exp(-0.55 * leaf_area))
    assert photosynthesis(plant(900.0), season=SEASON, day=MILD)[0] == pytest.approx(expected)


def test_photosynthesis_falls_with_cold_dry_air_and_drought() -> None:
    best = photosynthesis(plant(900.0), season=SEASON, day=MILD)
    for worse in (MILD._replace(tmean=np.full(2, 10.0)), MILD._replace(deficit=np.full(2, 3.0)),
                  MILD._replace(water_limit=np.full(2, 0.5))):  # fmt: skip
        assert np.all(photosynthesis(plant(900.0), season=SEASON, day=worse) < 0.95 * best)


@pytest.mark.parametrize("thermal_time", [40.0, 300.0, 900.0, 1300.0, 1700.0])
@pytest.mark.parametrize("par", [0.0, 10.0])
def test_a_day_of_growth_conserves_carbon_at_every_stage_in_light_and_dark(thermal_time: float, par: float) -> None:
    before = plant(thermal_time)
    after = grow(before, season=SEASON, day=MILD._replace(par=np.full(2, par)))
    change = after.plant.carbon - before.carbon
    assert after.gpp - after.ra - after.litter - after.exudates == pytest.approx(change, abs=1e-10)


def test_crops_flower_at_stage_one_and_ripen_at_stage_two() -> None:
    emergence, flowering = CORN_SPECIES.emergence, CORN_SPECIES.vegetative_share * 1500
    stages = [
        development_stage(np.full(2, t), season=SEASON)[0] for t in (emergence, emergence + flowering, emergence + 1500)
    ]
    assert stages == pytest.approx([0.0, 1.0, 2.0])


def test_frost_kills_a_flowering_crop_and_spares_a_seedling() -> None:
    frost = MILD._replace(tmin=np.full(2, -5.0))
    assert not grow(plant(1000.0), season=SEASON, day=frost).plant.alive.any()
    assert grow(plant(150.0), season=SEASON, day=frost).plant.alive.all()


def test_harvest_takes_the_grain_and_leaves_the_rest_as_litter() -> None:
    taken = harvest(plant(1700.0), where=np.array([True, False]))
    assert taken.yield_ == pytest.approx([0.97 * 40.0, 0.0])
    assert taken.yield_ + taken.litter == pytest.approx([300.0, 0.0])
    assert taken.plant.carbon == pytest.approx([0.0, 300.0])


def test_a_sown_field_is_bare_until_emergence() -> None:
    sown = sow(bare(2), where=np.array([True, True]))
    assert photosynthesis(sown, season=SEASON, day=MILD).tolist() == [0.0, 0.0]


def test_decomposition_conserves_carbon_and_respires(soils: Soils) -> None:
    pools = add_litter(initial_pools(soils), litter=np.full(2, 300.0), metabolic_share=0.4)
    decay = decompose(pools, turnover=turnover_of(soils), effect=np.ones(2))
    assert decay.pools.sum(0) + decay.rh == pytest.approx(pools.sum(0), abs=1e-9)
    assert np.all(decay.rh > 0)


def test_initial_pools_hold_the_soils_organic_carbon(soils: Soils) -> None:
    pools = initial_pools(soils)
    assert pools.shape == (POOLS, 2)
    assert pools.min() >= 0
    assert pools.sum(0) == pytest.approx(soils.organic_carbon * soils.bulk_density * 0.3 * 1000)


def test_transfers_between_pools_leave_a_share_to_respire(soils: Soils) -> None:
    passed_on = turnover_of(soils).transfers.sum(1)
    assert np.all((passed_on > 0) & (passed_on < 1))


def test_the_environment_is_best_in_warm_moist_soil(soils: Soils) -> None:
    warm = moist(soils)._replace(temperature=np.full(2, 25.0))
    cold, dry = warm._replace(temperature=np.full(2, 5.0)), warm._replace(topsoil=warm.topsoil * 0.3)
    best = environment(warm, soils=soils)
    assert np.all(environment(cold, soils=soils) < 0.3 * best)
    assert np.all(environment(dry, soils=soils) < 0.7 * best)


def test_rain_refills_a_dry_soil_and_a_crop_empties_it(soils: Soils) -> None:
    dry = moist(soils)._replace(topsoil=soils.wilting_point * 300, subsoil=soils.wilting_point * 1400)
    rainy = WaterDay(*(np.full(2, value) for value in (20.0, 15.0, 4.0, 0.9)))
    climate = dry
    for _ in range(60):
        climate = advance_soil_climate(climate, soils=soils, day=rainy)
    assert np.all(available_share(climate, soils=soils) > 0.95)
    for _ in range(120):
        climate = advance_soil_climate(climate, soils=soils, day=rainy._replace(precn=np.zeros(2)))
    assert np.all(available_share(climate, soils=soils) < 0.2)


def test_snow_lies_in_frost_and_melts_in_spring(soils: Soils) -> None:
    winter = WaterDay(*(np.full(2, value) for value in (-8.0, 5.0, 0.5, 0.0)))
    snowy = advance_soil_climate(moist(soils), soils=soils, day=winter)
    assert snowy.snow.tolist() == [5.0, 5.0]
    spring = winter._replace(tmean=np.full(2, 6.0), precn=np.zeros(2))
    assert advance_soil_climate(snowy, soils=soils, day=spring).snow.tolist() == [0.0, 0.0]
