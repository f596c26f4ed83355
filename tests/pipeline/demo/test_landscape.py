"""The demo's landscape: seeds, crops and fields."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from pipeline.demo.area import demo_grid
from pipeline.demo.landscape import ROTATIONS, draw_landscape
from pipeline.grid.sinusoidal import lonlat

SEED = 3


def _random_places(points: int) -> tuple[np.ndarray, np.ndarray]:
    grid, rng = demo_grid(), np.random.default_rng(0)
    x = rng.uniform(grid.x_edges_m[0], grid.x_edges_m[-1], points)
    return lonlat(x, rng.uniform(grid.y_edges_m[-1], grid.y_edges_m[0], points))


def test_equal_seeds_draw_equal_landscapes_and_others_differ() -> None:
    place = _random_places(500)
    first, again, other = (draw_landscape(seed).at(*place) for seed in (1, 1, 2))
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert (first.cover != other.cover).any()
    assert (first.soil != other.soil).any()


def test_most_land_is_corn_and_soybean_in_alternation_with_some_continuous_corn() -> None:
    landscape = draw_landscape(SEED)
    land = landscape.at(*_random_places(20_000))
    first, second = (landscape.crops(land, year=year) for year in (0, 1))
    corn, soybean = first == 1, first == 5
    assert 0.75 < (corn | soybean).mean() < 0.92
    assert (second[soybean] == 1).mean() > 0.9
    assert 0.1 < (second[corn] == 1).mean() < 0.5
    assert {36, 111, 121, 141, 176} <= set(first.tolist())


def test_points_of_one_quarter_quarter_section_share_their_field() -> None:
    landscape = draw_landscape(SEED)
    longitude, latitude = np.array([-89.5001, -89.5003]), np.array([40.0301, 40.0303])
    field = landscape.at(longitude, latitude).field
    assert field[0] == field[1]
    assert landscape.rotation[field[0]] < len(ROTATIONS)
