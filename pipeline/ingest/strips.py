"""Blocks of ingest: each reads a part of an archive and writes it to a fork of the inputs store.

A block of a gridded product is a strip of tiles, side by side in one MODIS tile; no other block writes their shards.
Blocks of climate are in `climate`. No array travels between processes: a block returns its fork, digests and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any, Protocol

import numpy as np
import zarr
from icechunk.session import ForkSession
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.ingest.sources import Cells, GridSource
from pipeline.inputs.cells import CellRule
from pipeline.inputs.layout import GPP_MISSING, LEADING, tile_digest
from pipeline.inputs.limits import faults
from pipeline.storage import cf, repository
from pipeline.storage.retry import RetryPolicy, retried

# Four tiles of 240 cells: wider strips decode each file less often.
STRIP_CELLS = 230_400
# One tile of 240 cells: a row of a MODIS tile that is decoded at once is filled and written in parts of this size.
PART_CELLS = 57_600


@dataclass(frozen=True)
class Summary:
    """Counts and range of a part of a product-year, for the report; summaries of parts add up.

    Attributes
    ----------
    totals, numbers
        Sum and number of the values of each variable, without those that are missing.
    """

    cells: int = 0
    missing: int = 0
    minimum: float = np.inf
    maximum: float = -np.inf
    counts: Counter[str] = field(default_factory=Counter)
    totals: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            self.cells + other.cells,
            self.missing + other.missing,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.counts + other.counts,
            _added(self.totals, other.totals),
            _added(self.numbers, other.numbers),
        )

    @classmethod
    def of(
        cls, product: str, arrays: Mapping[str, NDArray[Any]], *, missing: NDArray[Any], counts: Mapping[str, int]
    ) -> Summary:
        """Summarise a part: range of its leading variable, sums of all, cells without data, further counts."""
        leading = arrays[LEADING[product].name]
        low = np.fmin.reduce(leading, axis=None, initial=np.inf)
        high = np.fmax.reduce(leading, axis=None, initial=-np.inf)
        known = {name: ~np.isnan(values) for name, values in arrays.items()}
        # In float64: the sum of millions of float32 values would lose digits.
        totals = {name: float(values.sum(dtype=np.float64, where=known[name])) for name, values in arrays.items()}
        numbers = {name: int(has.sum()) for name, has in known.items()}
        return cls(missing.size, int(missing.sum()), float(low), float(high), Counter(counts), totals, numbers)

    def mean_faults(self, product: str) -> list[str]:
        """Return a sentence for each variable whose mean is implausible, for the summary of a whole product-year."""
        means = {name: self.totals[name] / number for name, number in self.numbers.items() if number}
        found = (faults(product, name, None, None, mean=mean) for name, mean in means.items())
        return [fault for fault in found if fault]


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


@dataclass(frozen=True)
class Part:
    """Contribution of a block to a product-year: digests of content by name, and its summary."""

    digests: dict[str, str]
    summary: Summary


@dataclass(frozen=True)
class StripBlock:
    """A gridded product on a strip of tiles.

    Attributes
    ----------
    grid
        Grid of the store.
    cells
        Rule of the cells that are stored; None: all.
    """

    group: str
    grid: Grid
    tiles: tuple[Tile, ...]
    source: GridSource
    cells: CellRule | None = None

    def write(self, root: zarr.Group) -> Part:
        """Read the strip and write it; return the digest of each tile and the summary."""
        source = self.source.opened(_grid_of(self.tiles))
        cuts = strips(self.tiles, most_cells=PART_CELLS) if source.by_rows else [self.tiles]
        parts = [replace(self, tiles=tiles, source=source)._write(root) for tiles in cuts]
        digests = {name: digest for part in parts for name, digest in part.digests.items()}
        return Part(digests, reduce(add, (part.summary for part in parts), Summary()))

    def _write(self, root: zarr.Group) -> Part:
        """Read and write all tiles at once.

        Digests cover the arrays that a run reads, in a fixed order: other variables may change without making results
        stale.
        """
        first, edge, product = self.tiles[0], self.grid.tile_cells, self.source.product
        width = edge * len(self.tiles)
        rows, cols = self.grid.window(first)
        window = rows, slice(cols.start, cols.start + width)
        # The source's grid covers the strip alone; rows and columns of the window are those of the store.
        cells = Cells.all_of(_grid_of(self.tiles))
        if self.cells is not None:
            cells = Cells(cells.grid, self.cells.stored(root, window))
        layers = self.source.read(cells)
        values_of_cells = {name: values[..., cells.stored_YX] for name, values in layers.arrays.items()}
        check_plausible(product, values_of_cells)
        group = repository.subgroup(root, self.group)
        stored = {
            name: _as_stored(repository.array(group, name), values, layers.scale)
            for name, values in layers.arrays.items()
        }
        for name, values in stored.items():
            if not cells.stored_YX.all():
                values[..., ~cells.stored_YX] = repository.array(group, name).fill_value
            repository.replace(group, name, (*[slice(None)] * (values.ndim - 2), *window), values)
        # Of the values as they are stored.
        of_tile = {
            tile.name: tile_digest(product, {name: layer[..., start : start + edge] for name, layer in stored.items()})
            for tile, start in zip(self.tiles, range(0, width, edge), strict=True)
        }
        missing_N = layers.missing_YX[cells.stored_YX]
        counts = layers.counts | {"cells not stored": int((~cells.stored_YX).sum())}
        return Part(of_tile, Summary.of(product, values_of_cells, missing=missing_N, counts=counts))


def _as_stored(layer: repository.Array, values: NDArray[Any], scale: float | None) -> NDArray[Any]:
    if layer.dtype == np.int16 and scale is not None:
        return cf.packed(values, scale, missing=GPP_MISSING)
    return canonical(values)


def _grid_of(tiles: Sequence[Tile]) -> Grid:
    """Return the rectangle of tiles side by side."""
    first, edge = tiles[0], tiles[0].cells
    return Grid(first.first_row, first.first_col, edge, edge * len(tiles), edge)


def check_plausible(product: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise `UserError` naming every variable with impossible values, and their likely cause."""
    # fmin and fmax ignore NaN, which no limit concerns.
    extremes = {name: (_extreme(np.fmin, values), _extreme(np.fmax, values)) for name, values in arrays.items()}
    found = [faults(product, name, low, high) for name, (low, high) in extremes.items()]
    if any(found):
        raise UserError(f"{product}: implausible values: {'; '.join(fault for fault in found if fault)}")


