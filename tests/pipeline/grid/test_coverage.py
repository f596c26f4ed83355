from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer

from pipeline.grid.coverage import coverage, outlines
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid
from regions import Zone, counties, load_region, zones

GRID = Grid(23952, 53376, 96, 240, 48)  # around the demo region
DEMO = zones(load_region("demo"))


def projected(zone: Zone) -> shapely.Geometry:
    """The zone in the sinusoidal plane [m], by PROJ and in much finer steps."""
    forward = Transformer.from_crs("+proj=longlat +R=6371007.181 +no_defs", SINUSOIDAL, always_xy=True)
    dense = shapely.segmentize(zone.geometry, 0.0002)
    return shapely.transform(dense, lambda lonlat: np.column_stack(forward.transform(*lonlat.T)))


def geodesic_area_m2(zone: Zone) -> float:
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(zone.geometry, 0.001))
    return abs(area)


def test_coverage_is_the_area_of_the_intersection() -> None:
    shares = coverage(outlines(DEMO), GRID).toarray().reshape(len(DEMO), *GRID.shape)
    for zone, share in zip(DEMO, shares, strict=True):
        on_border = np.argwhere((share > 0) & (share < 1))[::25]
        rows, cols = on_border.T
        west, north = GRID.x_edges_m[cols], GRID.y_edges_m[rows]
        cells = shapely.box(west, GRID.y_edges_m[rows + 1], GRID.x_edges_m[cols + 1], north)
        expected = shapely.area(shapely.intersection(cells, projected(zone))) / shapely.area(cells)
        np.testing.assert_allclose(share[rows, cols], expected, atol=2e-4)
        assert len(rows) > 5


def test_counties_cover_no_cell_more_than_once_and_the_inside_wholly() -> None:
    covered = coverage(outlines(DEMO), GRID).sum(axis=0)
    assert covered.max() <= 1
    lon, lat = GRID.lonlat()
    inside = (abs(lon.ravel() + 89.5) < 0.11) & (abs(lat.ravel() - 40.0) < 0.09)
    np.testing.assert_allclose(covered[inside], 1, atol=1e-6)


@pytest.mark.parametrize("fips", ["17107", "55029"])  # Logan, IL; Door, WI: a peninsula and its islands
def test_a_county_has_its_ellipsoidal_area(fips: str) -> None:
    (county,) = (zone for zone in counties() if zone.fips == fips)
    x, y = (shapely.get_coordinates(projected(county))[:, axis] for axis in (0, 1))
    grid = Grid.around(x, y, tile_cells=240)
    area = coverage(outlines([county]), grid) @ np.repeat(grid.cell_area_m2(), grid.cols)
    assert area[0] == pytest.approx(geodesic_area_m2(county), rel=1e-6)


def test_tiles_covered_one_by_one_are_covered_as_in_one() -> None:
    polygons = outlines(DEMO)
    whole = coverage(polygons, GRID).toarray().reshape(-1, *GRID.shape)
    for tile in GRID.tiles():
        part = coverage(polygons, GRID.of(tile)).toarray().reshape(-1, tile.cells, tile.cells)
        np.testing.assert_allclose(part, whole[:, *GRID.window(tile)], atol=1e-6)


def test_zones_that_overlap_share_what_there_is() -> None:
    polygons = np.array([shapely.box(53376, -23960, 53380, -23952)] * 2)
    shares = coverage(polygons, GRID).toarray()
    assert shares.sum(axis=0).max() == 1
    np.testing.assert_array_equal(shares[0], shares[1])


def test_a_zone_elsewhere_covers_nothing() -> None:
    far = Zone("01001", "Autauga", "AL", shapely.box(-87, 32, -86, 33))
    assert coverage(outlines([far, *DEMO]), GRID)[[0]].nnz == 0
    assert coverage(outlines([far]), GRID).shape == (1, GRID.rows * GRID.cols)
