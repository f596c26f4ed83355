"""The run: decide which cells are modelled, plan, execute, and drop the states that are no longer kept.

Every commit holds data together with the ledger rows that describe them. Whatever ends a run, the cube is therefore
complete in itself: only blocks in flight and blocks that ended after the last commit are lost.
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

from model.arrays import STATE_LAYERS
from model.year_step.usable import NUMBA
from pipeline.cluster.executor import Executor
from pipeline.config import RestartSettings
from pipeline.cube import attributes, layout, ledger, restarts
from pipeline.cube import members as of_members
from pipeline.cube.entry import SCIENCE_VERSION
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView
from pipeline.job import Job
from pipeline.progress import Progress, silent
from pipeline.run.block import Context, MaskDone, MaskTask, make_mask
from pipeline.run.coordinator import Coordinator, RunTotals
from pipeline.run.plan import BY_RULE, Choice, Plan, kept_restarts
from pipeline.run.prepare import check_memory, check_memory_of_new, context_of, open_pinned_inputs, packing_of, plan_run
from pipeline.run.repair import repair
from pipeline.storage import repository
from pipeline.storage.commit import Committer
from pipeline.storage.retry import RetryPolicy, retried
from pipeline.years import spans


@dataclass(frozen=True)
class RunReport:
    """Result of a run.

    Attributes
    ----------
    plan
        What was to be computed.
    totals
        Sums over the committed tile-years.
    failures
        Errors by tile name and first year of the block.
    seconds
        Duration.
    stopped
        Whether the run ended early, because a stop was requested.
    """

    plan: Plan
    totals: RunTotals
    failures: Mapping[tuple[str, int], str]
    seconds: float
    stopped: bool = False

    @property
    def up_to_date(self) -> int:
        """Number of tile-years that were up to date before."""
        return len(self.plan.states) - len(self.plan.computed) - sum(self.plan.kept_stale.values())

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; docs/json.md lists their keys."""
        return {
            "computed": self.totals.tile_years,
            "up_to_date": self.up_to_date,
            "kept_stale": self.plan.kept_stale,
            "blocked": self.plan.blocked,
            "cell_years": self.totals.cell_years,
            "missing_cell_years": self.totals.missing_cell_years,
            "mean_balance_residual": self.totals.mean_residual if self.totals.cell_years else None,
            "seconds": self.seconds,
            "failures": [{"tile": tile, "year": year, "reason": why} for (tile, year), why in self.failures.items()],
            "stopped": self.stopped,
        }


@dataclass(frozen=True)
class _Setup:
    """Everything that the steps of a run share."""

    job: Job
    view: InputsView
    context: Context
    executor: Executor
    progress: Progress


def run(
    job: Job,
    executor: Executor,
    *,
    years: Sequence[int],
    choice: Choice = BY_RULE,
    progress: Progress = silent,
) -> RunReport:
    """Bring years of the cube up to date; see `agcarbon run`.

    Raises
    ------
    UserError
        If another run is writing the cube, the cube was made for something else, or none of the years can be run.
    """
    began = time.monotonic()
    with repository.sole_writer(job.stores.cube) as still_held:
        policy = RetryPolicy(job.execution.retries)
        view = retried(lambda: open_pinned_inputs(job), policy)
        setup = _Setup(job, view, retried(lambda: context_of(job, view), policy), executor, progress)
        committer = _open_masked_cube(setup, still_held)
        if choice.redo:
            repair(job, view, committer, tiles=choice.redo)
        plan = _plan(setup, years=years, choice=choice)
        coordinator = _execute(setup, plan, committer)
        # A later run that resumes this one may begin from states that the policy would drop now.
        if not coordinator.failures and not executor.stop.asked:
            _prune_restarts(committer, job.run_file.restart)
    seconds = time.monotonic() - began
    return RunReport(plan, coordinator.totals, coordinator.failures, seconds, stopped=executor.stop.asked)


def _open_masked_cube(setup: _Setup, still_held: Callable[[], None]) -> Committer:
    """Open the cube for writing; create it and its masks if they do not exist yet."""
    job, policy = setup.job, setup.context.retry
    masked = retried(lambda: job.has_cube and layout.tiles(repository.read(job.open_cube())) is not None, policy)
    # Before the cube is created, since a cube keeps its tiles.
    if not masked:
        retried(lambda: check_memory_of_new(job, setup.view, setup.executor), policy)
    if not job.has_cube:
        created = Committer(repository.create(job.stores.cube), job.stores.cube, policy, still_held)
        created.commit("create cube", lambda root: layout.create(root, job.identity))
    # Opened anew: `open_cube` also refuses a cube that was made for another region or grid.
    committer = Committer(job.open_cube(), job.stores.cube, policy, still_held)
    if not masked:
        _make_masks(setup, job.domain.tiles, committer)
    return committer


