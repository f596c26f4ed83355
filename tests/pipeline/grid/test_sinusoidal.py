from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import (
    CELL_M,
    MODIS_TILE_CELLS,
    SINUSOIDAL,
    SINUSOIDAL_WKT,
    Grid,
    Tile,
    lonlat,
    sinusoidal,
)

edges = st.sampled_from([48, 60, 120, 240, 480])


@settings(deadline=None)
@given(edges, st.integers(0, 300), st.integers(0, 600), st.integers(1, 3), st.integers(1, 3))
def test_tiles_cover_every_cell_exactly_once(edge: int, row: int, col: int, high: int, wide: int) -> None:
    row, col = row % (86400 // edge - 3), col % (172800 // edge - 3)
    grid = Grid(row * edge, col * edge, high * edge, wide * edge, edge)
    count = np.zeros(grid.shape, int)
    for tile in grid.tiles():
        count[grid.window(tile)] += 1
        assert Tile.parse(tile.name, cells=edge) == tile
        assert grid.of(tile).transform.c == pytest.approx(grid.x_edges_m[grid.window(tile)[1].start], abs=1e-6)
    assert (count == 1).all()


def test_the_plane_is_that_of_proj() -> None:
    transformer = Transformer.from_crs(CRS.from_epsg(4326), CRS.from_proj4(SINUSOIDAL), always_xy=True)
    longitude, latitude = np.array([-104.05, -89.5, -80.52]), np.array([49.384, 40.0, 35.996])
    # PROJ converts geodetic to spherical coordinates nowhere on the way: the sphere takes latitudes as they are.
    expected = transformer.transform(longitude, latitude)
    np.testing.assert_allclose(sinusoidal(longitude, latitude), expected, atol=1e-3)
    np.testing.assert_allclose(lonlat(*sinusoidal(longitude, latitude)), (longitude, latitude), atol=1e-12)


def test_the_plane_with_names_is_the_one_without() -> None:
    named, bare = CRS.from_wkt(SINUSOIDAL_WKT), CRS.from_proj4(SINUSOIDAL)
    assert named.name == "MODIS Sinusoidal"
    assert named == bare  # names apart
    x_m, y_m = np.array([-9e6, -7501893.0, -6.5e6]), np.array([3.9e6, 4458922.0, 5.49e6])
    for other in (4326, 5070):
        found, expected = (
            Transformer.from_crs(crs, other, always_xy=True).transform(x_m, y_m) for crs in (named, bare)
        )
        np.testing.assert_array_equal(found, expected)


def test_a_modis_tile_lies_where_its_documents_say() -> None:
    grid = Grid(4 * MODIS_TILE_CELLS, 11 * MODIS_TILE_CELLS, 240, 240, 240)
    assert grid.transform.c == pytest.approx(-7783653.638366, abs=1e-5)
    assert grid.transform.f == pytest.approx(5559752.598833, abs=1e-5)
    assert next(grid.tiles()).name == "h11v04-r00c00"


@pytest.mark.parametrize("latitude", [0.0, 36.0, 40.0, 49.0])
def test_the_cell_area_is_that_of_the_geodesic_polygon(latitude: float) -> None:
    y = np.array([np.radians(latitude) * 6371007.181])
    grid = Grid.around(np.array([-7_000_000.0]), y, tile_cells=48)
    left, right = grid.x_edges_m[10:12]
    # The two sides are curves in longitude and latitude: 50 points each make the geodesic polygon follow them.
    side = np.linspace(grid.y_edges_m[5], grid.y_edges_m[6], 50)
    lon_left, lat = lonlat(np.full(50, left), side)
    lon_right, _ = lonlat(np.full(50, right), side)
    top = np.linspace(lon_left[0], lon_right[0], 50), np.full(50, lat[0])
    bottom = np.linspace(lon_right[-1], lon_left[-1], 50), np.full(50, lat[-1])
    ring_lon = np.concatenate([lon_left[::-1], top[0], lon_right, bottom[0]])
    ring_lat = np.concatenate([lat[::-1], top[1], lat, bottom[1]])
    area, _ = Geod(ellps="WGS84").polygon_area_perimeter(ring_lon, ring_lat)
    assert grid.cell_area_m2()[5] == pytest.approx(abs(area), rel=1e-7)
    assert abs(grid.cell_area_m2()[5] / CELL_M**2 - 1) < 0.01


@pytest.mark.parametrize("name", ["h11v04", "h11v04-r100c00", "h11v04-r-1c00", "h40v04-r00c00", "../x"])
def test_a_name_that_is_no_tile_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="not of the form"):
        Tile.parse(name, cells=48)


def test_a_tile_that_does_not_divide_a_modis_tile_is_refused() -> None:
    with pytest.raises(UserError, match="tile of 350 cells"):
        Grid(0, 0, 50, 50, 7 * 50)