def _extreme(extreme: np.ufunc, values: NDArray[Any]) -> float | None:
    """Return the smallest or largest value, or None where all are missing."""
    if not values.size:
        return None
    value = float(extreme.reduce(values, axis=None))
    return value if np.isfinite(value) else None


def canonical(values: NDArray[Any]) -> NDArray[Any]:
    """Return values with one bit pattern for NaN and one for 0, so that equal content has equal digests.

    Examples
    --------
    >>> canonical(np.array([-0.0, 1.0], np.float32)).tobytes() == np.array([0.0, 1.0], np.float32).tobytes()
    True
    """
    if values.dtype.kind != "f":
        return values
    # IEEE 754 has millions of NaNs, and -0.0 + 0.0 is 0.0.
    stored: NDArray[Any] = np.where(np.isnan(values), values.dtype.type(np.nan), values + values.dtype.type(0))
    return stored


def strips(tiles: Iterable[Tile], *, most_cells: int) -> Iterator[tuple[Tile, ...]]:
    """Yield the tiles in runs of neighbours in one row of one MODIS tile, of up to `most_cells` cells or one tile."""
    ordered = sorted(tiles, key=lambda tile: (tile.h, tile.v, tile.row, tile.col))
    # Neighbours have the same difference between column and place in the order.
    runs = groupby(enumerate(ordered), key=lambda item: (item[1].h, item[1].v, item[1].row, item[1].col - item[0]))
    for _, run in runs:
        strip = [tile for _, tile in run]
        most = max(1, most_cells // strip[0].cells ** 2)
        yield from (tuple(strip[start : start + most]) for start in range(0, len(strip), most))


class Block(Protocol):
    """Part of a product-year, written in one task."""

    @property
    def group(self) -> str:
        """Group of the product-year in the store."""
        ...

    def write(self, root: zarr.Group) -> Part:
        """Write it."""
        ...


@dataclass(frozen=True)
class Work:
    """A block and the fork of the inputs store that it writes to."""

    block: Block
    fork: ForkSession


@dataclass(frozen=True)
class Written:
    """A fork that holds a block, to be merged and committed."""

    fork: ForkSession
    part: Part


def write_block(policy: RetryPolicy, work: Work) -> Written:
    """Read and write one block: the function that executors map.

    Where storage fails for a moment, the block is read and written again, into the same chunks of the same fork.
    """
    return Written(work.fork, retried(lambda: work.block.write(repository.writable(work.fork)), policy))
