"""Attributes of a cube that an earlier release made: those that this release writes beside them are added.

Data, digests and the meaning of stored values stay: only names of the grid, conventions and descriptions are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import zarr
from zarr.storage import MemoryStore

from pipeline.cube import layout, ledger, members
from pipeline.storage import cf
from pipeline.storage.repository import subgroup


def complete(root: zarr.Group) -> None:
    """Add the attributes that this release gives to a new cube of the same identity; write nothing if none is missing.

    It belongs into commits of structure: the merge of workers' forks into a session that changes attributes can fail.
    """
    model = like(root)
    cf.complete(root, model)
    complete_groups(root, model, dict(_counterparts(root)))


def complete_groups(root: zarr.Group, model: zarr.Group, counterparts: Mapping[str, str]) -> None:
    """Do the same for groups at some paths, each with the path of the group of `model` that it is to equal."""
    for path, of_model in counterparts.items():
        cf.complete(subgroup(root, path), subgroup(model, of_model))


def like(root: zarr.Group) -> zarr.Group:
    """Return a cube of the same identity in memory as this release makes it, with its first year and no results."""
    found = layout.identity(root)
    model = zarr.open_group(MemoryStore(), mode="w")
    layout.create(model, found)
    ledger.create(model, [])
    layout.add_years(model, last=found.first_year, with_daily=[found.first_year], spread=True)
    if count := members.count(root):
        members.add(model, count, last=found.first_year, drawn=True)
    return model


def daily_counterparts(root: zarr.Group, path: str) -> Iterator[tuple[str, str]]:
    """Yield the groups of all years below `path`, each with that of the first year of the cube."""
    if path in root:
        first = layout.identity(root).first_year
        yield from ((f"{path}/{year}", f"{path}/{first}") for year in subgroup(root, path).group_keys())


def _counterparts(root: zarr.Group) -> Iterator[tuple[str, str]]:
    yield from ((path, path) for path in ("static", "annual", members.GROUP) if path in root)
    yield from daily_counterparts(root, "daily")
