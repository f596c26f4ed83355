"""Aggregates of the cube, band by band: counties, cells of 0.0025, 0.05 and 0.5 degree, the region.

Within a band (`pipeline.aggregate.frame`) the tiles are taken from west to east, and the fine cells that no further
tile meets are given away block by block: the twelve Midwestern states have 50 million of them, whose sums would take
14 GB. Sums are added up in the order of the tiles, so that they are the same bits on any number of workers. For `corn`
and `soybean`, the area of a cell is also times that crop's fraction of the year, where it is the crop modelled and is
grown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model.arrays import MONTHS
from pipeline.aggregate.frame import FINE_IN_COARSE, FINE_IN_MIDDLE, Band, Frame, Mask, TileShares
from pipeline.aggregate.months import (
    Monthly,
    MonthSums,
    count_layers,
    months_of,
    onto,
    present_layers,
    with_members,
)
from pipeline.aggregate.sums import Array, Layers, Sums, cell_sums
from pipeline.grid.latlon import LatLonGrid
from pipeline.grid.sinusoidal import Tile
from pipeline.progress import heartbeat
from pipeline.variables import DAILY

_DAYS_READ = 61  # days in a chunk of the cube: more are not held in memory at once


class YearResults(Protocol):
    """The results of one year, read tile by tile; N are the modelled cells of a tile."""

    @property
    def year(self) -> int:
        """Calendar year."""
        ...

    @property
    def days(self) -> int:
        """Number of its days."""
        ...

    @property
    def members(self) -> int:
        """Number of members of the ensemble; 0 for a single network."""
        ...

    def mask(self, tile: Tile) -> Mask:
        """Return the modelled cells of a tile (rows, cols)."""
        ...

    def annual(self, tile: Tile, mask: Mask) -> Layers:
        """Return all annual fluxes, `crop`, `quality`, the two crop fractions (N,), and any members' (M, fluxes, N)."""
        ...

    def daily(self, tile: Tile, mask: Mask, days: slice) -> Layers:
        """Return the fluxes of `DAILY` on some days (time, N)."""
        ...

    def month_of_members(self, tile: Tile, mask: Mask, month: int) -> NDArray[np.floating] | None:
        """Return a month of each member less their mean (M, fluxes of `DAILY`, N), or None where there are none."""
        ...


@dataclass(frozen=True)
class Block:
    """The sums over a part of the fine grid that is complete.

    Attributes
    ----------
    grid
        The part.
    sums
        Annual sums (area types, layers, lat, lon).
    months
        Sums of the layers of months (layers, 12, lat, lon), in single precision.
    """

    grid: LatLonGrid
    sums: Sums
    months: NDArray[np.float32]


