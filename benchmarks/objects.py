"""Chunks and shards of the Midwest's stores: as many objects in a bucket, or files, as they consist of.

Counted on the arrays that `agcarbon ingest`, `run` and `aggregate` create for regions/midwest.toml, in memory. Icechunk
keeps chunks of less than 512 bytes inside its manifests, so that stores have fewer files than this.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import zarr
from zarr.storage import MemoryStore

from pipeline.aggregate import layout as aggregates
from pipeline.aggregate.frame import frame_of
from pipeline.config import RestartSettings
from pipeline.cube import layout as cube
from pipeline.cube import ledger, restarts
from pipeline.grid.domain import domain_of
from pipeline.inputs import layout as inputs
from pipeline.run.plan import kept_restarts
from regions import Region, load_region


def midwest_objects() -> dict[str, int]:
    """Return the number of objects of each group of both stores, those of all years together."""
    region = load_region("midwest")
    tiles = len(domain_of(region).tiles)
    return {**_counted("inputs", _inputs(region), tiles), **_counted("cube", _cube(region), tiles)}


def _inputs(region: Region) -> zarr.Group:
    root = zarr.open_group(MemoryStore(), mode="w")
    inputs.create(root, inputs.Extent.of(region))
    for product in inputs.YEARLY:
        for year in region.years:
            inputs.create_group(root, product, year)
    inputs.create_group(root, "soil", None)
    return root


def _cube(region: Region) -> zarr.Group:
    root = zarr.open_group(MemoryStore(), mode="w")
    domain = domain_of(region)
    identity = cube.Identity(region.name, "", domain.grid, region.first_year, region.mask_years, 0.5, "fp32", "numba")
    cube.create(root, identity)
    cube.add_years(root, last=region.last_year, with_daily=region.years)
    for year in kept_restarts(RestartSettings(), region.years, latest=region.last_year):
        restarts.add_restart(root, year)
    ledger.create(root, [tile.name for tile in domain.tiles])
    ledger.add_years(root, region.years)
    aggregates.make_room(root, frame_of(region), region.years)
    return root


def _counted(store: str, root: zarr.Group, tiles: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for path, layer in root.members(max_depth=None):
        if isinstance(layer, zarr.Array):
            group = "/".join(part for part in path.split("/")[:-1] if not part.isdigit()) or "."
            found[f"{store}: {group}"] += _objects(layer, tiles)
    return dict(found)


def _objects(layer: zarr.Array[Any], tiles: int) -> int:
    """Return the chunks or shards of an array: of those by tile, where the region has tiles."""
    sizes = layer.shards or layer.chunks
    places = [-(-length // size) for length, size in zip(layer.shape, sizes, strict=True)]
    dims = tuple(layer.metadata.dimension_names or ())
    for by_tile in (("y", "x"), ("tile_row", "tile_col")):
        if set(by_tile) <= set(dims):
            places = [number for dim, number in zip(dims, places, strict=True) if dim not in by_tile] + [tiles]
    return math.prod(places)
