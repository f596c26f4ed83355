"""Aggregates of the cube: counties, cells of 0.0025 and of 0.5 degree, the whole region.

An aggregate is a sum over cells of area x value and one of area. Such sums form a monoid: they add up over tiles in any
order and are divided last, so that no more than a band of 0.5 degree of latitude is ever in memory. The area of a cell
is its WGS84 area times its share inside the region; for `corn` and `soybean` also times that crop's fraction of the
year, where it is the crop modelled and is grown. A cell without a result enters no mean; where it ought to have one,
its area is summed by itself.

A cell on the region's border hands its share to the lat-lon cells as if that lay evenly in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
import xarray as xr
from scipy.sparse import csr_array, diags_array

from pipeline.aggregate.sums import Array, Sums, cell_sums
from pipeline.aggregate.tables import daily_map
from pipeline.grid.coverage import Polygons, coverage, outlines
from pipeline.grid.domain import Domain
from pipeline.grid.latlon import BANDS_PER_DEGREE, LatLonGrid, overlaps
from pipeline.grid.sinusoidal import Tile
from pipeline.variables import DAILY
from regions import Zone

FINE_PER_DEGREE, COARSE_PER_DEGREE = 400, 2  # 0.0025 and 0.5 degree
FINE_IN_COARSE = FINE_PER_DEGREE // COARSE_PER_DEGREE

_DAYS_READ = 61  # the cube's chunk

# The ends of a cell, slanted as it is, lie closer together than this anywhere south of 60 N [degree of longitude].
_CELL_REACH_DEGREE = 0.02


@dataclass(frozen=True)
class Frame:
    """What is aggregated and onto what: the cube's tiles, the region's counties, the target grids.

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
        coarse = LatLonGrid(step, first_row, first_col, end_row - first_row, end_col - first_col)
        return cls(domain, zones, outlines(zones), coarse.refine(FINE_IN_COARSE))

    @property
    def coarse(self) -> LatLonGrid:
        """Cells of 0.5 degree, each of 200 x 200 of the fine ones."""
        return self.fine.coarsen(FINE_IN_COARSE)

    def bands(self) -> Iterator[Band]:
        """Yield all bands that hold some of the region, from the north."""
        # 240 rows are 0.5 degree; taller tiles need a taller band, so that it holds whole tiles and whole cells.
        height = math.lcm(self.domain.grid.tile_cells, BANDS_PER_DEGREE // COARSE_PER_DEGREE)
        rows = height * FINE_PER_DEGREE // BANDS_PER_DEGREE
        for number in sorted({tile.first_row // height for tile in self.domain.tiles}):
            tiles = tuple(tile for tile in self.domain.tiles if tile.first_row // height == number)
            strip = LatLonGrid(FINE_PER_DEGREE, number * rows, self.fine.first_col, rows, self.fine.cols)
            yield Band(tiles, self.fine.meet(strip))

    def shares(self, tile: Tile, target: LatLonGrid) -> TileShares:
        """Return how the cells of `tile` are handed to the counties and to the cells of `target`."""
        grid = self.domain.grid.of(tile)
        zones = coverage(self.polygons, grid)
        region = zones.sum(axis=0)
        window = LatLonGrid.covering(grid, per_degree=target.per_degree).meet(target)
        return TileShares(tile, region, zones, overlaps(grid, window) @ diags_array(region), target.window(window))


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
    """How the cells of a tile are handed to the targets.

    Attributes
    ----------
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
    grid
        The band's cells of 0.0025 degree.
    fine
        Sums over them (covers, layers, lat, lon).
    counties
        Sums over the part of each county in the band (covers, layers, counties).
    cells
        Sums over all cells of the band at once (covers, layers).
    """

    year: int
    grid: LatLonGrid
    fine: Sums
    counties: Sums
    cells: Sums

    @property
    def coarse(self) -> Sums:
        """Sums over the cells of 0.5 degree (covers, layers, lat, lon)."""
        return self.fine.blocks(FINE_IN_COARSE)

    @property
    def routes(self) -> Sums:
        """Sums over the whole band by each of `ROUTES` (covers, layers, routes); they differ by rounding alone."""
        sums = (self.cells, self.counties.whole(), self.fine.whole(), self.coarse.whole())
        return Sums(np.stack([route.layers for route in sums], axis=-1))


def aggregate_annual(annual: xr.Dataset, frame: Frame, *, years: Iterable[int]) -> Iterator[BandYear]:
    """Yield the aggregates band by band from the north, in each band year by year.

    Parameters
    ----------
    annual
        The cube's annual layers (year, y, x) on the frame's grid, opened lazily: one tile-year is read at a time.
    years
        Years of `annual`, all of whose tiles have been run.
    """
    years = tuple(years)
    for band in frame.bands():
        shares = [frame.shares(tile, band.fine) for tile in band.tiles]
        for year in years:
            yield _band_year(annual.sel(year=year), frame, band=band, shares=shares)


def _band_year(annual: xr.Dataset, frame: Frame, *, band: Band, shares: Iterable[TileShares]) -> BandYear:
    fine, counties, cells = Sums.zero(*band.fine.shape), Sums.zero(len(frame.zones)), Sums.zero()
    for of in shares:
        rows, cols = frame.domain.grid.window(of.tile)
        sums = cell_sums(annual.isel(y=rows, x=cols), frame.domain.grid.of(of.tile).cell_area_m2(), place=of.tile.name)
        counties += sums.onto(of.zones)
        cells += Sums(sums.layers @ of.region)
        fine.layers[..., *of.window] += sums.onto(of.latlon).layers.reshape(fine.layers[..., *of.window].shape)
    return BandYear(int(annual["year"]), band.fine, fine, counties, cells)


def aggregate_daily(daily: xr.Dataset, frame: Frame) -> xr.Dataset:
    """Return the daily means over the modelled cells in each cell of 0.5 degree, and the area that they stand for.

    Parameters
    ----------
    daily
        The cube's `DAILY` fluxes of one year (time, y, x) on the frame's grid, opened lazily; a tile is read in blocks
        of 61 days, the cube's chunk.

    Returns
    -------
    xarray.Dataset
        Means of ra, rh and nee [g m-2 d-1], NaN without modelled cells, and `area` [m2], (time, lat, lon).
    """
    shape = (1 + len(DAILY), daily.sizes["time"], *frame.coarse.shape)
    sums = np.zeros(shape)  # area, and area x value of each flux
    for tile in frame.domain.tiles:
        of = frame.shares(tile, frame.coarse)
        fluxes = daily.isel(dict(zip(("y", "x"), frame.domain.grid.window(tile), strict=True)))
        area = np.repeat(frame.domain.grid.of(tile).cell_area_m2(), tile.cells)
        weights = of.latlon @ diags_array(area)
        for first in range(0, shape[1], _DAYS_READ):
            days = slice(first, first + _DAYS_READ)
            part = sums[:, days, *of.window]
            part += _daily_sums(fluxes.isel(time=days), weights).reshape(part.shape)
    return daily_map(sums, daily["time"], frame.coarse)


def _daily_sums(fluxes: xr.Dataset, weights: csr_array) -> Array:
    """Area, and area x value of each flux, (1 + fluxes, time, lat-lon cells); a day lacking one flux counts in none."""
    values_FTN = np.stack([fluxes[flux.name].values.reshape(fluxes.sizes["time"], -1) for flux in DAILY])
    present_TN = np.isfinite(values_FTN).all(axis=0)
    layers = np.concatenate([present_TN[None], np.where(present_TN, values_FTN, 0)])
    sums: Array = weights @ layers.reshape(-1, weights.shape[1]).T
    return sums.T.reshape(*layers.shape[:2], weights.shape[0])
