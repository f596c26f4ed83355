"""The work of a worker on a plain Zarr store: the chunks of one tile-year, or the overviews of one year.

Chunks are encoded in memory and published one by one, each complete or not at all. A record of the part is removed
before its chunks change, and written after them: a part without the record that it should have is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product

import numpy as np
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from pipeline.aggregate.layout import AREA
from pipeline.cube import layout
from pipeline.cube.results import CheckedYear
from pipeline.export.plain_zarr import overviews
from pipeline.export.plain_zarr.layout import ANNUAL_GROUP, ZarrCube, daily_group, overview_group, rule_of
from pipeline.export.plain_zarr.overviews import Sums
from pipeline.grid.sinusoidal import Tile
from pipeline.progress import heartbeat
from pipeline.storage import files as outputs
from pipeline.storage import repository as store
from pipeline.storage.repository import array
from pipeline.storage.retry import RetryPolicy, retried
from pipeline.variables import DAILY, Variable

RECORDS = "agcarbon"  # folder of the records in the store
MASKS, OVERVIEWS = "mask", "overviews"


@dataclass(frozen=True)
class Context:
    """The cube at one snapshot, the store to write, its structure, and how often reads are tried again."""

    cube: str
    snapshot: str
    folder: str
    target: ZarrCube
    policy: RetryPolicy


@dataclass(frozen=True)
class Part:
    """A part of the store that is written as a whole.

    Attributes
    ----------
    tile, year
        A tile-year; without a year, the mask of the tile; without a tile, the overviews of the year.
    digest
        Digest of its content; None if there are no results, and what is there is removed.
    outdated
        Records of other contents.
    tiles
        Tiles with results, from which overviews are made.
    """

    tile: Tile | None
    year: int | None
    digest: str | None
    outdated: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()

    @property
    def key(self) -> str:
        """Name of its record, without the digest."""
        group = OVERVIEWS if self.tile is None else MASKS if self.year is None else str(self.year)
        return f"{group}/{self.tile.name if self.tile else self.year}"

    @property
    def record(self) -> str | None:
        """Name of the record that says that the store holds it."""
        return f"{self.key}.{self.digest}" if self.digest else None

    @property
    def name(self) -> str:
        """Name for messages."""
        return self.key.replace("/", " ")


@dataclass
class _Draft:
    """A store in memory, whose chunks are published into a folder."""

    folder: str
    objects: dict[str, Buffer] = field(default_factory=dict)
    published: int = 0

    def __post_init__(self) -> None:
        self.root = zarr.create_group(MemoryStore(self.objects))

    def publish(self, path: str, place: tuple[int, ...]) -> None:
        """Write the chunk or shard at a place of an array; where it holds nothing, remove the one that is there."""
        key = f"{path}/{array(self.root, path).metadata.encode_chunk_key(place)}"
        location, stored = outputs.join(self.folder, key), self.objects.pop(key, None)
        if stored is None:
            outputs.remove(location)
            return
        outputs.write(location, stored.to_bytes())
        self.published += len(stored)
        heartbeat()


def write_part(context: Context, part: Part) -> int:
    """Write a part with its record, or remove it; return the number of bytes written."""
    records = outputs.join(context.folder, RECORDS)
    for name in part.outdated:
        outputs.remove(outputs.join(records, name))
    draft = _Draft(context.folder)
    root = retried(lambda: _opened(context.cube, context.snapshot), context.policy)
    if part.tile is None:
        _write_overviews(context, root, part, draft)
    elif part.year is None:
        _write_mask(context, root, part, draft)
    else:
        _write_tile_year(context, root, part, draft)
    if part.record:
        outputs.write(outputs.join(records, part.record), b"")
    return draft.published


def _write_mask(context: Context, root: zarr.Group, part: Part, draft: _Draft) -> None:
    assert part.tile is not None
    tile, path = part.tile, f"{ANNUAL_GROUP}/{layout.MASK.name}"
    context.target.create_annual(draft.root)
    if part.digest:
        mask = retried(lambda: layout.read_mask(root, tile).mask, context.policy)
        array(draft.root, path)[context.target.grid.window(tile)] = mask.astype(np.uint8)
    draft.publish(path, _block(context, tile))


def _write_tile_year(context: Context, root: zarr.Group, part: Part, draft: _Draft) -> None:
    assert part.tile is not None
    assert part.year is not None
    target, tile, year = context.target, part.tile, part.year
    results, window = CheckedYear(root, year, context.policy), target.grid.window(tile)
    mask = results.mask(tile) if part.digest else None
    place, block = year - layout.identity(root).first_year, _block(context, tile)
    target.create_annual(draft.root)
    target.create_daily(draft.root, year)
    for variable in target.annual:
        path = f"{ANNUAL_GROUP}/{variable.name}"
        if mask is not None:
            layer_YX = layout.on_tile(results.layer(tile, variable.name, mask), mask, fill=variable.fill_value)
            array(draft.root, path)[(place, *window)] = layer_YX
        draft.publish(path, (place, *block))
    for variable in DAILY:
        path = f"{daily_group(year)}/{variable.name}"
        if mask is not None:
            days_TN = results.flux(tile, variable.name, mask, days=slice(None))
            array(draft.root, path)[(slice(None), *window)] = layout.on_tile(days_TN, mask, fill=np.nan)
        draft.publish(path, (0, *block))


def _block(context: Context, tile: Tile) -> tuple[int, int]:
    """Return the row and column of a tile among those of the grid: the place of its chunks."""
    rows, cols = context.target.grid.window(tile)
    return rows.start // tile.cells, cols.start // tile.cells


def _write_overviews(context: Context, root: zarr.Group, part: Part, draft: _Draft) -> None:
    assert part.year is not None
    target, results = context.target, CheckedYear(root, part.year, context.policy)
    for level in target.levels:
        target.create_overview(draft.root, level)
    tiles = {_block(context, tile): tile for tile in part.tiles}
    place = part.year - layout.identity(root).first_year
    for variable in target.overviews:
        pyramid = _Pyramid(target, results, variable, tiles)
        overviews.make(target.tiles_yx, pyramid.read, partial(pyramid.write, draft, place))
        for level, row, col in pyramid.blocks() - pyramid.written:  # blocks that no longer hold a result
            draft.publish(f"{overview_group(level)}/{variable.name}", (place, row, col))


@dataclass
class _Pyramid:
    """The overviews of one layer: its tiles by row and column, and the blocks written so far (level, row, column)."""

    target: ZarrCube
    results: CheckedYear
    variable: Variable
    tiles: Mapping[tuple[int, int], Tile]
    written: set[tuple[int, int, int]] = field(default_factory=set)

    def blocks(self) -> set[tuple[int, int, int]]:
        """Return all blocks of all levels."""
        return {
            (level, row, col)
            for level in self.target.levels
            for row, col in product(*(range(-(-count >> level)) for count in self.target.tiles_yx))
        }

    def read(self, row: int, col: int) -> Sums | None:
        """Return the sums of a tile, whose cells outside the mask have no area."""
        if (tile := self.tiles.get((row, col))) is None:
            return None
        mask = self.results.mask(tile)
        rows, _ = self.target.grid.window(tile)
        area_YX = np.where(mask, self.target.grid.cell_area_m2()[rows][:, None], 0.0)
        name = "nee" if self.variable == AREA else self.variable.name
        values_N = self.results.layer(tile, name, mask)
        fill = self.variable.fill_value
        return rule_of(self.variable).sums(layout.on_tile(values_N, mask, fill=fill), area_YX)

    def write(self, draft: _Draft, place: int, level: int, row: int, col: int, sums_KYX: Sums) -> None:
        """Write a block of a level."""
        path, edge = f"{overview_group(level)}/{self.variable.name}", self.target.grid.tile_cells
        layer = array(draft.root, path)
        rows, cols = (
            slice(at * edge, min((at + 1) * edge, size)) for at, size in zip((row, col), layer.shape[1:], strict=True)
        )
        values_YX = rule_of(self.variable).values(sums_KYX)[: rows.stop - rows.start, : cols.stop - cols.start]
        layer[place, rows, cols] = values_YX.astype(layer.dtype)
        draft.publish(path, (place, row, col))
        self.written.add((level, row, col))


@lru_cache(maxsize=1)
def _opened(location: str, snapshot: str) -> zarr.Group:
    return store.read(store.open_existing(location, made_by="agcarbon run"), snapshot=snapshot)
