"""The picture of a year shows the cube's values where they lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from pyproj import Proj

from pipeline.errors import UserError
from pipeline.export import year_map as maps
from pipeline.export.year_map import PANELS, YearMap, read_year, write_map
from pipeline.grid.sinusoidal import SINUSOIDAL
from pipeline.storage import repository
from pipeline.variables import Quality
from tests.helpers.filled_cube import ORIGIN, Filled, fill_cube


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("cube"))


@pytest.fixture(scope="module")
def year_map(filled: Filled) -> YearMap:
    return read_year(filled.job, year=2011, note="synthetic archives")


@pytest.fixture(scope="module")
def drawing(year_map: YearMap) -> Figure:
    return maps.figure(year_map)


def _cube(filled: Filled, group: str) -> xr.Dataset:
    session = filled.job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, consolidated=False)


def test_a_mesh_has_the_corners_of_the_cells(year_map: YearMap, drawing: Figure) -> None:
    place = drawing.axes[0]
    (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
    x, y = np.meshgrid(year_map.grid.x_edges_m, year_map.grid.y_edges_m)
    lon, lat = Proj(SINUSOIDAL)(x, y, inverse=True)
    np.testing.assert_allclose(mesh.get_coordinates(), np.dstack([lon, lat]), atol=1e-9)


def test_the_colours_of_signed_fluxes_are_centred_on_zero(year_map: YearMap, drawing: Figure) -> None:
    for panel, place in zip(PANELS, drawing.axes[1:], strict=False):
        (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
        low, high = mesh.get_clim()
        assert (low == -high) == panel.centred
        np.testing.assert_array_equal(mesh.get_array().filled(np.nan), year_map.layers[panel.name])


def test_courses_are_means_over_the_cells_where_the_crop_is_grown(filled: Filled, year_map: YearMap) -> None:
    annual, nee = _cube(filled, "annual").sel(year=2011), _cube(filled, "daily/2011")["nee"]
    grown = (annual["quality"] & Quality.NOT_GROWN == 0) & annual["gpp"].notnull()
    for name, code in {"corn": 1, "soybean": 5}.items():
        expected = nee.where(grown & (annual["crop"] == code)).mean(("y", "x"), dtype=np.float64)
        np.testing.assert_allclose(year_map.courses[name], expected.values, rtol=1e-6, atol=1e-9)


def test_the_picture_says_what_is_synthetic_and_what_is_missing(filled: Filled) -> None:
    caption = read_year(filled.job, note="synthetic archives").caption
    assert caption.startswith(f"synthetic archives; weights ({ORIGIN}); 2012: 1 of 3 tiles have no result")


def test_a_png_is_written_of_the_last_year(filled: Filled, tmp_path: Path) -> None:
    write_map(tmp_path / "map.png", filled.job)
    assert matplotlib.image.imread(tmp_path / "map.png").std() > 0.1


def test_a_large_grid_is_thinned(year_map: YearMap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_MOST_CELLS", 40)
    place = maps.figure(year_map).axes[0]
    (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
    assert mesh.get_array().shape == (32, 32)


def test_a_year_without_results_is_refused(filled: Filled) -> None:
    with pytest.raises(UserError, match="no result of 2020"):
        read_year(filled.job, year=2020)
