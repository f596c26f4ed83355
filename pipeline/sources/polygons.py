"""Polygons of users, such as fields: read from vector files, in longitude and latitude."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from pipeline.errors import UserError

if TYPE_CHECKING:
    import geopandas as gpd

_NAMED = 3
_LAYER = "|layername="


@dataclass(frozen=True)
class Shape:
    """A polygon with its label; longitude and latitude [degree]."""

    label: str
    geometry: shapely.Polygon | shapely.MultiPolygon


def shapes(table: gpd.GeoDataFrame, *, label: str | None = None, origin: str = "the table") -> tuple[Shape, ...]:
    """Return the polygons of a table, in longitude and latitude.

    Parameters
    ----------
    table
        Polygons with a coordinate reference system.
    label
        Column with the label of each polygon; the table's index if None.
    origin
        Name of the table, for messages.

    Raises
    ------
    UserError
        If it has no geometries, no reference system, no polygon, other geometries, or no such column, or if labels are
        missing or not unique.
    """
    if not hasattr(table, "crs"):
        raise UserError(f"{origin} has no geometries; give polygons, such as those of a GeoPackage or GeoJSON")
    if table.crs is None:
        raise UserError(f"{origin} has no coordinate reference system; set it, such as EPSG:4326")
    if label is not None and label not in table.columns:
        columns = ", ".join(str(name) for name in table.columns if name != table.geometry.name)
        raise UserError(f"{origin} has no column {label!r}; its columns are {columns or 'none'}")
    if not len(table):
        raise UserError(f"{origin} holds no polygon; give one with at least one")
    named = table.index if label is None else table[label]
    if absent := int(named.isna().sum()):
        raise UserError(f"{origin}: {absent} of {len(table)} polygons have no {label or 'index'}; name another column")
    labels = [str(each) for each in named]
    if repeated := sorted({each for each in labels if labels.count(each) > 1})[:_NAMED]:
        raise UserError(f"{origin}: labels occur more than once, such as {', '.join(repeated)}; name another column")
    geometries = table.to_crs(4326).geometry
    wrong = [name for name, each in zip(labels, geometries, strict=True) if not _is_area(each)]
    if wrong:
        raise UserError(
            f"{origin}: {len(wrong)} geometries are no polygons, or empty or invalid, such as that of "
            f"{', '.join(wrong[:_NAMED])}; keep polygons only and repair them (`make_valid`)"
        )
    return tuple(Shape(name, each) for name, each in zip(labels, geometries, strict=True))


def _is_area(geometry: Any) -> bool:
    return isinstance(geometry, shapely.Polygon | shapely.MultiPolygon) and geometry.is_valid and not geometry.is_empty


def read_shapes(path: Path, *, label: str | None = None) -> tuple[Shape, ...]:
    """Return the polygons of a vector file in any format of GDAL.

    Of a file with several layers, `path` names one as QGIS does: FILE|layername=NAME.

    Raises
    ------
    UserError
        As `shapes`; or for a file that cannot be read, has no such layer or several, none of which is named.
    """
    import geopandas as gpd
    from pyogrio import list_layers
    from pyogrio.errors import DataLayerError, DataSourceError

    file, _, layer = str(path).partition(_LAYER)
    try:
        layers = [str(name) for name, kind in list_layers(file) if kind is not None]
        if len(layers) > 1 and not layer:
            raise UserError(f"{path} has the layers {', '.join(layers)}; name one, such as '{path}{_LAYER}{layers[0]}'")
        table = gpd.read_file(file, layer=layer or (layers[0] if layers else None))
    except (DataSourceError, DataLayerError) as error:
        raise UserError(f"{path}: no vector file that can be read: {error}") from error
    return shapes(table, label=label, origin=str(path))
