"""Repair of the cube before tiles are computed again: masks, and arrays into which nothing could be written any more.

Chunks need no repair, since results are written without reading what was there. A manifest that cannot be read would
stop every commit into its array: the array is emptied, and what it held is recorded as missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import zarr

from pipeline.cube import layout, ledger
from pipeline.cube.layout import TileMask
from pipeline.errors import DamagedError, UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView
from pipeline.job import Job
from pipeline.run.tile_inputs import tile_mask
from pipeline.storage import repository
from pipeline.storage.commit import Committer

_RESULTS = ("daily", "annual", "members", "restart")


def repair(job: Job, view: InputsView, committer: Committer, *, tiles: Iterable[str]) -> None:
    """Empty the unreadable arrays of results, and make the damaged masks of `tiles` again.

    Raises
    ------
    UserError
        If a mask cannot be made as it was, since the inputs have changed.
    """
    root = repository.read(committer.repository, snapshot=committer.base)
    unreadable = [path for path in _arrays(root) if not repository.has_intact_manifests(root, path)]
    masks = _damaged_masks(job, view, root, frozenset(tiles))
    if not unreadable and not masks:
        return

    def write(writable: zarr.Group) -> None:
        for path in unreadable:
            repository.empty(writable, path)
            if not path.startswith("static/"):
                _forget(writable, path)
        for planned, mask in masks.items():
            layout.write_mask(writable, planned.tile, mask)

    named = [*unreadable, *(f"mask of {planned.tile.name}" for planned in masks)]
    committer.commit(f"repair: {', '.join(named)}"[:500], write, repaired=named)


def _arrays(root: zarr.Group) -> list[str]:
    """Return the arrays that runs write into; coordinates, which have a digest of their own, are not among them."""
    wanted = (*_RESULTS, "static") if "ledger" in root else ()
    groups = [repository.subgroup(root, name) for name in wanted if name in root]
    found = (node for group in groups for _, node in group.members(max_depth=None))
    return [node.path for node in found if isinstance(node, zarr.Array) and repository.DIGEST not in node.attrs]


def _forget(root: zarr.Group, path: str) -> None:
    """Record as missing what an emptied array held."""
    kind, _, rest = path.partition("/")
    if kind in ("annual", "members"):
        for year in layout.years(root):
            ledger.forget_year(root, year)
    elif kind == "restart":
        ledger.forget_restarts(root, int(rest.partition("/")[0]))
    else:
        ledger.forget_year(root, int(rest.partition("/")[0]))


def _damaged_masks(
    job: Job, view: InputsView, root: zarr.Group, tiles: frozenset[str]
) -> dict[layout.PlannedTile, TileMask]:
    """Return the damaged masks, made again: of the tiles named, or of all if an array of masks cannot be read."""
    lost = not all(repository.has_intact_manifests(root, f"static/{name}") for name in ("mask", "first_crop"))
    chosen = [planned for planned in layout.tiles(root) or () if lost or planned.tile.name in tiles]
    return {
        planned: _mask_again(job, view, planned) for planned in chosen if lost or not _is_intact(root, planned.tile)
    }


def _is_intact(root: zarr.Group, tile: Tile) -> bool:
    try:
        layout.read_mask(root, tile)
    except DamagedError:
        return False
    return True


def _mask_again(job: Job, view: InputsView, planned: layout.PlannedTile) -> TileMask:
    mask = tile_mask(job.region, view, job.grid.of(planned.tile))
    if mask.digest != planned.mask:
        raise UserError(
            f"mask of tile {planned.tile.name}: it is damaged, and the crops or soil that it was made from have "
            "changed since; give the cube another location in stores.cube and run again"
        )
    return mask
