from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from pipeline.grid.latlon import LatLonGrid, overlaps
from pipeline.grid.sinusoidal import Grid, lonlat, sinusoidal

TILE = Grid(23952, 53376, 48, 48, 48)  # 40.0 to 40.1 N, near 89.6 W
STEPS = [2, 7, 400, 1000]


@st.composite
def tiles(draw: st.DrawFn) -> Grid:
    """Tiles anywhere on one side of the equator and of 60 degrees."""
    cells = draw(st.sampled_from([12, 20, 48]))
    row = draw(st.integers(30 * 480 // cells, 150 * 480 // cells - 1)) * cells
    col = draw(st.integers(40 * 480 // cells, 320 * 480 // cells)) * cells
    return Grid(row, col, cells, cells, cells)


def in_plane(target: LatLonGrid, row: int, col: int) -> shapely.Polygon:
    """One cell of the target in the sinusoidal plane, its sides followed in steps of 1/100."""
    lon, lat, half = target.lon[col], target.lat[row], 0.5 / target.per_degree
    box = shapely.segmentize(shapely.box(lon - half, lat - half, lon + half, lat + half), half / 50)
    return shapely.transform(box, lambda points: np.column_stack(sinusoidal(*points.T)))


@given(tiles(), st.sampled_from(STEPS))
@settings(max_examples=40, deadline=None)
def test_shares_of_every_cell_add_up_to_one(grid: Grid, per_degree: int) -> None:
    shares = overlaps(grid, LatLonGrid.covering(grid, per_degree=per_degree))
    assert shares.data.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("per_degree", STEPS)
def test_shares_are_areas_of_intersections(per_degree: int) -> None:
    target = LatLonGrid.covering(TILE, per_degree=per_degree)
    shares = overlaps(TILE, target)
    for cell in np.random.default_rng(1).integers(0, 48 * 48, 12):
        row, col = divmod(int(cell), 48)
        x, y = TILE.x_edges_m[col : col + 2], TILE.y_edges_m[row : row + 2]
        box = shapely.box(x[0], y[1], x[1], y[0])
        column = shares[:, [cell]].tocoo()
        for place, share in zip(column.coords[0], column.data, strict=True):
            expected = in_plane(target, *divmod(int(place), target.cols)).intersection(box).area / box.area
            assert share == pytest.approx(expected, abs=2e-5)


def test_cells_inside_have_their_ellipsoidal_area() -> None:
    target = LatLonGrid.covering(TILE, per_degree=400)
    area = (overlaps(TILE, target) @ np.repeat(TILE.cell_area_m2(), TILE.cols)).reshape(target.shape)
    half = 0.5 / 400
    for row in (5, 20, 35):
        lat = target.lat[row]
        middle = TILE.lonlat()[0][np.abs(TILE.lonlat()[1][:, 0] - lat).argmin(), 24]
        col = np.abs(target.lon - middle).argmin()
        lon = target.lon[col]
        box = shapely.segmentize(shapely.box(lon - half, lat - half, lon + half, lat + half), half / 10)
        expected, _ = Geod(ellps="WGS84").geometry_area_perimeter(box)
        assert area[row, col] == pytest.approx(abs(expected), rel=1e-6)


def test_coarse_shares_are_sums_of_fine_ones() -> None:
    coarse = LatLonGrid.covering(TILE, per_degree=2)
    fine = coarse.refine(200)
    rng = np.random.default_rng(2)
    values = rng.random(TILE.rows * TILE.cols)
    blocks = (overlaps(TILE, fine) @ values).reshape(coarse.rows, 200, coarse.cols, 200).sum(axis=(1, 3))
    np.testing.assert_allclose(overlaps(TILE, coarse) @ values, blocks.ravel(), rtol=1e-6)


def test_what_lies_outside_the_target_is_left_out() -> None:
    whole = LatLonGrid.covering(TILE, per_degree=400)
    part = LatLonGrid(400, whole.first_row + 3, whole.first_col + 10, 12, 25)
    inside = overlaps(TILE, whole).toarray().reshape(*whole.shape, -1)[whole.window(part)]
    np.testing.assert_array_equal(overlaps(TILE, part).toarray().reshape(inside.shape), inside)


@given(tiles(), st.sampled_from(STEPS))
@settings(max_examples=40, deadline=None)
def test_covering_holds_all_corners_and_no_idle_edge(grid: Grid, per_degree: int) -> None:
    target = LatLonGrid.covering(grid, per_degree=per_degree)
    lon, lat = lonlat(*np.meshgrid(grid.x_edges_m[[0, -1]], grid.y_edges_m[[0, -1]]))
    step, close = 1 / per_degree, 1e-9
    assert target.lon[0] - step / 2 <= lon.min() + close < target.lon[0] + step / 2 + 2 * close
    assert target.lon[-1] - step / 2 - 2 * close < lon.max() - close <= target.lon[-1] + step / 2
    assert target.lat[0] - step / 2 - 2 * close < lat.max() - close <= target.lat[0] + step / 2
    assert target.lat[-1] - step / 2 <= lat.min() + close < target.lat[-1] + step / 2 + 2 * close


def test_centres_lie_half_a_step_from_multiples_of_the_step() -> None:
    target = LatLonGrid(400, 20000, 36000, 2, 2)
    np.testing.assert_allclose(target.lat, [39.99875, 39.99625])
    np.testing.assert_allclose(target.lon, [-89.99875, -89.99625])


def test_grids_refine_and_coarsen_meet_and_find_their_parts() -> None:
    coarse = LatLonGrid(2, 99, 180, 2, 3)
    fine = coarse.refine(200)
    assert fine == LatLonGrid(400, 19800, 36000, 400, 600)
    assert fine.coarsen(200) == coarse
    met = fine.meet(LatLonGrid(400, 20000, 35900, 1000, 200))
    assert met == LatLonGrid(400, 20000, 36000, 200, 100)
    assert fine.window(met) == (slice(200, 400), slice(0, 100))
    assert fine.meet(LatLonGrid(400, 0, 0, 10, 10)).shape == (0, 0)
