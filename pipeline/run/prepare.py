"""Preparation of a run, before anything is written: the pinned inputs, the plan, and the memory of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from model.arrays import CPU_BATCH
from model.year_step.usable import NUMBA
from pipeline.cluster.dask import worker_count, worker_memory
from pipeline.cluster.executor import Executor, Serial
from pipeline.cluster.reach import check_scheduler
from pipeline.cube import layout
from pipeline.cube.layout import PlannedTile, TileMask
from pipeline.cube.ledger import Ledger
from pipeline.digests import json_digest
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.run import memory
from pipeline.run.block import Context
from pipeline.run.fingerprints import Science, fingerprints
from pipeline.run.groups import ALONE, MOST_BATCHES, MOST_TILES, Packing
from pipeline.run.memory import BlockSize
from pipeline.run.plan import BY_RULE, Choice, Plan, Request, blocked_spans, blocked_years, make_plan
from pipeline.run.tile_inputs import tile_mask
from pipeline.run.year_step import batch_of, check_usable, cuda_devices, device_batch_of, device_of, smallest_device
from pipeline.storage import repository
from pipeline.storage.retry import RetryPolicy, retried
from regions import Region

_YEARLY_PRODUCTS = ("climate", "gpp", "crop")


def yearly_products(job: Job) -> tuple[str, ...]:
    """Return the products of the inputs store of each year that a run reads."""
    return (*_YEARLY_PRODUCTS, *(["gpp_uncertainty"] if job.draws.count else []))


def open_pinned_inputs(job: Job) -> InputsView:
    """Open the newest state of the inputs store, which stays the same for the whole run.

    Raises
    ------
    UserError
        If soil, or a year that spin-up or masks need, is not ingested.
    """
    # The view keeps its snapshot: an ingest during the run changes none of the run's inputs.
    view = open_inputs(job.stores.inputs)
    if not view.has_soil:
        raise UserError(f"soil is not ingested; run `agcarbon ingest {job.path}`")
    for product in yearly_products(job):
        needed = {*job.region.spinup_years, *(job.region.mask_years if product == "crop" else ())}
        if missing := needed - view.ingested(product):
            listed = ", ".join(str(year) for year in sorted(missing))
            raise UserError(
                f"{product} of {listed} is not ingested, and region {job.region.name} needs it for the spin-up or the "
                f"mask; run `agcarbon ingest {job.path}`"
            )
    return view


def context_of(job: Job, view: InputsView) -> Context:
    """Return the context that all blocks of a run share."""
    check_usable(job.year_step)
    return Context(
        region=job.region,
        grid=job.grid,
        inputs=job.stores.inputs,
        snapshot=view.snapshot,
        checkpoint=str(job.checkpoint_path),
        checkpoint_sha256=job.checkpoint.sha256,
        year_step=job.year_step,
        device=device_of(job),
        batch_cells=batch_of(job),
        draws=job.draws,
        retry=RetryPolicy(job.execution.retries),
    )


def plan_run(
    job: Job, view: InputsView, *, years: Sequence[int], choice: Choice = BY_RULE, executor: Executor | None = None
) -> Plan:
    """Compare the requested years with the cube, and change nothing.

    Before the first run there are no stored masks; they are then made in memory, which reads crop layers and soil.

    Parameters
    ----------
    years, choice
        The request.
    executor
        Makes masks that are not stored; this process if None.

    Raises
    ------
    UserError
        If none of the years can be run, or a tile to redo has no modelled cells.
    """
    root = repository.read(job.open_cube()) if job.has_cube else None
    # None, too, for a cube whose first run was stopped while it made the masks.
    masked = layout.tiles(root) if root is not None else None
    ledger = Ledger(root) if root is not None and masked else None
    tiles = _chosen(masked or _tiles_with_cells(job, view, executor), choice, region=job.region.name)
    ingested = {product: view.ingested(product) for product in yearly_products(job)}
    blocked = blocked_years(years, ingested, first=job.region.first_year)
    possible = tuple(sorted(set(years) - blocked.keys()))
    if not possible:
        listed = ", ".join(f"{years} ({products})" for years, products in blocked_spans(blocked))
        raise UserError(f"no year can be run, not ingested: {listed}; run `agcarbon ingest {job.path}`")
    # Blocked years are no part of the plan's states, but are reported beside it.
    request = Request(possible, job.region.first_year, job.execution.block_years, job.run_file.restart, choice)
    # From the first year on, whatever is requested: the digests are chained as the states are.
    science, chain, spin_up = science_of(job), range(request.first_year, possible[-1] + 1), job.region.spinup_years
    prints = {
        planned.tile.name: fingerprints(planned, chain, science=science, digests=view.tile_digests, spin_up=spin_up)
        for planned in tiles
    }
    return make_plan(tiles, request=request, prints=prints, ledger=ledger, blocked=blocked)


def _tiles_with_cells(job: Job, view: InputsView, executor: Executor | None) -> tuple[PlannedTile, ...]:
    """Return the tiles of the region with modelled cells, from masks made now; fewer once a stop is requested.

    Raises
    ------
    UserError
        If a mask cannot be made.
    """
    made: dict[Tile, PlannedTile] = {}
    for outcome in (executor or Serial()).map(partial(_planned, _Masks.of(job, view)), job.domain.tiles):
        if outcome.result is None:
            raise UserError(f"mask of tile {outcome.item.name}: {outcome.error}")
        made[outcome.item] = outcome.result
    return tuple(planned for _, planned in sorted(made.items()) if planned.cells)


@dataclass(frozen=True)
class _Masks:
    """What is the same for the masks of all tiles."""

    region: Region
    grid: Grid
    inputs: str
    snapshot: str
    policy: RetryPolicy

    @classmethod
    def of(cls, job: Job, view: InputsView) -> _Masks:
        policy = RetryPolicy(job.execution.retries)
        return cls(job.region, job.grid, view.location, view.snapshot, policy)


def _planned(masks: _Masks, tile: Tile) -> PlannedTile:
    """Return a tile with the number of its modelled cells and the digest of its mask, without storing the mask."""

    def make() -> TileMask:
        return tile_mask(masks.region, open_inputs(masks.inputs, masks.snapshot), masks.grid.of(tile))

    mask = retried(make, masks.policy)
    return PlannedTile(tile, mask.cells, mask.digest)


def _chosen(tiles: Sequence[PlannedTile], choice: Choice, *, region: str) -> list[PlannedTile]:
    """Return the tiles to redo, or all of them if none is named."""
    if unknown := choice.redo - {planned.tile.name for planned in tiles}:
        raise UserError(f"tile {', '.join(sorted(unknown))} has no modelled cells in region {region}")
    return [planned for planned in tiles if not choice.redo or planned.tile.name in choice.redo]


def science_of(job: Job) -> Science:
    """Return the part of the fingerprints that is the same for all tile-years of a run file."""
    identity = job.identity
    return Science(json_digest([identity.as_json()]), job.checkpoint.sha256, identity.precision, bool(job.draws.count))


def check_memory(job: Job, *, cells: int) -> None:
    """Raise `UserError` if a block with so many modelled cells needs more memory than a worker has."""
    memory.check(block_size(job, cells=cells), worker_memory(job.execution))
    _check_device_memory(job)


def _check_device_memory(job: Job) -> None:
    """Raise `UserError` if a CUDA device of this machine that the run takes cannot hold a batch."""
    if cuda_devices(job):
        memory.check_device(batch_of(job), smallest_device(), members=len(job.checkpoint))


def check_ready(job: Job) -> None:
    """Check what a run will need, before hours of ingest: checkpoint, scheduler, and memory for the smallest block.

    Raises
    ------
    UserError, CheckpointError
        If the checkpoint cannot be loaded, the scheduler does not answer, or a worker cannot hold one modelled cell.
    """
    check_scheduler(job.execution)
    len(job.checkpoint)  # reads the file, with all its checks
    if not job.has_cube:  # an existing one has been computed with such workers
        check_memory(job, cells=1)


def check_memory_of_new(job: Job, view: InputsView, executor: Executor) -> None:
    """Refuse a cube whose tiles no worker can hold before it is created, since a cube keeps its tiles."""
    _check_device_memory(job)
    largest = block_size(job, cells=job.grid.tile_cells**2)
    limit = worker_memory(job.execution)
    # Counting the modelled cells takes as long as making all masks: it is done only where a full tile would not fit.
    if limit is not None and not largest.fits(limit):
        check_memory(job, cells=max((tile.cells for tile in _tiles_with_cells(job, view, executor)), default=0))


def packing_of(job: Job, *, cells: int) -> Packing:
    """Return how tiles of up to so many modelled cells are put together; each is alone on CPUs.

    A group has the most batches with which it fits into a worker; where no group fits, each tile is alone, too.
    """
    batch, limit, devices = device_batch_of(job), worker_memory(job.execution), cuda_devices(job)
    if not batch:
        return ALONE
    # The number of workers elsewhere is not known here.
    workers = worker_count(job.execution, devices) if devices and job.execution.scheduler != "serial" else 1
    packings = (Packing(batch, batches, workers) for batches in range(MOST_BATCHES, 0, -1))
    fitting = (each for each in packings if limit is None or _size(job, each, cells=cells).fits(limit))
    return next(fitting, ALONE)


def block_size(job: Job, *, cells: int) -> BlockSize:
    """Return what the memory of a worker depends on, if no tile has more than so many modelled cells."""
    return _size(job, packing_of(job, cells=cells), cells=cells)


def _size(job: Job, packing: Packing, *, cells: int) -> BlockSize:
    tiles = min(MOST_TILES, len(job.domain.tiles)) if packing.batch_cells else 1
    compiled = job.year_step == NUMBA
    # A forward pass on CUDA takes the memory of the device, not that of the worker.
    batch = batch_of(job) or CPU_BATCH if device_of(job) != "cuda" and not compiled else 0
    members, most = len(job.checkpoint), packing.most_cells(cells, tiles)
    size = BlockSize(job.grid.tile_cells, most, members, batch, compiled, device_batch_of(job), tiles)
    return replace(size, draws=job.draws.count)
