"""Soil temperature: conduction conserves heat and damps the yearly wave; snow and canopy insulate."""

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
    field_capacity_state,
)
from model.synthetic.soils import Soils, draw_soils


@pytest.fixture
def soils() -> Soils:
    return draw_soils(4, sites=2)


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
