"""The MODIS sinusoidal grid: cells, tiles, rectangles of tiles, and areas.

Rows and columns count from the grid's upper left corner (180 W, 90 N): MODIS tile hHHvVV holds rows VV*4800 ... and
columns HH*4800 ... Cells are squares of 231.656 m, "250 m" by convention; a row is a latitude band of 1/480 degree.

References
----------
MODIS Land sinusoidal grid, https://modis-land.gsfc.nasa.gov/MODLAND_grid.html. WGS84 areas: Snyder (1987), USGS
Professional Paper 1395, eq. 3-11 ff.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pipeline.errors import UserError

# A sphere, as in the MODIS products; areas are computed on the WGS84 ellipsoid (`cell_area_m2`).
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
# The same plane with names, for files that other programs open: a PROJ string has none, and GIS show it as "unknown".
SINUSOIDAL_WKT = (
    'PROJCRS["MODIS Sinusoidal",'
    'BASEGEOGCRS["MODIS sphere",'
    'DATUM["MODIS sphere",ELLIPSOID["MODIS sphere",6371007.181,0,LENGTHUNIT["metre",1]]],'
    'PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]]],'
    'CONVERSION["MODIS Sinusoidal",METHOD["Sinusoidal"],'
    'PARAMETER["Longitude of natural origin",0,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["False easting",0,LENGTHUNIT["metre",1]],PARAMETER["False northing",0,LENGTHUNIT["metre",1]]],'
    'CS[Cartesian,2],AXIS["easting",east,ORDER[1],LENGTHUNIT["metre",1]],'
    'AXIS["northing",north,ORDER[2],LENGTHUNIT["metre",1]]]'
)
RADIUS_M = 6371007.181
MODIS_TILE_M = 1111950.5197665233
MODIS_TILE_CELLS = 4800
CELL_M = MODIS_TILE_M / MODIS_TILE_CELLS
# The grid has 36 x 18 MODIS tiles.
WEST_M, NORTH_M = -18 * MODIS_TILE_M, 9 * MODIS_TILE_M

_WGS84_A_M = 6378137.0
_WGS84_E2 = 0.0066943799901413165

Array = NDArray[np.floating]


@dataclass(frozen=True, order=True)
class Tile:
    """A square block of cells inside one MODIS tile: the unit of work, storage and provenance.

    Examples
    --------
    >>> tile = Tile.parse("h11v04-r07c12", cells=240)
    >>> tile.first_row, tile.first_col
    (20880, 55680)
    >>> Tile.holding(20880, 55680, cells=240).name
    'h11v04-r07c12'
    """

    h: int
    v: int
    row: int
    col: int
    cells: int

    @property
    def name(self) -> str:
        """Name as in `h11v04-r07c12`: MODIS tile, row and column of the block in it."""
        return f"h{self.h:02d}v{self.v:02d}-r{self.row:02d}c{self.col:02d}"

    @property
    def modis(self) -> str:
        """Name of the MODIS tile, such as `h11v04`."""
        return f"h{self.h:02d}v{self.v:02d}"

    @property
    def first_row(self) -> int:
        """Row of the uppermost cells, counted from 90 N."""
        return self.v * MODIS_TILE_CELLS + self.row * self.cells

    @property
    def first_col(self) -> int:
        """Column of the leftmost cells, counted from the grid's west edge."""
        return self.h * MODIS_TILE_CELLS + self.col * self.cells

    @classmethod
    def parse(cls, name: str, *, cells: int) -> Tile:
        """Return the tile called `name`; raises `UserError` for another form or a block outside its MODIS tile."""
        match = re.fullmatch(r"h(\d\d)v(\d\d)-r(\d+)c(\d+)", name)
        # 99 stands for a name of another form and fails the check.
        h, v, row, col = (int(part) for part in match.groups()) if match else (99, 99, 0, 0)
        per_side = MODIS_TILE_CELLS // cells
        if max(row, col) >= per_side or h > 35 or v > 17:
            raise UserError(f"tile {name!r} is not of the form h11v04-r07c12 with r and c below {per_side}")
        return cls(h, v, row, col, cells)

    @classmethod
    def holding(cls, row: int, col: int, *, cells: int) -> Tile:
        """Return the tile of the cell at `row`, `col` of the whole grid."""
        v, in_v = divmod(row, MODIS_TILE_CELLS)
        h, in_h = divmod(col, MODIS_TILE_CELLS)
        return cls(h, v, in_v // cells, in_h // cells, cells)


@dataclass(frozen=True)
class Grid:
    """A rectangle of tiles.

    Attributes
    ----------
    first_row, first_col
        Grid row and column of the upper left cell; multiples of `tile_cells`.
    rows, cols
        Extent in cells; multiples of `tile_cells`.
    tile_cells
        Edge of a tile in cells; divides 4800.
    """

    first_row: int
    first_col: int
    rows: int
    cols: int
    tile_cells: int

    def __post_init__(self) -> None:
        if MODIS_TILE_CELLS % self.tile_cells:
            raise UserError(f"tile of {self.tile_cells} cells does not divide the {MODIS_TILE_CELLS} of a MODIS tile")
        assert not any(n % self.tile_cells for n in (self.first_row, self.first_col, self.rows, self.cols))

    @classmethod
    def around(cls, x_m: Array, y_m: Array, *, tile_cells: int) -> Grid:
        """Return the smallest grid around all points, given in the sinusoidal plane [m]."""
        row = np.floor((NORTH_M - y_m) / CELL_M / tile_cells).astype(int)
        col = np.floor((x_m - WEST_M) / CELL_M / tile_cells).astype(int)
        first_row, first_col = int(row.min()), int(col.min())
        rows, cols = int(row.max()) - first_row + 1, int(col.max()) - first_col + 1
        return cls(first_row * tile_cells, first_col * tile_cells, rows * tile_cells, cols * tile_cells, tile_cells)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns in cells."""
        return self.rows, self.cols

    @property
    def transform(self) -> Affine:
        """Cell indices (column, row) to the sinusoidal plane [m]."""
        return Affine(CELL_M, 0.0, WEST_M + self.first_col * CELL_M, 0.0, -CELL_M, NORTH_M - self.first_row * CELL_M)

    @property
    def x_m(self) -> Array:
        """Centres of the columns (cols,) [m]."""
        return WEST_M + (self.first_col + np.arange(self.cols) + 0.5) * CELL_M

    @property
    def y_m(self) -> Array:
        """Centres of the rows (rows,) [m], north first."""
        return NORTH_M - (self.first_row + np.arange(self.rows) + 0.5) * CELL_M

    @property
    def x_edges_m(self) -> Array:
        """Edges of the columns (cols + 1,) [m]."""
        return WEST_M + (self.first_col + np.arange(self.cols + 1)) * CELL_M

    @property
    def y_edges_m(self) -> Array:
        """Edges of the rows (rows + 1,) [m], north first."""
        return NORTH_M - (self.first_row + np.arange(self.rows + 1)) * CELL_M

    def lonlat(self) -> tuple[Array, Array]:
        """Longitude and latitude [degree] of the cell centres, each (rows, cols)."""
        return lonlat(*np.meshgrid(self.x_m, self.y_m))

    def lonlat_bounds(self) -> tuple[Array, Array]:
        """Least and largest longitude, least and largest latitude [degree] of the grid, each (2,)."""
        longitude, latitude = lonlat(*np.meshgrid(self.x_edges_m[[0, -1]], self.y_edges_m[[0, -1]]))
        return np.array([longitude.min(), longitude.max()]), np.array([latitude.min(), latitude.max()])

    def cell_area_m2(self) -> Array:
        """Return the WGS84 area of a cell of each row (rows,) [m2]; it is the same in all columns.

        Examples
        --------
        >>> grid = Grid(first_row=24000, first_col=52800, rows=240, cols=240, tile_cells=240)  # from 40 N southwards
        >>> grid.cell_area_m2()[[0, -1]].round(1).tolist()
        [53721.6, 53715.4]
        """
        return _band_area_m2(self.y_edges_m)

    def tiles(self) -> Iterator[Tile]:
        """Yield all tiles, row by row."""
        for row in range(self.first_row, self.first_row + self.rows, self.tile_cells):
            for col in range(self.first_col, self.first_col + self.cols, self.tile_cells):
                yield Tile.holding(row, col, cells=self.tile_cells)

    def of(self, tile: Tile) -> Grid:
        """Return the grid of this one tile."""
        return Grid(tile.first_row, tile.first_col, tile.cells, tile.cells, tile.cells)

    def window(self, tile: Tile) -> tuple[slice, slice]:
        """Return the rows and columns of `tile` in arrays on this grid; raises `UserError` for a tile outside it."""
        row, col = tile.first_row - self.first_row, tile.first_col - self.first_col
        inside = 0 <= row < self.rows and 0 <= col < self.cols
        if tile.cells != self.tile_cells or not inside:
            raise UserError(
                f"tile {tile.name} of {tile.cells} cells lies outside this region's grid; see `agcarbon plan`"
            )
        return slice(row, row + tile.cells), slice(col, col + tile.cells)


def lonlat(x_m: Array, y_m: Array) -> tuple[Array, Array]:
    """Return longitude and latitude [degree] of points in the sinusoidal plane [m].

    Examples
    --------
    >>> longitude, latitude = lonlat(*sinusoidal(np.array([-88.2]), np.array([40.1])))
    >>> longitude.round(9).tolist(), latitude.round(9).tolist()
    ([-88.2], [40.1])
    """
    latitude = np.asarray(y_m) / RADIUS_M
    return np.degrees(x_m / (RADIUS_M * np.cos(latitude))), np.degrees(latitude)


def sinusoidal(longitude: Array, latitude: Array) -> tuple[Array, Array]:
    """Return coordinates in the sinusoidal plane [m] of points given by longitude and latitude [degree].

    Examples
    --------
    >>> x, y = sinusoidal(np.array([-88.2]), np.array([40.1]))
    >>> x.round().tolist(), y.round().tolist()
    ([-7501893.0], [4458922.0])
    """
    phi = np.radians(latitude)
    return RADIUS_M * np.radians(longitude) * np.cos(phi), RADIUS_M * phi


def _band_area_m2(y_edges_m: Array) -> Array:
    """WGS84 area of one cell in each band between successive edges.

    A cell spans CELL_M / (R cos(phi)) radians of longitude at every latitude, so its area is the integral of
    a^2 (1 - e^2) / (1 - e^2 sin^2(phi))^2 * CELL_M / R over the band; Simpson's rule is exact to 1e-15.
    """
    phi = y_edges_m / RADIUS_M

    def density(latitude: Array) -> Array:
        return _WGS84_A_M**2 * (1 - _WGS84_E2) / (1 - _WGS84_E2 * np.sin(latitude) ** 2) ** 2 * CELL_M / RADIUS_M

    north, south = phi[:-1], phi[1:]
    return (north - south) / 6 * (density(north) + 4 * density((north + south) / 2) + density(south))
