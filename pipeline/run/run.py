"""The run: make the cube if there is none, plan, execute, commit. One coordinator commits; workers only write.

Every commit holds data and the ledger rows that speak of them, so that whatever ends a run, what is in the cube is
whole and what is not is known. A run loses at most the blocks in flight.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
import zarr

from model.inference import STATE_LAYERS
from pipeline.cluster.executor import Executor, worker_memory
from pipeline.cube import layout, ledger
from pipeline.cube.layout import PlannedTile
from pipeline.cube.ledger import Fingerprint, Ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run import memory
from pipeline.run.block import Context, MaskDone, MaskTask, make_mask, tile_mask
from pipeline.run.coordinator import Coordinator, Tally
from pipeline.run.memory import BlockSize
from pipeline.run.plan import Choice, Plan, Science, Wanted, fingerprints, kept_restarts, make_plan, runnable
from pipeline.storage import repository
from pipeline.storage.commit import Publisher
from pipeline.storage.retry import RetryPolicy, retried

YEARLY_PRODUCTS = ("climate", "gpp", "crop")
_BY_RULE = Choice()
DEFAULT_BATCH = {"cpu": 128, "cuda": 8192}


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    plan: Plan
    tally: Tally
    failures: Mapping[tuple[str, int], str]
    seconds: float
    stopped: bool = False  # before all was done, because it was asked to


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


def check_memory(job: Job, *, cells: int) -> None:
    """Raise `UserError` if a block with so many modelled cells needs more memory than a worker may take."""
    memory.check(block_size(job, cells=cells), worker_memory(job.run_file.execution))


def block_size(job: Job, *, cells: int) -> BlockSize:
    """Return what the memory of a worker depends on, for blocks with so many modelled cells."""
    execution = job.run_file.execution
    on_cpu = execution.device == "cpu" or not torch.cuda.is_available()
    batch = execution.batch_cells or DEFAULT_BATCH["cpu"] if on_cpu else 0
    return BlockSize(job.grid.tile_cells, cells, len(job.checkpoint), batch)


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


def science_of(job: Job) -> Science:
    """Return what of a fingerprint is the same for all tile-years of a run file."""
    return Science(ledger.digest(job.identity.as_json()), job.checkpoint.sha256, job.identity.precision)


def run(
    job: Job,
    executor: Executor,
    *,
    years: Sequence[int],
    choice: Choice = _BY_RULE,
    progress: Progress = silent,
) -> RunReport:
    """Bring the wanted years of the cube up to date; see `agcarbon run`.

    Raises
    ------
    UserError
        If another run writes the cube, the cube is of something else, or nothing that is wanted can be run.
    """
    began = time.monotonic()
    with repository.sole_writer(job.run_file.stores.cube) as still_held:
        policy = RetryPolicy(job.run_file.execution.retries)
        view = retried(lambda: open_pinned_inputs(job), policy)
        context = context_of(job, view)
        masked = retried(lambda: _has_masks(job), policy)
        if not masked:
            retried(lambda: _check_memory_of_new(job, view), policy)
        publisher = _open_cube(job, policy, still_held)
        if not masked:
            _make_masks(publisher, job.domain.tiles, context=context, executor=executor, progress=progress)
        plan = Plan((), tuple(years), {}, (), {})
        if not executor.stop.asked:
            plan = retried(lambda: plan_run(job, view, years=years, choice=choice), policy)
            check_memory(job, cells=plan.most_cells)
        coordinator = Coordinator(publisher, context, executor, job.run_file.execution.commit_seconds)
        if (plan.chains or plan.kept_stale) and not executor.stop.asked:
            run_index = _begin(publisher, job, context, plan)
            coordinator.execute(plan, run_index, progress)
        if not coordinator.failures and not executor.stop.asked:
            _prune_restarts(publisher, job)
    tally, seconds = coordinator.tally, time.monotonic() - began
    return RunReport(plan, tally, coordinator.failures, seconds, stopped=executor.stop.asked)


def _has_masks(job: Job) -> bool:
    return repository.exists(job.run_file.stores.cube) and layout.tiles(repository.read(job.open_cube())) is not None


def _check_memory_of_new(job: Job, view: InputsView) -> None:
    """Refuse a cube whose tiles no worker can hold before it is made, since it would keep them."""
    whole = block_size(job, cells=job.grid.tile_cells**2)
    limit = worker_memory(job.run_file.execution)
    if limit is not None and not whole.fits(limit):  # seldom: deciding here which cells are modelled takes a while
        check_memory(job, cells=max((tile.cells for tile in _decided_tiles(job, view)), default=0))


def _open_cube(job: Job, policy: RetryPolicy, still_held: Callable[[], None]) -> Publisher:
    """Open the cube for writing, having created it if need be."""
    location = job.run_file.stores.cube
    if not repository.exists(location):
        publisher = Publisher(repository.create(location), location, policy, still_held)
        publisher.commit("create cube", lambda root: layout.create(root, job.identity))
    return Publisher(job.open_cube(), location, policy, still_held)


def _make_masks(
    publisher: Publisher, tiles: Sequence[Tile], *, context: Context, executor: Executor, progress: Progress
) -> None:
    """Decide which cells are modelled, and commit that for all tiles together."""
    base = publisher.repository.writable_session(repository.BRANCH)
    tasks = (MaskTask(tile, base.fork()) for tile in tiles)
    masks: dict[Tile, MaskDone] = {}
    for outcome in executor.map(partial(make_mask, context), tasks):
        if outcome.result is None:
            raise UserError(f"mask of tile {outcome.item.tile.name}: {outcome.error}")
        masks[outcome.item.tile] = outcome.result
        progress("mask", len(masks), len(tiles))
    if len(masks) < len(tiles):  # stopped
        return
    if not any(done.cells for done in masks.values()):
        raise UserError(
            f"region {context.region.name}: no cell has corn + soybean >= {context.region.crop_threshold} on average "
            f"over {list(context.region.mask_years)}; check the crop layers, or lower crop_threshold"
        )

    def record(root: zarr.Group) -> None:
        layout.set_tiles(root, {tile: (done.cells, done.digest) for tile, done in masks.items()})
        ledger.create(root, [tile.name for tile, done in sorted(masks.items()) if done.cells])

    forks = [done.fork for done in masks.values()]
    publisher.commit("decide which cells are modelled", record, forks=forks, tile_count=len(masks))


def _begin(publisher: Publisher, job: Job, context: Context, plan: Plan) -> int:
    """Commit the structure that the plan writes into, and the record of the run; return the run's index."""
    stored, members = plan.stored_years, len(job.checkpoint)

    def make_room(root: zarr.Group) -> int:
        if stored:
            layout.add_years(root, last=stored[-1], with_daily=stored, spread=members > 1)
        for year in plan.restart_years:
            if layout.add_restart(root, year, layers=members * STATE_LAYERS):
                ledger.forget_restarts(root, year)
        ledger.add_years(root, layout.years(root))
        return ledger.begin_run(root, run_record(job, context, plan))

    message = f"make room for {stored[0]}-{stored[-1]}" if stored else "keep what is stale"
    return publisher.commit(message, make_room, years=stored)


