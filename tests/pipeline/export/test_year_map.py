"""The picture of a year shows the cube's values where they lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pyproj import Proj

from pipeline import basemap
from pipeline.errors import UserError
from pipeline.export import year_map as maps
from pipeline.export.palettes import ramp
from pipeline.export.year_map import PANELS, write_map
from pipeline.export.year_values import NAMES, YearValues, read_year
from pipeline.grid.sinusoidal import SINUSOIDAL
from tests.helpers.filled_cube import Filled
from tests.helpers.pictures import overlapping


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
    for panel, place in zip(PANELS[:5], drawing.axes[1:], strict=False):
        (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
        low, high = mesh.get_clim()
        assert (low == -high) == ramp(panel.name).centred
        np.testing.assert_array_equal(mesh.get_array().filled(np.nan), year_map.layers[panel.name])


def test_a_png_is_written_of_the_last_year(filled: Filled, tmp_path: Path) -> None:
    write_map(tmp_path / "map.png", filled.job)
    assert matplotlib.image.imread(tmp_path / "map.png").std() > 0.1


def test_a_large_grid_is_thinned(year_map: YearValues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basemap, "MOST_CELLS", 40)
    place = maps.figure(year_map).axes[0]
    (mesh,) = [drawn for drawn in place.collections if isinstance(drawn, QuadMesh)]
    assert mesh.get_array().shape == (32, 32)


def test_chosen_maps_are_drawn_alone(filled: Filled) -> None:
    drawing = maps.figure(read_year(filled.job, year=2011, names=("dsoc", "rh")))
    titles = [place.get_title() for place in drawing.axes if place.get_title()]
    assert titles == ["Soil carbon change\n(positive where soil gains carbon)", "Heterotrophic respiration"]


@pytest.mark.parametrize("names", [("dsoc",), ("dsoc", "yield"), NAMES])
def test_no_letters_lie_on_others(filled: Filled, names: tuple[str, ...]) -> None:
    found = overlapping(maps.figure(read_year(filled.job, year=2011, names=names, note="Synthetic archives")))
    assert [pair for pair in found if "km" not in pair[0] + pair[1]] == []


def test_the_title_names_year_region_and_note(drawing: Figure, year_map: YearValues) -> None:
    assert drawing.get_suptitle().replace("\n", " ") == f"Cropland carbon in 2011, {year_map.title} synthetic archives"
    assert drawing.get_supxlabel().replace("\n", " ") == year_map.caption


def test_what_is_not_modelled_has_a_colour_of_no_palette(drawing: Figure) -> None:
    grey = np.array(to_rgb(maps.NOT_MODELLED))
    for panel in PANELS:
        colours = colormaps[ramp(panel.name).colours](np.linspace(0, 1, 256))[:, :3]
        assert np.abs(colours - grey).max(axis=1).min() > 0.1
    assert all(to_rgb(place.get_facecolor()) == tuple(grey) for place in drawing.axes[:6])


def test_county_lines_are_left_out_where_they_would_hide_the_map(
    year_map: YearValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(figure: Figure) -> int:
        return len([drawn for drawn in figure.axes[0].collections if isinstance(drawn, LineCollection)])

    assert lines(maps.figure(year_map)) == 2
    monkeypatch.setattr(basemap, "_OUTLINED_ZONES", 0)
    assert lines(maps.figure(year_map)) == 1


def test_an_unknown_map_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="--variables 'dsoc,snow': no map of 'snow'; choose among crop, gpp"):
        maps.names_of("dsoc,snow")
