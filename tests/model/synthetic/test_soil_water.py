"""Water and temperature of the soil by layer, against balances and exact solutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.synthetic.soil_water import (
    BOTTOM_M,
    LAYER_M,
    SoilWater,
    WaterForcing,
    advance_water,
    available_share,
    field_capacity_state,
    water_limit,
)
from model.synthetic.soils import Soils, draw_soils

DEEP = np.full(2, 1.7)


def water_day(tmean: float = 20.0, precn: float = 0.0, demand: float = 4.0, cover: float = 0.9) -> WaterForcing:
    return WaterForcing(*(np.full(2, value) for value in (tmean, precn, demand, cover, 1.7)))


@pytest.fixture
def soils() -> Soils:
    return draw_soils(4, sites=2)


def dry(soils: Soils) -> SoilWater:
    return field_capacity_state(soils)._replace(layers=soils.wilting_point * 1000 * LAYER_M)


def total(water: SoilWater) -> NDArray[np.float64]:
    return water.snow + water.residue + water.layers.sum(0)


def test_the_first_three_layers_are_the_30_cm_of_the_soil_features() -> None:
    assert BOTTOM_M[2, 0] == pytest.approx(0.3)


def test_precipitation_is_storage_drainage_and_vapour_over_a_year_of_rain_snow_and_drought(soils: Soils) -> None:
    rng = np.random.default_rng(0)
    water, rain, left = field_capacity_state(soils), np.zeros(2), np.zeros(2)
    start = total(water)
    for t in range(365):
        tmean, precn = -14 * np.cos(2 * np.pi * t / 365) + 10, rng.gamma(0.3, 12) * (rng.random() < 0.6)
        step = advance_water(water, soils=soils, day=water_day(tmean, precn, max(tmean, 0) / 4, 0.9 * (150 < t < 260)))
        water, rain, left = step.water, rain + precn, left + step.drainage + step.vapour
        assert min(water.snow.min(), water.residue.min(), step.drainage.min(), step.vapour.min()) >= 0
    assert rain == pytest.approx(total(water) - start + left, abs=1e-9)


def test_rain_refills_a_dry_soil_and_a_crop_empties_it(soils: Soils) -> None:
    water = dry(soils)
    for _ in range(60):
        water = advance_water(water, soils=soils, day=water_day(precn=15.0)).water
    assert np.all(available_share(water, soils=soils, root_depth=DEEP) > 0.95)
    for _ in range(150):
        water = advance_water(water, soils=soils, day=water_day()).water
    assert np.all(available_share(water, soils=soils, root_depth=DEEP) < 0.2)


def test_a_shallow_rain_helps_a_seedling_much_more_than_a_crop_with_deep_roots(soils: Soils) -> None:
    water = advance_water(dry(soils), soils=soils, day=water_day(precn=15.0)).water
    seedling, deep = (available_share(water, soils=soils, root_depth=np.full(2, depth)) for depth in (0.15, 1.7))
    assert np.all(seedling > 3 * deep)
    assert np.all(deep > 0)


def test_crops_suffer_no_drought_until_most_of_the_available_water_is_used(soils: Soils) -> None:
    def limit(share: float) -> float:
        content = soils.wilting_point + share * (soils.field_capacity - soils.wilting_point)
        water = field_capacity_state(soils)._replace(layers=content * 1000 * LAYER_M)
        return float(water_limit(water, soils=soils, root_depth=DEEP)[0])

    assert [limit(share) for share in (0.0, 0.225, 0.45, 0.7)] == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_sand_drains_faster_than_clay(soils: Soils) -> None:
    both = replace(soils, conductivity=np.array([100.0, 2.0]), field_capacity=np.full(2, 0.3), bulk_density=np.ones(2))
    wet = field_capacity_state(both)._replace(layers=0.4 * 1000 * LAYER_M * np.ones(2))
    top = advance_water(wet, soils=both, day=water_day(demand=0.0)).water.layers[0]
    assert top[0] < 15.1 < 17 < top[1]


def test_no_layer_holds_more_than_its_pores_after_a_downpour_on_a_tight_soil(soils: Soils) -> None:
    tight = replace(soils, conductivity=np.full(2, 0.5))
    flooded = advance_water(field_capacity_state(tight), soils=tight, day=water_day(precn=800.0)).water.layers
    assert np.all(flooded <= tight.porosity * 1000 * LAYER_M + 1e-9)
    assert np.all(flooded > 0.9 * tight.porosity * 1000 * LAYER_M)


def test_snow_stays_in_frost_and_melts_in_spring(soils: Soils) -> None:
    snowy = advance_water(field_capacity_state(soils), soils=soils, day=water_day(-8.0, 5.0, 0.5, 0.0)).water
    assert snowy.snow.tolist() == [5.0, 5.0]
    melted = advance_water(snowy, soils=soils, day=water_day(6.0, 0.0, 0.5, 0.0)).water
    assert melted.snow.tolist() == [0.0, 0.0]