def run_record(job: Job, context: Context, plan: Plan) -> dict[str, Any]:
    """What a tile-year's numbers can be traced to, as JSON values."""
    packages = ("agcarbon", "torch", "numpy", "icechunk", "zarr", "xarray", "dask")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "science_version": ledger.SCIENCE_VERSION,
        "inputs": {"store": context.inputs, "snapshot": context.snapshot},
        "checkpoint": {"sha256": context.checkpoint_sha256, "record": dict(job.checkpoint.record)},
        "device": context.device,
        "batch_cells": context.batch_cells,
        "threads": 1,
        "keep_stale": plan.keep_stale,
        "kept_stale": {str(year): count for year, count in plan.kept_stale.items()},
        "run_file": job.run_file.model_dump(mode="json"),
    }


def _prune_restarts(publisher: Publisher, job: Job) -> None:
    """Drop the states that the run file's policy no longer keeps."""
    held = _restart_years(repository.read(publisher.repository))
    dropped = sorted(held - kept_restarts(job.run_file.restart, held, latest=max(held))) if held else []

    def drop(root: zarr.Group) -> None:
        for year in dropped:
            del root[f"restart/{year}"]
            ledger.forget_restarts(root, year)

    if dropped:
        publisher.commit(f"drop restart {dropped}", drop, years=dropped)


def _restart_years(root: zarr.Group) -> set[int]:
    return {int(name) for name in repository.subgroup(root, "restart").group_keys()} if "restart" in root else set()
