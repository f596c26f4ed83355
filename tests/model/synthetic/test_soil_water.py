"""Water and temperature of the soil by layer, against balances and exact solutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from model.synthetic.soil_temperature import (
    THICKNESS_M,
    HeatForcing,
    _conduct,
    advance_temperature,
    thermal_conductivity,
)
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


def test_the_first_three_layers_are_the_30_cm_of_the_soil_features() -> None:
    assert BOTTOM_M[2, 0] == pytest.approx(0.3)


def test_precipitation_is_storage_drainage_and_vapour_over_a_year_of_rain_snow_and_drought(soils: Soils) -> None:
    rng = np.random.default_rng(0)
    water, rain, left = field_capacity_state(soils), np.zeros(2), np.zeros(2)
    start = water.total
    for t in range(365):
        tmean, precn = -14 * np.cos(2 * np.pi * t / 365) + 10, rng.gamma(0.3, 12) * (rng.random() < 0.6)
        step = advance_water(water, soils=soils, day=water_day(tmean, precn, max(tmean, 0) / 4, 0.9 * (150 < t < 260)))
        water, rain, left = step.water, rain + precn, left + step.drainage + step.vapour
        assert min(water.snow.min(), water.residue.min(), step.drainage.min(), step.vapour.min()) >= 0
    assert rain == pytest.approx(water.total - start + left, abs=1e-9)


def test_rain_refills_a_dry_soil_and_a_crop_empties_it(soils: Soils) -> None:
    water = dry(soils)
    for _ in range(60):
        water = advance_water(water, soils=soils, day=water_day(precn=15.0)).water
    assert np.all(available_share(water, soils=soils, root_depth=DEEP) > 0.95)
    for _ in range(150):
        water = advance_water(water, soils=soils, day=water_day()).water
    assert np.all(available_share(water, soils=soils, root_depth=DEEP) < 0.2)


def test_a_shallow_rain_helps_a_seedling_and_hardly_a_crop_with_deep_roots(soils: Soils) -> None:
    water = advance_water(dry(soils), soils=soils, day=water_day(precn=15.0)).water
    seedling, deep = (available_share(water, soils=soils, root_depth=np.full(2, depth)) for depth in (0.15, 1.7))
    assert np.all(seedling > 3 * deep)
    assert np.all(deep > 0)


def test_crops_feel_no_drought_until_most_of_the_available_water_is_used(soils: Soils) -> None:
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


def test_snow_lies_in_frost_and_melts_in_spring(soils: Soils) -> None:
    snowy = advance_water(field_capacity_state(soils), soils=soils, day=water_day(-8.0, 5.0, 0.5, 0.0)).water
    assert snowy.snow.tolist() == [5.0, 5.0]
    melted = advance_water(snowy, soils=soils, day=water_day(6.0, 0.0, 0.5, 0.0)).water
    assert melted.snow.tolist() == [0.0, 0.0]


def test_heat_moves_between_layers_and_is_neither_made_nor_lost() -> None:
    rng = np.random.default_rng(1)
    before, capacity = rng.normal(10, 8, (7, 3)), rng.uniform(1e5, 1e6, (7, 3))
    conductance = rng.uniform(1e4, 1e6, (7, 3))
    surface = np.array([-10.0, 10.0, 30.0])
    after = _conduct(before, conductance=conductance, capacity=capacity, surface=surface)
    gained = conductance[0] * (surface - after[0])
    assert (capacity * (after - before)).sum(0) == pytest.approx(gained, rel=1e-10)


def test_a_days_conduction_equals_the_dense_solution_of_the_implicit_heat_equation() -> None:
    rng = np.random.default_rng(2)
    before, capacity, conductance = (rng.uniform(1, 5, (7, 1)) for _ in range(3))
    k = conductance[:, 0]
    matrix = np.diag(capacity[:, 0] + k + np.append(k[1:], 0)) - np.diag(k[1:], 1) - np.diag(k[1:], -1)
    known = capacity[:, 0] * before[:, 0]
    known[0] += k[0] * 7.0
    after = _conduct(before, conductance=conductance, capacity=capacity, surface=np.array([7.0]))
    assert after[:, 0] == pytest.approx(np.linalg.solve(matrix, known))


def test_the_yearly_wave_of_temperature_is_damped_and_delayed_with_depth(soils: Soils) -> None:
    """The damping of a sine in a homogeneous soil is exp(-depth sqrt(pi / (diffusivity period)))."""
    water, temperature, record = field_capacity_state(soils), np.full((7, 2), 10.0), []
    for t in range(3 * 365):
        wave = HeatForcing(np.full(2, 10 + 15 * np.sin(2 * np.pi * t / 365)), np.zeros(2), np.zeros(2))
        temperature = advance_temperature(temperature, water=water, soils=soils, day=wave)
        record.append(temperature)
    amplitude = np.ptp(record[730:], axis=0) / 30
    assert np.all(np.diff(amplitude, axis=0) < 0)
    conductivity = thermal_conductivity(np.broadcast_to(soils.field_capacity, (7, 2)), soils=soils)[0]
    capacity = (1 - soils.porosity) * 2.0e6 + soils.field_capacity * 4.18e6
    damping = np.exp(-(0.8 - 0.025) * np.sqrt(np.pi / (conductivity / capacity * 365 * 86400)))
    assert amplitude[4] / amplitude[0] == pytest.approx(damping, rel=0.12)
    assert np.all(np.diff(np.argmax(record[730:], axis=0), axis=0) >= 0)


def test_snow_keeps_the_soil_warm_in_frost_and_a_canopy_keeps_it_cool_in_the_sun(soils: Soils) -> None:
    bare, start = field_capacity_state(soils), np.full((len(THICKNESS_M), 2), 5.0)
    frost = HeatForcing(np.full(2, -15.0), np.full(2, 8.0), np.zeros(2))
    snowy = bare._replace(snow=np.full(2, 40.0))
    cold = advance_temperature(start, water=bare, soils=soils, day=frost)[0]
    assert np.all(advance_temperature(start, water=snowy, soils=soils, day=frost)[0] > cold + 3)
    sun = HeatForcing(np.full(2, 20.0), np.full(2, 22.0), np.zeros(2))
    open_ground = advance_temperature(start, water=bare, soils=soils, day=sun)[0]
    shaded = advance_temperature(start, water=bare, soils=soils, day=sun._replace(cover=np.full(2, 0.95)))[0]
    assert np.all(shaded < open_ground - 1)


def test_wet_and_sandy_soil_conducts_heat_better(soils: Soils) -> None:
    texture = replace(soils, sand=np.array([800.0, 50.0]), silt=np.array([100.0, 700.0]), bulk_density=np.full(2, 1.4))
    dry_soil, wet_soil = (thermal_conductivity(np.full((1, 2), content), soils=texture)[0] for content in (0.1, 0.35))
    assert np.all(wet_soil > 1.3 * dry_soil)
    assert wet_soil[0] > 1.3 * wet_soil[1]
