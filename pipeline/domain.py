"""The part of the grid that a region covers: its rectangle of tiles and the tiles in it that meet the region."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import shapely
from numpy.typing import NDArray

from pipeline.grid import Grid, Tile, sinusoidal
from regions import Region, zones

# A straight line in longitude and latitude is a curve in the sinusoidal plane: over 0.01 degree it bows by < 1 m.
_STEP_DEGREE = 0.01


@dataclass(frozen=True)
class Domain:
    """Where a region lies: the smallest grid around it, and the tiles that meet it, row by row."""

    grid: Grid
    tiles: tuple[Tile, ...]


@cache
def domain_of(region: Region) -> Domain:
    """Return the grid and the tiles of a region."""
    outlines = _outlines(region)
    points = shapely.get_coordinates(outlines)
    grid = Grid.around(points[:, 0], points[:, 1], tile_cells=region.tile_cells)
    tiles = tuple(grid.tiles())
    squares = shapely.STRtree([_square(grid.of(tile)) for tile in tiles])
    _, met = squares.query(outlines, predicate="intersects")
    return Domain(grid, tuple(tiles[index] for index in np.unique(met)))


def _outlines(region: Region) -> NDArray[np.object_]:
    """Return the region's counties in the sinusoidal plane [m]."""
    fine = shapely.segmentize([zone.geometry for zone in zones(region)], _STEP_DEGREE)
    outlines: NDArray[np.object_] = shapely.transform(fine, lambda lonlat: np.column_stack(sinusoidal(*lonlat.T)))
    return outlines


def _square(tile: Grid) -> shapely.Polygon:
    return shapely.box(tile.x_edges_m[0], tile.y_edges_m[-1], tile.x_edges_m[-1], tile.y_edges_m[0])
