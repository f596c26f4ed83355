"""Blocks of ingest: read a part of an archive, write it to a fork of the inputs store, return what to commit.

A block of gridded products is a strip of tiles, side by side in one MODIS tile; it owns their shards. A block of
climate is a year: its digests cover whole series, and NLDAS-2 cells are few. No array travels between processes.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import zarr
from icechunk.session import ForkSession
from numpy.typing import NDArray

from pipeline import store
from pipeline.errors import UserError
from pipeline.grid import Grid, Tile
from pipeline.grid_sources import GridSource
from pipeline.inputs_store import CLIMATE, DIGEST_BYTES, FILLED_HOURS, LEADING, ON_GRID, digest
from pipeline.sources.nldas2 import DailyClimate, HourIndex, NldasSettings, Window, read_days

STRIP_CELLS = 230_400  # wider strips share more of each file's decoding; a worker peaks at 1.5 GB for a year of GPP


@dataclass(frozen=True)
class Summary:
    """What is reported of a part of a product-year; parts add up."""

    cells: int = 0
    missing: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    counts: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            self.cells + other.cells,
            self.missing + other.missing,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.counts + other.counts,
        )

    @classmethod
    def of(cls, leading: NDArray[Any], missing: NDArray[Any], counts: Mapping[str, int]) -> Summary:
        """Summarise a part: the range of its leading variable, the cells that lack data, what else was counted."""
        low = np.fmin.reduce(leading, axis=None, initial=np.inf)
        high = np.fmax.reduce(leading, axis=None, initial=-np.inf)
        return cls(missing.size, int(missing.sum()), float(low), float(high), Counter(counts))


@dataclass(frozen=True)
class Part:
    """What a block contributes to a product-year: digests of content by name, and what is reported."""

    digests: dict[str, str]
    summary: Summary


@dataclass(frozen=True)
class StripBlock:
    """A gridded product on a strip of tiles; `grid` is the store's."""

    group: str
    grid: Grid
    tiles: tuple[Tile, ...]
    source: GridSource

    def write(self, root: zarr.Group) -> Part:
        """Read the strip and write it with the digest of each tile."""
        first, edge = self.tiles[0], self.grid.tile_cells
        width = edge * len(self.tiles)
        layers = self.source.read(Grid(first.first_row, first.first_col, edge, width, edge))
        arrays = {variable.name: _stored(layers.arrays[variable.name]) for variable in ON_GRID[self.source.product]}
        rows, cols = self.grid.window(first)
        group = store.subgroup(root, self.group)
        for name, values in arrays.items():
            store.array(group, name)[..., rows, cols.start : cols.start + width] = values
        of_tile = {
            tile.name: digest(*(values[..., start : start + edge] for values in arrays.values()))
            for tile, start in zip(self.tiles, range(0, width, edge), strict=True)
        }
        return Part(of_tile, Summary.of(arrays[LEADING[self.source.product].name], layers.missing_YX, layers.counts))


def _stored(values: NDArray[Any]) -> NDArray[Any]:
    """Return values with one bit pattern for NaN and one for 0, so that equal content has equal digests."""
    if values.dtype.kind != "f":
        return values
    stored: NDArray[Any] = np.where(np.isnan(values), values.dtype.type(np.nan), values + values.dtype.type(0))
    return stored


def strips(tiles: Sequence[Tile]) -> Iterator[tuple[Tile, ...]]:
    """Yield the tiles in runs of neighbours in one row of one MODIS tile, none of more than `STRIP_CELLS` cells."""
    ordered = sorted(tiles, key=lambda tile: (tile.h, tile.v, tile.row, tile.col))
    runs = groupby(enumerate(ordered), key=lambda item: (item[1].h, item[1].v, item[1].row, item[1].col - item[0]))
    for _, run in runs:
        strip = [tile for _, tile in run]
        most = max(1, STRIP_CELLS // strip[0].cells ** 2)
        yield from (tuple(strip[start : start + most]) for start in range(0, len(strip), most))


@dataclass(frozen=True)
class ClimateBlock:
    """NLDAS-2 of one year on the store's window."""

    group: str
    window: Window
    year: int
    hours: HourIndex
    settings: NldasSettings

    def write(self, root: zarr.Group) -> Part:
        """Read the year and write it with the digest of each cell."""
        first, last = dt.date(self.year, 1, 1), dt.date(self.year, 12, 31)
        daily = read_days(self.hours, first=first, last=last, window=self.window, settings=self.settings)
        climate_FTYX = _stored(daily.climate_FTYX)
        undefined_YX = np.isnan(climate_FTYX).all((0, 1))
        _check_complete(daily, undefined_YX)
        filled_YX = np.where(undefined_YX, 0, daily.missing_hours_TYX.sum(0)).astype(FILLED_HOURS.dtype)
        digests_YXB = cell_digests(climate_FTYX, undefined_YX)
        group = store.subgroup(root, self.group)
        for variable, values in zip(CLIMATE, climate_FTYX, strict=True):
            store.array(group, variable.name)[...] = values
        store.array(group, FILLED_HOURS.name)[...] = filled_YX
        store.array(group, "digest")[...] = digests_YXB
        counts = {"hours filled": int(filled_YX.sum()), "duplicate hours": daily.duplicate_hours}
        return Part({"cells": digest(digests_YXB)}, Summary.of(climate_FTYX[1], undefined_YX, counts))


def cell_digests(climate_FTYX: NDArray[np.float32], undefined_YX: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the digest (rows, cols, 16) of each cell's series; zeros where the cell is undefined."""
    digests = np.zeros((*undefined_YX.shape, DIGEST_BYTES), np.uint8)
    for row, col in np.argwhere(~undefined_YX):
        digests[row, col] = np.frombuffer(bytes.fromhex(digest(climate_FTYX[:, :, row, col])), np.uint8)
    return digests


def _check_complete(daily: DailyClimate, undefined_YX: NDArray[np.bool_]) -> None:
    """Refuse a year with a missing day.

    NLDAS-2 has no gaps of its own: a missing day is a missing download. It lacks its rain too, which nothing around it
    tells, so that interpolating the rest would still leave the year without an end.
    """
    missing_T = (np.isnan(daily.climate_FTYX).any(0) & ~undefined_YX).any((1, 2))
    if missing_T.any() or undefined_YX.all():
        days = [daily.first_day + dt.timedelta(int(day)) for day in np.flatnonzero(missing_T | undefined_YX.all())]
        raise UserError(
            f"NLDAS-2 {daily.first_day.year}: {len(days)} days are missing, or lack more hours than "
            f"`max_missing_hours`: {_ranges(days)}; download them again"
        )


def _ranges(days: Sequence[dt.date]) -> str:
    """`2012-03-04 to 2012-03-06, 2012-07-01`, cut after five."""
    runs = groupby(enumerate(days), key=lambda item: item[1].toordinal() - item[0])
    spans = [[day for _, day in run] for _, run in runs]
    named = [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more gaps" if len(named) > 5 else "")


Block = StripBlock | ClimateBlock


@dataclass(frozen=True)
class Work:
    """A block and the fork of the inputs store that it writes to."""

    block: Block
    fork: ForkSession


@dataclass(frozen=True)
class Written:
    """A fork with what a block wrote to it, to be merged and committed."""

    fork: ForkSession
    part: Part


def write_block(work: Work) -> Written:
    """Read and write one block: the function that executors map."""
    return Written(work.fork, work.block.write(store.writable(work.fork)))
