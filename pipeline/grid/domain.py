"""The part of the grid that a region covers: a rectangle of tiles, and the tiles in it that meet the region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely

from pipeline.grid.coverage import outlines
from pipeline.grid.sinusoidal import CELL_M, NORTH_M, WEST_M, Grid, Tile
from regions import Region, zones


@dataclass(frozen=True)
class Domain:
    """Smallest grid around a region, and the tiles that meet the region, row by row."""

    grid: Grid
    tiles: tuple[Tile, ...]


@cache
def domain_of(region: Region) -> Domain:
    """Return the grid and the tiles of a region."""
    # Counties, not the corners of their bounding box: meridians are curved, and a box would miss or add tiles.
    counties = outlines(zones(region))
    x, y = shapely.get_coordinates(counties).T
    grid = Grid.around(WEST_M + x * CELL_M, NORTH_M + y * CELL_M, tile_cells=region.tile_cells)
    tiles = tuple(grid.tiles())
    squares = shapely.STRtree([_square(tile) for tile in tiles])
    _, met = squares.query(counties, predicate="intersects")
    return Domain(grid, tuple(tiles[index] for index in np.unique(met)))


def _square(tile: Tile) -> shapely.Polygon:
    """Return a tile in the plane of `outlines` [cell]."""
    west, north = tile.first_col, -tile.first_row
    return shapely.box(west, north - tile.cells, west + tile.cells, north)
