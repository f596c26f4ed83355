"""The cell of a point, and the shares of cells as polygons."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pyproj import CRS, Transformer

from pipeline.access.dataset import OpenCube
from pipeline.access.points import Cell, cell_at, cell_shares, parse_point
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid
from tests.helpers.filled_cube import fill_cube

TO_LONLAT = Transformer.from_crs(SINUSOIDAL, CRS.from_proj4("+proj=longlat +R=6371007.181"), always_xy=True)


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> OpenCube:
    return OpenCube.at(fill_cube(tmp_path_factory.mktemp("points")).job.stores.cube)


def test_the_cell_of_a_point_is_the_one_between_whose_edges_it_lies(cube: OpenCube) -> None:
    """Points anywhere in modelled cells, up to a metre from their edges; places by PROJ."""
    rng, grid = np.random.default_rng(8), cube.grid
    for row, col in rng.permutation(np.argwhere(cube.modelled(cube.whole)))[:60]:
        down, across = rng.choice([0.005, 0.3, 0.7, 0.995], 2)
        x_m = (1 - across) * grid.x_edges_m[col] + across * grid.x_edges_m[col + 1]
        y_m = (1 - down) * grid.y_edges_m[row] + down * grid.y_edges_m[row + 1]
        lon, lat = TO_LONLAT.transform(x_m, y_m)
        assert cell_at(cube, lat, lon) == Cell("", row, col)


@pytest.mark.parametrize("side", ["north", "south", "west", "east"])
def test_the_cube_ends_at_the_edges_of_its_outer_cells(cube: OpenCube, side: str) -> None:
    """A metre beyond an edge there is no cell; a metre before it there is one, modelled or not."""
    x_m, y_m = cube.grid.x_edges_m, cube.grid.y_edges_m
    (x, y), (east, north) = {
        "north": ((x_m[9], y_m[0]), (0, 1)),
        "south": ((x_m[9], y_m[-1]), (0, -1)),
        "west": ((x_m[0], y_m[9]), (-1, 0)),
        "east": ((x_m[-1], y_m[9]), (1, 0)),
    }[side]
    # Half a cell aside, so that the point lies on no other edge.
    x, y = x + 100 * abs(north), y - 100 * abs(east)
    for metres, outside in ((1, True), (-1, False)):
        lon, lat = TO_LONLAT.transform(x + metres * east, y + metres * north)
        try:
            cell_at(cube, lat, lon)
            said = ""
        except UserError as error:
            said = str(error)
        assert ("lies outside the cube" in said) == outside


def test_the_nearest_modelled_cell_is_named_far_from_the_first_row_and_column(cube: OpenCube) -> None:
    modelled = cube.modelled(cube.whole)
    row, col = np.argwhere(~modelled)[-1]
    lon, lat = TO_LONLAT.transform(cube.grid.x_m[col], cube.grid.y_m[row])
    with pytest.raises(UserError, match="is not modelled") as caught:
        cell_at(cube, lat, lon)
    found = re.search(r"modelled is ([\d.]+) km away, at lat (.+), lon (.+)$", str(caught.value))
    assert found is not None
    km, *place = map(float, found.groups())
    distance = np.hypot(*(np.argwhere(modelled) - [row, col]).T)
    assert km == pytest.approx(distance.min() * 0.231656, abs=0.051)
    nearest = cell_at(cube, *place)
    assert np.hypot(nearest.row - row, nearest.col - col) == distance.min()


def test_each_cell_is_held_in_full_once_on_the_tile_that_has_it() -> None:
    grid = Grid(100, 200, 8, 12, tile_cells=4)
    cells = [Cell("a", 1, 1), Cell("b", 6, 11), Cell("c", 3, 0), Cell("a again", 1, 1)]
    found = np.zeros((len(cells), *grid.shape))
    for each in cell_shares(cells, grid):
        rows, cols = grid.window(each.tile)
        assert rows.start <= each.window.rows.start < each.window.rows.stop <= rows.stop
        assert cols.start <= each.window.cols.start < each.window.cols.stop <= cols.stop
        for number, share in zip(each.polygons_P, each.shares_PN.toarray(), strict=True):
            found[number, each.window.rows, each.window.cols] += share.reshape(each.window.shape)
    for number, cell in enumerate(cells):
        assert found[number, cell.row, cell.col] == found[number].sum() == 1


@pytest.mark.parametrize("text", ["40.05", "40.05,x", "91,0", "40,181", "40,-88,3", "nan,1"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--point '{text}': not a latitude"):
        parse_point(text)