@dataclass(frozen=True)
class _OpenBlocks:
    """Sums (..., lat, lon) on those blocks of fine cells that some tile has met, until no further one meets them."""

    band: Band
    empty: NDArray[Any]  # the sums (...) over no cell
    _open: dict[int, NDArray[Any]] = field(default_factory=dict)

    def add(self, window: LatLonGrid, sums: NDArray[Any], *, at: tuple[int | slice, ...] = ()) -> None:
        """Add sums over the cells of a window, to some of the layers if `at` says which."""
        first = window.first_col - self.band.fine.first_col
        for number in range(first // FINE_IN_COARSE, -(-(first + window.cols) // FINE_IN_COARSE)):
            block = self.band.block(number)
            shared = block.meet(window)
            if number not in self._open:
                self._open[number] = self._zero()
            # Added, not assigned: tiles have slanted sides, so that neighbours meet in the same lat-lon cells.
            self._open[number][*at, ..., *block.window(shared)] += sums[..., *window.window(shared)]

    def close(self, number: int) -> NDArray[Any]:
        """Give away the sums of a block."""
        return self._open.pop(number) if number in self._open else self._zero()

    def all_closed(self) -> bool:
        """Return whether no block is left: one that was opened again after it was given away would be lost."""
        return not self._open

    def _zero(self) -> NDArray[Any]:
        return np.zeros((*self.empty.shape, self.band.fine.rows, FINE_IN_COARSE), self.empty.dtype)


@dataclass
class BandYear:
    """The aggregates of one band and year, which grow tile by tile.

    Attributes
    ----------
    frame, band
        The region and the band.
    counties
        Sums over the part of each county in the band (area types, layers, counties).
    cells, fine
        Sums over the whole band (area types, layers): over its cells, and over its cells of 0.0025 degree.
    middle, coarse
        Sums over its cells of 0.05 and 0.5 degree (area types, layers, lat, lon).
    daily
        Daily sums over the modelled cells in each cell of 0.5 degree (1 + fluxes, time, lat, lon): the area with
        results [m2], and area x value of each of `DAILY` [g C d-1].
    monthly
        Sums over the months of the modelled cells in each target [m2, g C month-1].
    """

    frame: Frame
    band: Band
    counties: Sums
    cells: Sums
    fine: Sums
    middle: Sums
    coarse: Sums
    daily: Array
    monthly: Monthly
    _fine: _OpenBlocks  # as `Block.sums`
    _fine_months: _OpenBlocks  # as `Block.months`

    @classmethod
    def empty(cls, frame: Frame, band: Band, *, days: int, members: int = 0) -> BandYear:
        """Return the aggregates of no tile."""
        zero = partial(Sums.zero, members=members)
        middle, coarse = band.middle.shape, band.coarse.shape
        whole, maps = (zero(), zero()), (zero(*middle), zero(*coarse))
        daily = np.zeros((1 + len(DAILY), days, *coarse))
        monthly = Monthly.zero((len(frame.zones),), middle, coarse, members=members)
        months = np.empty((count_layers(members), MONTHS), np.float32)
        fine = _OpenBlocks(band, zero().layers), _OpenBlocks(band, months)
        return cls(frame, band, zero(len(frame.zones)), *whole, *maps, daily, monthly, *fine)

    @property
    def routes(self) -> Sums:
        """Sums over the whole band by each of `tables.ROUTES` (area types, layers, routes).

        The routes differ by rounding alone: a larger difference means that a target lost or doubled area.
        """
        sums = (self.cells, self.counties.whole(), self.fine, self.middle.whole(), self.coarse.whole())
        return Sums(np.stack([route.layers for route in sums], axis=-1))

    def add_all(self, results: YearResults) -> Iterator[Block]:
        """Add all tiles of the band; yield its blocks from the west, each when no further tile meets it."""
        done = 0
        first_cols = {tile: self.frame.window(tile, self.band.fine).first_col for tile in self.band.tiles}
        for tile in sorted(self.band.tiles, key=lambda tile: (first_cols[tile], tile.first_row)):
            complete = (first_cols[tile] - self.band.fine.first_col) // FINE_IN_COARSE
            yield from map(self._close, range(done, complete))
            done = max(done, complete)
            self._add(tile, results)
            heartbeat()
        yield from map(self._close, range(done, self.band.coarse.cols))
        assert self._fine.all_closed()
        assert self._fine_months.all_closed()

    def _add(self, tile: Tile, results: YearResults) -> None:
        mask = results.mask(tile)
        if not mask.any():
            return
        of = self.frame.shares(tile, self.band, mask)
        sums = cell_sums(results.annual(tile, mask), of.area_m2, place=f"{tile.name}, year {results.year}")
        # Each route to the regional total is summed by itself: derived from each other, they could not disagree.
        self.counties += sums.onto(of.zones)
        self.cells += Sums(sums.layers @ of.region)
        self._fine.add(of.fine.window, of.fine.of(sums).layers)
        self._add_days(tile, results, mask, of.in_m2())

    def _add_days(self, tile: Tile, results: YearResults, mask: Mask, of: TileShares) -> None:
        months = MonthSums.zero(months_of(results.year, results.days), of.region.size)
        part = self.daily[:, :, *self.band.coarse.window(of.coarse.window)]
        for first in range(0, results.days, _DAYS_READ):
            days = slice(first, min(first + _DAYS_READ, results.days))
            fluxes = results.daily(tile, mask, days)
            layers = present_layers([fluxes[flux.name] for flux in DAILY])
            part[:, days] += onto(layers, of.coarse.shares).reshape(part[:, days].shape)
            months.add(layers, days)
        of_tile = months.complete()
        for month in range(MONTHS):
            own = results.month_of_members(tile, mask, month) if results.members else None
            self._add_month(month, with_members(of_tile[:, month], own, count=results.members), of)

    def _add_month(self, month: int, layers_LN: Array, of: TileShares) -> None:
        place = self.band.middle.window(of.middle.window), self.band.coarse.window(of.coarse.window)
        for number, layer_N in enumerate(layers_LN):
            self.monthly.counties[number, month] += of.zones @ layer_N
            self.monthly.middle[number, month, *place[0]] += of.middle.layer(layer_N)
            self.monthly.coarse[number, month, *place[1]] += of.coarse.layer(layer_N)
            self._fine_months.add(of.fine.window, of.fine.layer(layer_N), at=(number, month))

    def _close(self, number: int) -> Block:
        grid = self.band.block(number)
        sums = Sums(self._fine.close(number))
        self.fine += sums.whole()
        middle = sums.blocks(FINE_IN_MIDDLE)
        cols = middle.layers.shape[-1]
        self.middle.layers[..., number * cols : (number + 1) * cols] = middle.layers
        self.coarse.layers[..., number] = sums.blocks(FINE_IN_COARSE).layers[..., 0]
        return Block(grid, sums, self._fine_months.close(number))
