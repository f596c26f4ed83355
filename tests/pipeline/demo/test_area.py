"""The demo's grid and pixels."""

from __future__ import annotations

import pytest

from pipeline.demo.area import albers_pixels, demo_grid
from pipeline.grid.sinusoidal import CELL_M, lonlat


def test_the_grid_meets_two_modis_tiles_and_four_half_degree_cells() -> None:
    longitude, latitude = demo_grid().lonlat()
    assert {tile.modis for tile in demo_grid().tiles()} == {"h11v04", "h11v05"}
    assert len({(x, y) for x, y in zip((longitude // 0.5).ravel(), (latitude // 0.5).ravel(), strict=True)}) >= 4


def test_the_pixels_reach_beyond_every_cell_of_the_grid_with_edges_at_15_m() -> None:
    pixels, longitude, latitude = (
        albers_pixels(),
        *lonlat(demo_grid().x_edges_m[[0, -1]], demo_grid().y_edges_m[[0, -1]]),
    )
    assert pixels.longitude.min() < longitude.min() - 0.005
    assert pixels.latitude.max() > latitude.max() + 0.005
    assert pixels.transform.c % 30 == pixels.transform.f % 30 == 15
    area_km2 = pixels.inside.sum() * 30**2 / 1e6
    rows, cols = demo_grid().shape
    assert area_km2 == pytest.approx((rows * CELL_M + 3000) * (cols * CELL_M + 3000) / 1e6, rel=0.005)
