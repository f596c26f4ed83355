"""Preparation of a run: its pinned inputs, what all blocks share, the plan, and the memory of a worker."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pipeline.cluster.dask import worker_memory
from pipeline.cube import layout
from pipeline.cube.layout import PlannedTile
from pipeline.cube.ledger import Fingerprint, Ledger
from pipeline.digests import json_digest
from pipeline.errors import UserError
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.run import memory
from pipeline.run.block import Context, tile_mask
from pipeline.run.memory import BlockSize
from pipeline.run.plan import Choice, Plan, Science, Wanted, fingerprints, make_plan, runnable
from pipeline.storage import repository
from pipeline.storage.retry import RetryPolicy

YEARLY_PRODUCTS = ("climate", "gpp", "crop")
_BY_RULE = Choice()
DEFAULT_BATCH = {"cpu": 128, "cuda": 8192}


def open_pinned_inputs(job: Job) -> InputsView:
    """Open the inputs store as it is now; raises `UserError` if spin-up or mask years are not ingested."""
    view = open_inputs(job.run_file.stores.inputs)
    if not view.has_soil:
        raise UserError(f"soil is not ingested; run `agcarbon ingest {job.path}`")
    needed = {"climate": set(), "gpp": set(), "crop": set(job.region.mask_years)}
    for product, years in needed.items():
        lacking = (years | set(job.region.spinup_years)) - view.ingested(product)
        if lacking:
            listed = ", ".join(str(year) for year in sorted(lacking))
            raise UserError(
                f"{product} of {listed} is not ingested, and region {job.region.name} needs it for spin-up or mask; "
                f"run `agcarbon ingest {job.path}`"
            )
    return view


def context_of(job: Job, view: InputsView) -> Context:
    """Return what all blocks of this run file share."""
    execution = job.run_file.execution
    device = execution.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise UserError("execution.device = 'cuda', but PyTorch finds no CUDA device; use 'auto' or 'cpu'")
    return Context(
        region=job.region,
        grid=job.grid,
        inputs=job.run_file.stores.inputs,
        snapshot=view.snapshot,
        checkpoint=str(job.checkpoint_path),
        checkpoint_sha256=job.checkpoint.sha256,
        device=device,
        batch_cells=execution.batch_cells or DEFAULT_BATCH[device],
        retry=RetryPolicy(execution.retries),
    )


def science_of(job: Job) -> Science:
    """Return what of a fingerprint is the same for all tile-years of a run file."""
    return Science(json_digest([job.identity.as_json()]), job.checkpoint.sha256, job.identity.precision)


def plan_run(job: Job, view: InputsView, *, years: Sequence[int], choice: Choice = _BY_RULE) -> Plan:
    """Compare what is wanted with what the cube holds, and change nothing.

    Where there is no cube yet, the masks of the tiles are made in memory.

    Raises
    ------
    UserError
        If no year that is wanted can be run, or a tile to redo has no modelled cells.
    """
    root = repository.read(job.open_cube()) if repository.exists(job.run_file.stores.cube) else None
    held = layout.tiles(root) if root is not None else None
    known = Ledger(root) if root is not None and held else None
    tiles = [
        planned for planned in held or _decided_tiles(job, view) if not choice.redo or planned.tile.name in choice.redo
    ]
    if lacking := choice.redo - {planned.tile.name for planned in tiles}:
        raise UserError(f"tile {', '.join(sorted(lacking))} has no modelled cells in region {job.region.name}")
    ingested = {product: view.ingested(product) for product in YEARLY_PRODUCTS}
    possible = runnable(years, ingested, first=job.region.first_year)
    if not possible.years:
        blocked = ", ".join(f"{year} ({', '.join(products)})" for year, products in possible.blocked.items())
        raise UserError(f"no year can be run, not ingested: {blocked}; run `agcarbon ingest {job.path}`")
    execution, restart = job.run_file.execution, job.run_file.restart
    wanted = Wanted(possible.years, job.region.first_year, execution.block_years, restart, choice)
    prints = _fingerprints(job, view, tiles, last=possible.years[-1])
    return make_plan(tiles, wanted=wanted, prints=prints, ledger=known, blocked=possible.blocked)


def _decided_tiles(job: Job, view: InputsView) -> tuple[PlannedTile, ...]:
    decided = ((tile, tile_mask(job.region, view, job.grid.of(tile))) for tile in job.domain.tiles)
    return tuple(PlannedTile(tile, mask.cells, mask.digest) for tile, mask in decided if mask.cells)


def _fingerprints(
    job: Job, view: InputsView, tiles: Sequence[PlannedTile], *, last: int
) -> dict[str, dict[int, Fingerprint]]:
    """Return today's fingerprints by tile and year, from the region's first year to `last`."""
    science, chain, spin_up = science_of(job), range(job.region.first_year, last + 1), job.region.spinup_years
    return {
        planned.tile.name: fingerprints(planned, chain, science=science, digests=view.tile_digests, spin_up=spin_up)
        for planned in tiles
    }


def block_size(job: Job, *, cells: int) -> BlockSize:
    """Return what the memory of a worker depends on, for blocks with so many modelled cells."""
    execution = job.run_file.execution
    on_cpu = execution.device == "cpu" or not torch.cuda.is_available()
    batch = execution.batch_cells or DEFAULT_BATCH["cpu"] if on_cpu else 0
    return BlockSize(job.grid.tile_cells, cells, len(job.checkpoint), batch)


def check_memory(job: Job, *, cells: int) -> None:
    """Raise `UserError` if a block with so many modelled cells needs more memory than a worker may take."""
    memory.check(block_size(job, cells=cells), worker_memory(job.run_file.execution))


def check_memory_of_new(job: Job, view: InputsView) -> None:
    """Refuse a cube whose tiles no worker can hold before it is made, since it would keep them."""
    whole = block_size(job, cells=job.grid.tile_cells**2)
    limit = worker_memory(job.run_file.execution)
    if limit is not None and not whole.fits(limit):  # seldom: deciding here which cells are modelled takes a while
        check_memory(job, cells=max((tile.cells for tile in _decided_tiles(job, view)), default=0))
