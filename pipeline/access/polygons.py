"""Polygons of users, such as fields: read from vector files, and the share of every cell in each of them.

Polygons may overlap, unlike the counties of a region: the shares of a cell can add up to more than 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.access.window import Window
from pipeline.errors import UserError
from pipeline.grid.coverage import Outlined, coverage, outlines, shares
from pipeline.grid.sinusoidal import Grid, Tile

if TYPE_CHECKING:
    import geopandas as gpd

_NAMED = 3


@dataclass(frozen=True)
class Shape:
    """A polygon with its label; longitude and latitude [degree]."""

    label: str
    geometry: shapely.Polygon | shapely.MultiPolygon


@dataclass(frozen=True, eq=False)
class TileShares:
    """Shares of the cells of a part of a tile in polygons.

    Attributes
    ----------
    tile, window
        The tile, and the smallest window of the cube's grid that holds all cells of the tile in some polygon.
    polygons_P
        Numbers of the polygons that meet it.
    shares_PN
        Share of each cell of the window inside each of them.
    """

    tile: Tile
    window: Window
    polygons_P: NDArray[np.intp]
    shares_PN: csr_array


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
        If it has no reference system, no polygon, other geometries, or no such column, or if labels are not unique.
    """
    if table.crs is None:
        raise UserError(f"{origin} has no coordinate reference system; set it, such as EPSG:4326")
    if label is not None and label not in table.columns:
        columns = ", ".join(str(name) for name in table.columns if name != table.geometry.name)
        raise UserError(f"{origin} has no column {label!r}; its columns are {columns or 'none'}")
    if not len(table):
        raise UserError(f"{origin} holds no polygon; give one with at least one")
    labels = [str(each) for each in (table.index if label is None else table[label])]
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
    """Return the polygons of a vector file in any format of GDAL; raises as `shapes`, or for a file it cannot read."""
    import geopandas as gpd
    from pyogrio.errors import DataSourceError

    try:
        table = gpd.read_file(path)
    except DataSourceError as error:
        raise UserError(f"{path}: no vector file that can be read: {error}") from error
    return shapes(table, label=label, origin=str(path))


def tile_shares(
    polygons: Sequence[Outlined], grid: Grid, *, disjoint: bool = False, tiles: Iterable[Tile] | None = None
) -> Iterator[TileShares]:
    """Yield the shares of the cells of each tile, of `grid` or of `tiles`, that some polygon meets, tile by tile.

    The shares of `disjoint` polygons, such as counties, add up to 1 at most, exactly as in the aggregates.
    """
    of_cells = coverage if disjoint else shares
    outlined = outlines(polygons)
    # In the plane of `outlines`: x is the column, -y the row of the whole grid.
    left, bottom, right, top = shapely.bounds(outlined).T
    first_row, first_col = np.floor(-top).astype(int) - grid.first_row, np.floor(left).astype(int) - grid.first_col
    end_row, end_col = np.ceil(-bottom).astype(int) - grid.first_row, np.ceil(right).astype(int) - grid.first_col
    for tile in grid.tiles() if tiles is None else tiles:
        rows, cols = grid.window(tile)
        meets = (first_row < rows.stop) & (end_row > rows.start) & (first_col < cols.stop) & (end_col > cols.start)
        if (of := np.flatnonzero(meets)).size:
            window = Window(
                slice(max(rows.start, int(first_row[of].min())), min(rows.stop, int(end_row[of].max()))),
                slice(max(cols.start, int(first_col[of].min())), min(cols.stop, int(end_col[of].max()))),
            )
            part = Grid(
                grid.first_row + window.rows.start, grid.first_col + window.cols.start, *window.shape, tile_cells=1
            )
            yield TileShares(tile, window, of, of_cells(outlined[of], part))
