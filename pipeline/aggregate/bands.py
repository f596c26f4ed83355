"""Aggregates of the cube, band by band: counties, cells of 0.0025 and of 0.5 degree, the region.

The area of a cell is its WGS84 area times its share inside the region; for `corn` and `soybean` also times that crop's
fraction of the year, where it is the crop modelled and is grown. Each cell is divided among counties and lat-lon cells
by exact overlap, and the shares of a cell add up to its share in the region: area and carbon are conserved on every
target, to rounding.

The region is aggregated in bands of 0.5 degree of latitude: on the fine grid the twelve Midwestern states have 50
million cells, whose sums would take 14 GB. A band holds whole tiles and whole cells of 0.5 degree, so that no tile is
read twice, no two bands share a lat-lon cell, and each band can be computed, or audited, by itself.

A cell on the region's border is divided among lat-lon cells as if its share in the region lay evenly within the cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import shapely
from scipy.sparse import csr_array, diags_array

from pipeline.aggregate.sums import Array, Layers, Sums, cell_sums
from pipeline.grid.coverage import Polygons, coverage, outlines
from pipeline.grid.domain import Domain
from pipeline.grid.latlon import BANDS_PER_DEGREE, LatLonGrid, overlaps
from pipeline.grid.sinusoidal import Tile
from pipeline.variables import DAILY
from regions import Zone

FINE_PER_DEGREE, COARSE_PER_DEGREE = 400, 2  # 0.0025 and 0.5 degree
FINE_IN_COARSE = FINE_PER_DEGREE // COARSE_PER_DEGREE

_DAYS_READ = 61  # days in a chunk of the cube: more are not held in memory at once

ReadAnnual: TypeAlias = Callable[[Tile, int], Layers]
"""Returns the annual layers (rows, cols) of a tile and year."""
ReadDays: TypeAlias = Callable[[Tile, slice], Layers]
"""Returns the daily fluxes (time, rows, cols) of a tile for some days of a year."""

# The ends of a cell, slanted as it is, lie closer together than this anywhere south of 60 N [degree of longitude].
_CELL_REACH_DEGREE = 0.02


@dataclass(frozen=True)
class Frame:
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

    @property
    def coarse(self) -> LatLonGrid:
        """Cells of 0.5 degree, each of 200 x 200 of the fine ones."""
        return self.fine.coarsen(FINE_IN_COARSE)

    def bands(self) -> Iterator[Band]:
        """Yield all bands that meet the region, from the north."""
        # 240 rows are 0.5 degree. A tile height that does not divide 240 needs a taller band: the least that holds
        # whole tiles and whole cells.
        height = math.lcm(self.domain.grid.tile_cells, BANDS_PER_DEGREE // COARSE_PER_DEGREE)
        rows = height * FINE_PER_DEGREE // BANDS_PER_DEGREE
        for number in sorted({tile.first_row // height for tile in self.domain.tiles}):
            tiles = tuple(tile for tile in self.domain.tiles if tile.first_row // height == number)
            strip = LatLonGrid(FINE_PER_DEGREE, number * rows, self.fine.first_col, rows, self.fine.cols)
            yield Band(tiles, self.fine.meet(strip))

    def coarse_rows(self, band: Band) -> slice:
        """Return the rows of a band in arrays on `coarse`."""
        return self.coarse.window(band.fine.coarsen(FINE_IN_COARSE))[0]

    def shares(self, tile: Tile, target: LatLonGrid) -> TileShares:
        """Return the shares of each cell of `tile` in the counties and in the cells of `target`."""
        grid = self.domain.grid.of(tile)
        zones = coverage(self.polygons, grid)
        region = zones.sum(axis=0)
        window = LatLonGrid.covering(grid, per_degree=target.per_degree).meet(target)
        # Overlaps are of cells as a whole; each is scaled by its share in the region, which the counties define.
        latlon = overlaps(grid, window) @ diags_array(region)
        return TileShares(tile, region, zones, latlon, target.window(window))


@dataclass(frozen=True)
class Band:
    """A strip between two parallels: whole tiles and whole cells of 0.5 degree, which no other band shares.

    Attributes
    ----------
    tiles
        The tiles in it that meet the region.
    fine
        Its cells of 0.0025 degree; a part of `Frame.fine`.
    """

    tiles: tuple[Tile, ...]
    fine: LatLonGrid


@dataclass(frozen=True)
class TileShares:
    """Shares of each cell of a tile in the targets.

    Attributes
    ----------
    tile
        The tile.
    region
        Share of each cell in the region (cells,).
    zones
        Share of each cell in each county (counties, cells); they add up to `region`.
    latlon
        Share of each cell in each lat-lon cell of the window, times `region` (lat-lon cells, cells).
    window
        Rows and columns of those lat-lon cells in the target.
    """

    tile: Tile
    region: Array
    zones: csr_array
    latlon: csr_array
    window: tuple[slice, slice]


@dataclass(frozen=True)
class BandYear:
    """The aggregates of one band and year.

    Attributes
    ----------
    year
        Calendar year.
    grid
        The band's cells of 0.0025 degree.
    fine
        Sums over them (area types, layers, lat, lon).
    counties
        Sums over the part of each county in the band (area types, layers, counties).
    cells
        Sums over all cells of the band at once (area types, layers).
    """

    year: int
    grid: LatLonGrid
    fine: Sums
    counties: Sums
    cells: Sums

    @property
    def coarse(self) -> Sums:
        """Sums over the cells of 0.5 degree (area types, layers, lat, lon)."""
        return self.fine.blocks(FINE_IN_COARSE)

    @property
    def routes(self) -> Sums:
        """Sums over the whole band by each of `tables.ROUTES` (area types, layers, routes).

        The routes differ by rounding alone: a larger difference means that a target lost or doubled area.
        """
        sums = (self.cells, self.counties.whole(), self.fine.whole(), self.coarse.whole())
        return Sums(np.stack([route.layers for route in sums], axis=-1))


def aggregate_annual(read: ReadAnnual, frame: Frame, *, years: Iterable[int]) -> Iterator[BandYear]:
    """Yield the aggregates band by band from the north, in each band year by year.

    Parameters
    ----------
    read
        Called once for each tile and year: all fluxes, `crop`, `quality` and the two crop fractions.
    frame
        The region.
    years
        Years of which all tiles have results.
    """
    years = tuple(years)
    for band in frame.bands():
        shares = [frame.shares(tile, band.fine) for tile in band.tiles]  # costly, and the same for all years
        for year in years:
            yield _band_year(read, frame, band=band, shares=shares, year=year)


def _band_year(read: ReadAnnual, frame: Frame, *, band: Band, shares: Iterable[TileShares], year: int) -> BandYear:
    fine, counties, cells = Sums.zero(*band.fine.shape), Sums.zero(len(frame.zones)), Sums.zero()
    for of in shares:
        area_m2 = frame.domain.grid.of(of.tile).cell_area_m2()
        sums = cell_sums(read(of.tile, year), area_m2, place=f"{of.tile.name}, year {year}")
        # Each route to the regional total is summed by itself: derived from each other, they could not disagree.
        counties += sums.onto(of.zones)
        cells += Sums(sums.layers @ of.region)
        # Added, not assigned: tiles have slanted sides, so that neighbours meet in the same lat-lon cells.
        fine.layers[..., *of.window] += sums.onto(of.latlon).layers.reshape(fine.layers[..., *of.window].shape)
    return BandYear(year, band.fine, fine, counties, cells)


def aggregate_daily(read: ReadDays, frame: Frame, *, days: int) -> Array:
    """Return the daily sums over the modelled cells in each cell of 0.5 degree (1 + fluxes, time, lat, lon).

    They are the area with results [m2], and area x value of each of `DAILY` [g C d-1].

    Parameters
    ----------
    read
        Called for each tile and every 61 days, a chunk of the cube: the fluxes of `DAILY`.
    frame
        The region.
    days
        Days of the year.
    """
    total = np.zeros((1 + len(DAILY), days, *frame.coarse.shape))
    for tile in frame.domain.tiles:
        of = frame.shares(tile, frame.coarse)
        area = np.repeat(frame.domain.grid.of(tile).cell_area_m2(), tile.cells)
        weights = of.latlon @ diags_array(area)
        for first in range(0, days, _DAYS_READ):
            chunk = slice(first, min(first + _DAYS_READ, days))
            part = total[:, chunk, *of.window]
            part += _daily_sums(read(tile, chunk), weights).reshape(part.shape)
    return total


def _daily_sums(fluxes: Layers, weights: csr_array) -> Array:
    """Area, and area x value of each flux, (1 + fluxes, time, lat-lon cells).

    A cell counts on a day only if it has all fluxes, so that one area serves them all.
    """
    values_FTN = np.stack([fluxes[flux.name].reshape(len(fluxes[flux.name]), -1) for flux in DAILY])
    present_TN = np.isfinite(values_FTN).all(axis=0)
    layers = np.concatenate([present_TN[None], np.where(present_TN, values_FTN, 0)])
    # One product of a sparse and a dense matrix for all days: (lat-lon cells, cells) @ (cells, layers x days).
    sums: Array = weights @ layers.reshape(-1, weights.shape[1]).T
    return sums.T.reshape(*layers.shape[:2], weights.shape[0])
