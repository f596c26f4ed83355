"""The frame of the aggregates: bands of tiles, target grids, and the shares of the cells of a tile in every target.

The area of a cell is its WGS84 area times its share inside the region. Each cell is divided among counties and lat-lon
cells by exact overlap, and the shares of a cell add up to its share in the region: area and carbon are conserved on
every target, to rounding. A cell on the region's border is divided among lat-lon cells as if its share in the region
lay evenly within the cell.

The region is aggregated in bands of 0.5 degree of latitude. A band holds whole tiles and whole cells of 0.5 degree, so
that no tile is read twice, no two bands share a lat-lon cell, and each band of each year can be computed, or audited,
by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import csr_array, dia_array, diags_array

from pipeline.aggregate.sums import Array, Sums
from pipeline.grid.coverage import Polygons, coverage, outlines
from pipeline.grid.domain import Domain, domain_of
from pipeline.grid.latlon import BANDS_PER_DEGREE, LatLonGrid, overlaps
from pipeline.grid.sinusoidal import Tile
from regions import Region, Zone, zones

FINE_PER_DEGREE, MIDDLE_PER_DEGREE, COARSE_PER_DEGREE = 400, 20, 2  # 0.0025, 0.05 and 0.5 degree
FINE_IN_MIDDLE, FINE_IN_COARSE = FINE_PER_DEGREE // MIDDLE_PER_DEGREE, FINE_PER_DEGREE // COARSE_PER_DEGREE


# The ends of a cell, slanted as it is, lie closer together than this anywhere south of 60 N [degree of longitude].
_CELL_REACH_DEGREE = 0.02

Mask = NDArray[np.bool_]


class _Grids:
    """The grids of a frame or a band: its cells of 0.0025 degree, and those made of them."""

    fine: LatLonGrid

    @property
    def middle(self) -> LatLonGrid:
        """Cells of 0.05 degree, each of 20 x 20 of the fine ones."""
        return self.fine.coarsen(FINE_IN_MIDDLE)

    @property
    def coarse(self) -> LatLonGrid:
        """Cells of 0.5 degree, each of 200 x 200 of the fine ones."""
        return self.fine.coarsen(FINE_IN_COARSE)


@dataclass(frozen=True)
class Frame(_Grids):
    """Sources and targets of the aggregates: the cube's tiles, the region's counties, the target grids.

    Attributes
    ----------
    domain
        The cube's grid and the tiles of it that meet the region.
    zones
        The region's counties; the region is their union.
    polygons
        Their outlines, as `pipeline.grid.coverage.outlines` returns them.
    fine
        Cells of 0.0025 degree around the region, in whole cells of 0.5 degree.
    """

    domain: Domain
    zones: tuple[Zone, ...]
    polygons: Polygons
    fine: LatLonGrid

    @classmethod
    def of(cls, domain: Domain, zones: tuple[Zone, ...]) -> Frame:
        """Return the frame of a region; all its counties must lie on the domain's grid."""
        west, south, east, north = shapely.total_bounds([zone.geometry for zone in zones])
        reach, step = _CELL_REACH_DEGREE, COARSE_PER_DEGREE
        first_row, first_col = math.floor((90 - north - reach) * step), math.floor((180 + west - reach) * step)
        end_row, end_col = math.ceil((90 - south + reach) * step), math.ceil((180 + east + reach) * step)
        # Whole cells of 0.5 degree, so that blocks of fine cells are cells of the coarse grid.
        coarse = LatLonGrid(step, first_row, first_col, end_row - first_row, end_col - first_col)
        return cls(domain, zones, outlines(zones), coarse.refine(FINE_IN_COARSE))

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """All bands that meet the region, from the north."""
        # 240 rows are 0.5 degree. A tile height that does not divide 240 needs a taller band: the least that holds
        # whole tiles and whole cells.
        height = math.lcm(self.domain.grid.tile_cells, BANDS_PER_DEGREE // COARSE_PER_DEGREE)
        rows = height * FINE_PER_DEGREE // BANDS_PER_DEGREE
        bands = []
        for number, place in enumerate(sorted({tile.first_row // height for tile in self.domain.tiles})):
            tiles = tuple(tile for tile in self.domain.tiles if tile.first_row // height == place)
            strip = LatLonGrid(FINE_PER_DEGREE, place * rows, self.fine.first_col, rows, self.fine.cols)
            bands.append(Band(number, tiles, self.fine.meet(strip)))
        return tuple(bands)

    def shares(self, tile: Tile, band: Band, mask: Mask) -> TileShares:
        """Return the shares of the modelled cells of a tile in the counties and in the lat-lon cells of its band."""
        grid, modelled = self.domain.grid.of(tile), mask.ravel()
        zones = coverage(self.polygons, grid)[:, modelled]
        region = zones.sum(axis=0)

        def on(target: LatLonGrid) -> LatLonShares:
            window = self.window(tile, target)
            # Overlaps are of cells as a whole; each is scaled by its share in the region, which the counties define.
            return LatLonShares(window, overlaps(grid, window)[:, modelled] @ diags_array(region))

        area_m2 = np.repeat(grid.cell_area_m2(), grid.cols)[modelled].astype(np.float64)
        return TileShares(area_m2, region, zones, on(band.fine), on(band.middle), on(band.coarse))

    def window(self, tile: Tile, target: LatLonGrid) -> LatLonGrid:
        """Return the smallest rectangle of cells of `target` that holds all cells of `tile` in it."""
        return LatLonGrid.covering(self.domain.grid.of(tile), per_degree=target.per_degree).meet(target)


@lru_cache(maxsize=1)
def frame_of(region: Region) -> Frame:
    """Return the frame of a region, made once in each process."""
    return Frame.of(domain_of(region), zones(region))


@dataclass(frozen=True)
class Band(_Grids):
    """A strip between two parallels: whole tiles and whole cells of 0.5 degree, which no other band shares.

    Attributes
    ----------
    number
        Its place among all bands of the region, from the north.
    tiles
        The tiles in it that meet the region.
    fine
        Its cells of 0.0025 degree; a part of `Frame.fine`.
    """

    number: int
    tiles: tuple[Tile, ...]
    fine: LatLonGrid

    def block(self, number: int) -> LatLonGrid:
        """Return the fine cells of one column of cells of 0.5 degree, counted from the west."""
        fine = self.fine
        return LatLonGrid(
            fine.per_degree, fine.first_row, fine.first_col + number * FINE_IN_COARSE, fine.rows, FINE_IN_COARSE
        )


@dataclass(frozen=True)
class LatLonShares:
    """Shares of each modelled cell of a tile in the cells of `window`, times its share in the region (lat-lon, N)."""

    window: LatLonGrid
    shares: csr_array

    def of(self, sums: Sums) -> Sums:
        """Return the sums over the cells of the window (area types, layers, lat, lon), given those of the cells."""
        onto = sums.onto(self.shares).layers
        return Sums(onto.reshape(*onto.shape[:-1], *self.window.shape))

    def layer(self, values_N: Array) -> Array:
        """Return one layer of sums over the cells of the window (lat, lon)."""
        sums: Array = self.shares @ values_N
        return sums.reshape(self.window.shape)

    def times(self, area: dia_array) -> LatLonShares:
        """Return the shares times a weight of each cell, the diagonal of a matrix."""
        return replace(self, shares=self.shares @ area)


@dataclass(frozen=True)
class TileShares:
    """The modelled cells of a tile, N, and their shares in the targets.

    Attributes
    ----------
    area_m2
        Area of each cell (N,).
    region
        Share of each cell in the region (N,).
    zones
        Share of each cell in each county (counties, N); they add up to `region`.
    fine, middle, coarse
        Its shares in the lat-lon cells.
    """

    area_m2: Array
    region: Array
    zones: csr_array
    fine: LatLonShares
    middle: LatLonShares
    coarse: LatLonShares

    def in_m2(self) -> TileShares:
        """Return the same with the area of each cell in a target [m2] instead of its share."""
        area = diags_array(self.area_m2)
        latlon = {name: getattr(self, name).times(area) for name in ("fine", "middle", "coarse")}
        return replace(self, zones=self.zones @ area, **latlon)
