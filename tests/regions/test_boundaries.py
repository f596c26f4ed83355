from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import pyogrio
import pytest
import shapely

from regions import counties
from regions.boundaries import pack_geometries, unpack_geometries


@pytest.fixture(scope="module")
def census() -> dict[str, shapely.Geometry]:
    pytest.importorskip("_plotly_geo", reason="the Census shapes come with the extra dev")
    with as_file(files("_plotly_geo") / "package_data") as folder:
        frame = pyogrio.read_dataframe(folder / "cb_2016_us_county_500k.shp")
    return dict(zip(frame["GEOID"], frame.geometry, strict=True))


def test_counties_are_those_of_48_states_and_the_district() -> None:
    assert len(counties()) == 3108
    assert len({zone.state for zone in counties()}) == 49
    assert len({zone.fips for zone in counties()}) == 3108


def test_neighbouring_counties_share_their_borders_exactly() -> None:
    geometries = [zone.geometry for zone in counties()]
    assert shapely.is_valid(geometries).all()
    assert shapely.coverage_is_valid(geometries)


def test_packing_moved_no_vertex_by_more_than_half_a_step(census: dict[str, shapely.Geometry]) -> None:
    for zone in counties()[::40]:
        packed, original = shapely.get_coordinates(zone.geometry), shapely.get_coordinates(census[zone.fips])
        np.testing.assert_allclose(packed, original, rtol=0, atol=0.51e-6)


def test_holes_and_parts_survive_packing() -> None:
    ring = shapely.box(-90, 40, -89, 41).difference(shapely.box(-89.6, 40.4, -89.4, 40.6))
    parts = shapely.MultiPolygon([ring, shapely.box(-88, 40, -87.5, 40.5)])
    (back,) = unpack_geometries(pack_geometries(np.array([parts])))
    assert shapely.equals_exact(back, parts, tolerance=1e-9)
