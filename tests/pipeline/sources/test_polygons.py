"""Vector files of users: whatever is wrong with one is said with a remedy."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from pipeline.errors import UserError
from pipeline.sources.polygons import read_shapes, shapes

WEST, EAST = shapely.box(-89.51, 39.98, -89.50, 40.0), shapely.box(-89.50, 39.98, -89.49, 40.0)


def table(*geometries: shapely.Geometry | None, names: list[str | None] | None = None) -> gpd.GeoDataFrame:
    columns = {"name": names or [f"f{number}" for number in range(len(geometries))]}
    return gpd.GeoDataFrame(columns, geometry=list(geometries), crs=4326)


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    """A GeoPackage with two layers of polygons."""
    path = tmp_path / "farm.gpkg"
    table(WEST).to_file(path, layer="west")
    table(EAST).to_file(path, layer="east", mode="a")
    return path


def test_of_several_layers_one_is_named(layers: Path) -> None:
    with pytest.raises(UserError, match=r"farm.gpkg has the layers (west, east|east, west); name one, such as '"):
        read_shapes(layers)
    for name, expected in (("west", WEST), ("east", EAST)):
        (found,) = read_shapes(Path(f"{layers}|layername={name}"))
        assert found.geometry.equals(expected)
    with pytest.raises(UserError, match="no vector file that can be read: Layer 'south'"):
        read_shapes(Path(f"{layers}|layername=south"))


def test_a_table_of_styles_as_qgis_writes_it_is_no_layer(tmp_path: Path) -> None:
    table(WEST).to_file(tmp_path / "farm.gpkg", layer="west")
    styles = pd.DataFrame({"style": ["red"]})
    pyogrio.write_dataframe(styles, tmp_path / "farm.gpkg", layer="layer_styles", append=True)
    assert [shape.label for shape in read_shapes(tmp_path / "farm.gpkg", label="name")] == ["f0"]


def test_a_table_without_geometries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,area\nnorth,2\n")
    with pytest.raises(UserError, match=r"table.csv has no geometries; give polygons"):
        read_shapes(tmp_path / "table.csv")
    with pytest.raises(UserError, match="the table has no geometries"):
        shapes(pd.DataFrame({"name": ["north"]}))


def test_outlines_without_a_reference_system_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fields.csv").write_text(f'name,WKT\nnorth,"{WEST.wkt}"\n')
    with pytest.raises(UserError, match=r"fields.csv has no coordinate reference system; set it, such as EPSG:4326"):
        read_shapes(tmp_path / "fields.csv")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (table(), "holds no polygon"),
        (table(WEST, shapely.Polygon()), "1 geometries are no polygons, or empty or invalid, such as that of f1"),
        (table(WEST, None), "such as that of f1"),
        (table(shapely.Point(0, 0), WEST), "such as that of f0"),
        (table(shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])), "repair them"),
        (table(WEST, EAST, names=["a", "a"]), "labels occur more than once, such as a"),
        (table(WEST, EAST, names=["a", None]), "1 of 2 polygons have no name; name another column"),
    ],
)
def test_other_geometries_and_labels_are_refused(fields: gpd.GeoDataFrame, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shapes(fields, label="name")
