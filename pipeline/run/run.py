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

import zarr

from model.inference import STATE_LAYERS
from pipeline.cluster.executor import Executor
from pipeline.cube import layout, ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.block import Context, MaskDone, MaskTask, make_mask
from pipeline.run.coordinator import Coordinator, Tally
from pipeline.run.plan import Choice, Plan, kept_restarts
from pipeline.run.prepare import check_memory, check_memory_of_new, context_of, open_pinned_inputs, plan_run
from pipeline.storage import repository
from pipeline.storage.commit import Committer
from pipeline.storage.retry import RetryPolicy, retried

_BY_RULE = Choice()


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    plan: Plan
    tally: Tally
    failures: Mapping[tuple[str, int], str]
    seconds: float
    stopped: bool = False  # before all was done, because it was asked to


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
            retried(lambda: check_memory_of_new(job, view), policy)
        committer = _open_cube(job, policy, still_held)
        if not masked:
            _make_masks(committer, job.domain.tiles, context=context, executor=executor, progress=progress)
        plan = Plan((), tuple(years), {}, (), {})
        if not executor.stop.asked:
            plan = retried(lambda: plan_run(job, view, years=years, choice=choice), policy)
            check_memory(job, cells=plan.most_cells)
        coordinator = Coordinator(committer, context, executor, job.run_file.execution.commit_seconds)
        if (plan.chains or plan.kept_stale) and not executor.stop.asked:
            run_index = _begin(committer, job, context, plan)
            coordinator.execute(plan, run_index, progress)
        if not coordinator.failures and not executor.stop.asked:
            _prune_restarts(committer, job)
    tally, seconds = coordinator.tally, time.monotonic() - began
    return RunReport(plan, tally, coordinator.failures, seconds, stopped=executor.stop.asked)


def _has_masks(job: Job) -> bool:
    return repository.exists(job.run_file.stores.cube) and layout.tiles(repository.read(job.open_cube())) is not None


def _open_cube(job: Job, policy: RetryPolicy, still_held: Callable[[], None]) -> Committer:
    """Open the cube for writing, having created it if need be."""
    location = job.run_file.stores.cube
    if not repository.exists(location):
        committer = Committer(repository.create(location), location, policy, still_held)
        committer.commit("create cube", lambda root: layout.create(root, job.identity))
    return Committer(job.open_cube(), location, policy, still_held)


def _make_masks(
    committer: Committer, tiles: Sequence[Tile], *, context: Context, executor: Executor, progress: Progress
) -> None:
    """Decide which cells are modelled, and commit that for all tiles together."""
    base = committer.repository.writable_session(repository.BRANCH)
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
    committer.commit("decide which cells are modelled", record, forks=forks, tile_count=len(masks))


def _begin(committer: Committer, job: Job, context: Context, plan: Plan) -> int:
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
    return committer.commit(message, make_room, years=stored)


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


def _prune_restarts(committer: Committer, job: Job) -> None:
    """Drop the states that the run file's policy no longer keeps."""
    held = _restart_years(repository.read(committer.repository))
    dropped = sorted(held - kept_restarts(job.run_file.restart, held, latest=max(held))) if held else []

    def drop(root: zarr.Group) -> None:
        for year in dropped:
            del root[f"restart/{year}"]
            ledger.forget_restarts(root, year)

    if dropped:
        committer.commit(f"drop restart {dropped}", drop, years=dropped)


def _restart_years(root: zarr.Group) -> set[int]:
    return {int(name) for name in repository.subgroup(root, "restart").group_keys()} if "restart" in root else set()
