"""Crop, soil climate and decomposition, one process at a time."""

from __future__ import annotations

import numpy as np
import pytest

from model.features import CORN, SOYBEAN
from model.synthetic.crop import (
    PARAMETERS,
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

BOTH = np.array([CORN, SOYBEAN])
SEASON = Season(species_of(BOTH), requirement=np.array([1500.0, 1500.0]), efficiency=np.ones(2))
MILD = CropForcing(*(np.full(2, value) for value in (22.0, 16.0, 10.0, 1.0, 1.0)))


def plant(thermal_time: float) -> Plant:
    organs = (np.full(2, value) for value in (80.0, 120.0, 60.0, 40.0))
    return Plant(np.full(2, thermal_time), np.array([True, True]), *organs)


def test_photosynthesis_is_absorbed_light_times_efficiency_in_mild_weather() -> None:
    leaf_area = 80.0 * 0.045
    expected = 1.98 * 10.0 * (1 - np.exp(-0.55 * leaf_area))
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
    emergence, flowering = PARAMETERS["emergence"][0], PARAMETERS["vegetative_share"][0] * 1500
    times = (0.0, emergence, emergence + flowering / 2, emergence + flowering, emergence + 1400)
    depths = [root_depth(plant(time), season=SEASON)[0] for time in times]
    assert depths == pytest.approx([0.15, 0.15, 0.825, 1.5, 1.5])


def test_crops_flower_at_stage_one_and_ripen_at_stage_two() -> None:
    emergence, flowering = PARAMETERS["emergence"][0], PARAMETERS["vegetative_share"][0] * 1500
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
