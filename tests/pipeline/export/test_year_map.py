"""The picture of a year shows the cube's values where they lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from pyproj import Proj

from pipeline.export import year_map as maps
from pipeline.export.palettes import ramp
from pipeline.export.year_map import PANELS, write_map
from pipeline.export.year_values import YearValues, read_year
from pipeline.grid.sinusoidal import SINUSOIDAL
from tests.helpers.filled_cube import Filled


@pytest.fixture(scope="module")
def year_map(filled: Filled) -> YearValues:
    return read_year(filled.job, year=2011, note="synthetic archives")


@pytest.fixture(scope="module")
def drawing(year_map: YearValues) -> Figure:
    return maps.figure(year_map)


def test_a_mesh_has_the_corners_of_the_cells(year_map: YearValues, drawing: Figure) -> None:
    place = drawing.axes[0]
    (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
    x, y = np.meshgrid(year_map.grid.x_edges_m, year_map.grid.y_edges_m)
    lon, lat = Proj(SINUSOIDAL)(x, y, inverse=True)
    np.testing.assert_allclose(mesh.get_coordinates(), np.dstack([lon, lat]), atol=1e-9)


def test_the_colours_of_signed_fluxes_are_centred_on_zero(year_map: YearValues, drawing: Figure) -> None:
    for panel, place in zip(PANELS, drawing.axes[1:], strict=False):
        (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
        low, high = mesh.get_clim()
        assert (low == -high) == ramp(panel.name).centred
        np.testing.assert_array_equal(mesh.get_array().filled(np.nan), year_map.layers[panel.name])


def test_a_png_is_written_of_the_last_year(filled: Filled, tmp_path: Path) -> None:
    write_map(tmp_path / "map.png", filled.job)
    assert matplotlib.image.imread(tmp_path / "map.png").std() > 0.1


def test_a_large_grid_is_thinned(year_map: YearValues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_MOST_CELLS", 40)
    place = maps.figure(year_map).axes[0]
    (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
    assert mesh.get_array().shape == (32, 32)