def _make_masks(setup: _Setup, tiles: Sequence[Tile], committer: Committer) -> None:
    """Decide which cells are modelled, and commit the masks of all tiles together.

    The list of tiles in that commit marks the masks as complete: a run that is stopped before it makes them again.
    """
    base = committer.repository.writable_session(repository.BRANCH)
    tasks = (MaskTask(tile, base.fork()) for tile in tiles)
    masks: dict[Tile, MaskDone] = {}
    setup.progress("mask", 0, len(tiles))
    for outcome in setup.executor.map(partial(make_mask, setup.context), tasks):
        if outcome.result is None:
            raise UserError(f"mask of tile {outcome.item.tile.name}: {outcome.error}")
        masks[outcome.item.tile] = outcome.result
        setup.progress("mask", len(masks), len(tiles))
    if len(masks) < len(tiles):  # stopped
        return
    if not any(done.cells for done in masks.values()):
        region = setup.context.region
        raise UserError(
            f"region {region.name}: no cell has corn + soybean >= {region.crop_threshold} on average over "
            f"{list(region.mask_years)}; check the crop layers, or lower crop_threshold"
        )

    def record(root: zarr.Group) -> None:
        layout.set_tiles(root, {tile: (done.cells, done.digest) for tile, done in masks.items()})
        ledger.create(root, [tile.name for tile, done in sorted(masks.items()) if done.cells])

    forks = [done.fork for done in masks.values()]
    committer.commit("decide which cells are modelled", record, forks=forks, tile_count=len(masks))


def _plan(setup: _Setup, *, years: Sequence[int], choice: Choice) -> Plan:
    """Plan the run, and refuse it if its largest block does not fit into a worker."""
    if setup.executor.stop.asked:
        return Plan(tiles=(), years=tuple(years), states={}, chains=(), blocked={})
    job, view = setup.job, setup.view
    plan = retried(lambda: plan_run(job, view, years=years, choice=choice), setup.context.retry)
    check_memory(job, cells=plan.most_cells)
    return plan


def _execute(setup: _Setup, plan: Plan, committer: Committer) -> Coordinator:
    """Run the plan, and return its coordinator with totals and failures."""
    job, context = setup.job, setup.context
    packing = packing_of(job, cells=plan.most_cells)
    coordinator = Coordinator(committer, context, setup.executor, job.execution.commit_seconds, packing=packing)
    # Kept stale tile-years are recorded even if nothing is computed, so that the ledger shows that they were chosen.
    if (plan.chains or plan.kept_stale) and not setup.executor.stop.asked:
        run_index = _begin(committer, plan, job, record=run_record(job, context, plan))
        coordinator.execute(plan, run_index, setup.progress)
    return coordinator


def _begin(committer: Committer, plan: Plan, job: Job, *, record: dict[str, Any]) -> int:
    """Commit the arrays that the plan writes into and the record of the run; return the run's index.

    Workers fork from this commit and write into arrays that exist in it, so that the merge of their forks cannot
    conflict.
    """
    stored, members = plan.stored_years, job.members

    def make_room(root: zarr.Group) -> int:
        if stored:
            layout.add_years(root, last=stored[-1], with_daily=stored, spread=members > 1)
            if members > 1:
                of_members.add(root, members, last=layout.years(root)[-1], drawn=bool(job.draws.count))
        for year in plan.restart_years:
            # States of another number of members have another shape: the array is replaced, and its states are gone.
            if restarts.add_restart(root, year, layers=job.network_runs * STATE_LAYERS):
                ledger.forget_restarts(root, year)
        ledger.add_years(root, layout.years(root))
        attributes.complete(root)
        return ledger.begin_run(root, record)

    message = f"make room for {spans(stored)}" if stored else "keep stale tile-years"
    return committer.commit(message, make_room, years=stored)


def run_record(job: Job, context: Context, plan: Plan) -> dict[str, Any]:
    """Return the record of a run in the ledger, as JSON values: everything that its numbers can be traced to."""
    packages = ["agcarbon", "torch", "numpy", "icechunk", "zarr", "xarray", "dask"]
    packages += ["numba", "llvmlite"] if context.year_step == NUMBA else []
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "science_version": SCIENCE_VERSION,
        "inputs": {"store": context.inputs, "snapshot": context.snapshot},
        "checkpoint": {"sha256": context.checkpoint_sha256, "record": dict(job.checkpoint.record)},
        "year_step": context.year_step,
        "device": context.device,
        "batch_cells": context.batch_cells,
        "threads": 1,  # of PyTorch in each worker
        "keep_stale": plan.keep_stale,
        "kept_stale": {str(year): count for year, count in plan.kept_stale.items()},
        "run_file": job.run_file.model_dump(mode="json"),
    }


def _prune_restarts(committer: Committer, settings: RestartSettings) -> None:
    """Drop the states that the run file does not keep, once nothing of the plan needs them."""
    root = repository.read(committer.repository)
    held = {int(name) for name in repository.subgroup(root, "restart").group_keys()} if "restart" in root else set()
    dropped = sorted(held - kept_restarts(settings, held, latest=max(held))) if held else []

    def drop(root: zarr.Group) -> None:
        for year in dropped:
            del root[f"restart/{year}"]
            ledger.forget_restarts(root, year)

    if dropped:
        committer.commit(f"drop restart {dropped}", drop, years=dropped)
