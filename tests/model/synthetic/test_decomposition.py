"""Decomposition: carbon is conserved, and responds to warmth, moisture, tillage and texture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
    moisture_response,
    temperature_response,
    turnover_of,
)
from model.synthetic.soil_water import field_capacity_state
from model.synthetic.soils import Soils, draw_soils, water_retention

LITTER = Litter(*(np.full(2, value) for value in (300.0, 100.0, 20.0)))


@pytest.fixture
def soils() -> Soils:
    return draw_soils(4, sites=2)


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


TEXTURES = {"sandy loam": (650, 250), "loam": (400, 400), "silt loam": (200, 650), "silty clay loam": (100, 560)}
"""Sand and silt of the middle of a texture class, g kg-1."""


@pytest.mark.parametrize("texture", TEXTURES)
def test_decomposition_at_field_capacity_is_near_its_best_in_every_texture(texture: str) -> None:
    """Published functions of moisture give 0.4 to 1 there (DayCent's in sand 0.6, Kelly et al. 2000)."""
    sand, silt = (np.array([value / 1000]) for value in TEXTURES[texture])
    water = water_retention(sand, clay=1 - sand - silt, organic_matter=np.array([2.5]))
    soil = replace(
        draw_soils(4, sites=1),
        sand=1000 * sand,
        silt=1000 * silt,
        field_capacity=water.field_capacity,
        wilting_point=water.wilting_point,
    )
    moist, dry = (moisture_response(content[None], soils=soil) for content in (soil.field_capacity, soil.wilting_point))
    assert 0.4 < moist[0, 0] < 1
    assert 0.05 < dry[0, 0] < 0.5 * moist[0, 0]


def test_acidity_slows_decomposition(soils: Soils) -> None:
    acid, neutral = (turnover_of(replace(soils, ph=np.full(2, ph))).rates for ph in (4.8, 6.8))
    assert np.all(acid < neutral)
    assert acid[ACTIVE] / neutral[ACTIVE] == pytest.approx(0.5, abs=0.05)


def test_compaction_makes_no_soil_richer_in_decomposing_carbon(soils: Soils) -> None:
    loose, dense = (initial_pools(replace(soils, bulk_density=np.full(2, density))) for density in (1.1, 1.5))
    assert np.array_equal(loose[:-1], dense[:-1])
