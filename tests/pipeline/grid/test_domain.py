"""The tiles of a region are all those that its counties reach."""

from __future__ import annotations

import numpy as np
import shapely

from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import lonlat
from regions import load_region, zones


def test_every_cell_inside_the_region_lies_on_one_of_its_tiles() -> None:
    region = load_region("demo")
    domain = domain_of(region)
    inside = shapely.contains_xy(shapely.union_all([zone.geometry for zone in zones(region)]), *domain.grid.lonlat())
    covered = np.zeros(domain.grid.shape, bool)
    for tile in domain.tiles:
        covered[domain.grid.window(tile)] = True
    assert inside.any()
    assert not (inside & ~covered).any()


def test_every_tile_of_the_demo_meets_its_box() -> None:
    region = load_region("demo")
    domain = domain_of(region)
    assert region.bbox is not None
    for tile in domain.tiles:
        of = domain.grid.of(tile)
        longitude, latitude = lonlat(*np.meshgrid(np.linspace(of.x_edges_m[0], of.x_edges_m[-1], 200), of.y_edges_m))
        west, south, east, north = region.bbox
        assert longitude.max() > west
        assert longitude.min() < east
        assert latitude.max() > south
        assert latitude.min() < north


def test_the_midwest_has_as_many_tiles_as_its_area_asks_for() -> None:
    domain = domain_of(load_region("midwest"))
    tile_km2 = (240 * 0.23165635828) ** 2
    land_and_lakes_km2 = 2.1e6  # the twelve states with their Great Lakes waters cut off by the cartographic shore
    assert 1.0 < len(domain.tiles) * tile_km2 / land_and_lakes_km2 < 1.3
