"""The cost of a run beside its computations: a hundred thousand tile-years of the Midwest that compute nothing.

    python -m benchmarks.scale [--tiles 770] [--years 130] [--serial] [--commit-seconds 10] [--folder FOLDER]

Region, plan, ledger, forks, commits, scheduler and coordinator are those of `agcarbon run`; the block function writes
one small layer and its ledger rows, without computing. Printed 20 times: the memory of the coordinator and of the
scheduler, which is a separate process here, and the number of tasks in flight; at the end: the processor time of each
step per tile-year, early and late.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import psutil
from distributed import Client
from rich.console import Console
from rich.table import Table

import pipeline.run.coordinator
from pipeline.cluster.dask import OnDask
from pipeline.cluster.executor import Executor, Serial
from pipeline.config import RestartSettings
from pipeline.cube import layout, ledger
from pipeline.cube.entry import RANGES, Fingerprint, Row
from pipeline.cube.layout import PlannedTile
from pipeline.cube.ledger import Ledger
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import TileDigests
from pipeline.job import Job
from pipeline.run.block import BlockDone, BlockTask, Context
from pipeline.run.coordinator import Coordinator
from pipeline.run.fingerprints import Science, fingerprints
from pipeline.run.plan import Choice, Plan, Request, make_plan
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer
from tests.helpers.commits import transaction

CELLS = 40_000
STEPS = ("fork", "submit", "merge", "record", "commit")
RUN_FILE = 'region = "midwest"\n[stores]\ncube = "cube.icechunk"\n'


@dataclass
class Stopwatch:
    """Seconds of processor time spent in each step so far."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[step] += time.process_time() - began
                self.calls[step] += 1

        return call

    def watch(self) -> None:
        """Time the steps of all runs in this process."""
        icechunk.Session.fork = self.timed("fork", icechunk.Session.fork)
        icechunk.Session.merge = self.timed("merge", icechunk.Session.merge)
        icechunk.Session.commit = self.timed("commit", icechunk.Session.commit)
        ledger.record = self.timed("record", ledger.record)
        Client.submit = self.timed("submit", Client.submit)


@dataclass(frozen=True)
class Sample:
    """Progress of a run: tile-years, seconds by the clock and of the processor, resident megabytes, tasks, commits, and
    seconds of each step so far."""

    done: int
    seconds: float
    processor: float
    coordinator_mb: float
    scheduler_mb: float
    tasks: int
    commits: int
    steps: dict[str, float]


def trivial_blocks(context: Context, tasks: Sequence[BlockTask]) -> tuple[BlockDone, ...]:
    """Write one layer of a few chunks' references and hand back the rows, as `run_blocks` does after its work."""
    (task,) = tasks
    root, block = store.writable(task.fork), task.block
    rows, cols = context.grid.window(block.tile)
    first = block.years[0] - context.region.first_year
    store.array(root, "annual/nee")[first : first + len(block.years), rows, cols] = np.float32(block.years[0])
    found = [_row(block.tile, year, each) for year, each in zip(block.years, block.fingerprints, strict=True)]
    return (BlockDone(task.fork, tuple(found)),)


def _row(tile: Tile, year: int, fingerprint: Fingerprint) -> Row:
    nothing = (0.0,) * len(RANGES)
    return Row(
        tile=tile.name, year=year, fingerprint=fingerprint, checksum="ab" * 16, cells=CELLS, missing_cells=0,
        outside_share=0.0, balance_residual=0.0, minimum=nothing, maximum=nothing, seconds=0.0, cpu_seconds=0.0,
        restart=False,
    )  # fmt: skip


def planned_tiles(job: Job, count: int) -> tuple[PlannedTile, ...]:
    """The region's first tiles, all with the same number of modelled cells."""
    tiles = job.domain.tiles[:count]
    if len(tiles) < count:
        raise SystemExit(f"the region has {len(tiles)} tiles")
    return tuple(PlannedTile(tile, CELLS, "00" * 16) for tile in tiles)


def make_cube(job: Job, tiles: Sequence[PlannedTile], years: Sequence[int]) -> icechunk.Repository:
    """A cube of the region with room for the years, without masks."""
    repository = store.create(job.stores.cube)
    with transaction(repository, "structure") as root:
        layout.create(root, job.identity)
        layout.set_tiles(root, {planned.tile: (planned.cells, planned.mask) for planned in tiles})
        ledger.create(root, [planned.tile.name for planned in tiles])
        layout.add_years(root, last=years[-1], with_daily=())
        ledger.add_years(root, years)
        ledger.begin_run(root, {"benchmark": True})
    return repository


def plan(tiles: Sequence[PlannedTile], years: Sequence[int], known: Ledger | None) -> Plan:
    """Return the plan of a run, from digests that cost nothing to look up."""
    science, spin_up = Science("region", "checkpoint", "fp32"), (years[0], years[1])

    def digests(tile: Tile, year: int) -> TileDigests:
        return TileDigests(f"{tile.name}{year}", f"{tile.name}{year}", tile.name, f"{year}")

    prints = {
        planned.tile.name: fingerprints(planned, years, science=science, digests=digests, spin_up=spin_up)
        for planned in tiles
    }
    request = Request(tuple(years), years[0], 5, RestartSettings(), Choice())
    return make_plan(tiles, request=request, prints=prints, ledger=known, blocked={})


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    quiet = os.environ | {"DASK_LOGGING__DISTRIBUTED": "error"}
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-m", module, *arguments], env=quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[Executor, Callable[[], tuple[float, int]]]]:
    """An executor on a scheduler and one worker, processes of their own; and the scheduler's megabytes and tasks."""
    address = folder / "scheduler.json"
    with ExitStack() as stack:
        where = ["--scheduler-file", str(address), "--host", "127.0.0.1", "--no-dashboard"]
        scheduler = stack.enter_context(_process("distributed.cli.dask_scheduler", *where, "--port", "0"))
        stack.enter_context(_process("distributed.cli.dask_worker", *where, "--nthreads", "1"))
        client = stack.enter_context(Client(scheduler_file=str(address)))
        client.wait_for_workers(1)

        def state() -> tuple[float, int]:
            tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
            return psutil.Process(scheduler.pid).memory_info().rss / 2**20, tasks

        yield OnDask(lambda: client), state


def execute(
    coordinator: Coordinator, planned: Plan, stopwatch: Stopwatch, state: Callable[[], tuple[float, int]]
) -> list[Sample]:
    """Run the plan, and sample it at every twentieth of the way."""
    samples: list[Sample] = []
    began, used = time.perf_counter(), time.process_time()

    def progress(_what: str, done: int, total: int, _failed: int = 0, /) -> None:
        if done >= total * (len(samples) + 1) / 20:
            own = psutil.Process().memory_info().rss / 2**20
            scheduler_mb, tasks = state()
            seconds = time.perf_counter() - began
            commits = stopwatch.calls["commit"]
            samples.append(
                Sample(
                    done,
                    seconds,
                    time.process_time() - used,
                    own,
                    scheduler_mb,
                    tasks,
                    commits,
                    dict(stopwatch.seconds),
                )
            )
            print(
                f"{done:>7} tile-years {seconds:7.1f} s  coordinator {own:5.0f} MB  scheduler {scheduler_mb:5.0f} MB  "
                f"tasks {tasks:3d}  commits {commits}",
                flush=True,
            )

    coordinator.execute(planned, 0, progress)
    return samples


def report(samples: Sequence[Sample], stopwatch: Stopwatch) -> Table:
    """Cost of each step per tile-year, in the second and the last twentieth and in all [microseconds]."""
    table = Table("step", "calls", "early", "late", "all", title="microseconds of processor time per tile-year")
    spans = ((samples[0], samples[1]), (samples[-2], samples[-1]))
    for step in STEPS:
        costs = [(b.steps.get(step, 0) - a.steps.get(step, 0)) / max(b.done - a.done, 1) * 1e6 for a, b in spans]
        overall = stopwatch.seconds[step] / samples[-1].done * 1e6
        table.add_row(step, str(stopwatch.calls[step]), *(f"{cost:.0f}" for cost in (*costs, overall)))
    overall = [(b.processor - a.processor) / max(b.done - a.done, 1) * 1e6 for a, b in spans]
    overall.append(samples[-1].processor / samples[-1].done * 1e6)
    table.add_row("coordinator", "", *(f"{cost:.0f}" for cost in overall))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=770)
    parser.add_argument("--years", type=int, default=130)
    parser.add_argument("--serial", action="store_true", help="without a scheduler")
    parser.add_argument("--commit-seconds", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.toml").write_text(RUN_FILE)
        executor, state = (Serial(), lambda: (0.0, 0)) if arguments.serial else stack.enter_context(cluster(folder))
        measure(Job.open(folder / "run.toml"), arguments, executor=executor, state=state)


def measure(
    job: Job, arguments: argparse.Namespace, *, executor: Executor, state: Callable[[], tuple[float, int]]
) -> None:
    """Make the cube, run, plan again over what is done, and print the costs."""
    years = range(job.region.first_year, job.region.first_year + arguments.years)
    tiles = planned_tiles(job, arguments.tiles)
    repository = make_cube(job, tiles, years)
    began = time.process_time()
    planned = plan(tiles, years, Ledger(store.read(repository)))
    total = len(planned.states)
    print(f"plan of {total} tile-years: {(time.process_time() - began) / total * 1e6:.0f} us each")
    context = Context(
        region=job.region, grid=job.grid, inputs="", snapshot="", checkpoint="", checkpoint_sha256="",
        year_step="numba", device="cpu", batch_cells=1,
    )  # fmt: skip
    stopwatch = Stopwatch()
    stopwatch.watch()
    pipeline.run.coordinator.run_blocks = trivial_blocks
    committer = Committer(repository, job.stores.cube)
    coordinator = Coordinator(committer, context, executor, arguments.commit_seconds)
    samples = execute(coordinator, planned, stopwatch, state)
    Console().print(report(samples, stopwatch))
    assert coordinator.totals.tile_years == total
    began = time.process_time()
    again = plan(tiles, years, Ledger(store.read(repository)))
    assert not again.chains
    print(f"reading the ledger and planning again, all done: {(time.process_time() - began) / total * 1e6:.0f} us each")
    size = sum(path.stat().st_size for path in Path(job.stores.cube).rglob("*") if path.is_file())
    print(f"{total} tile-years in {samples[-1].seconds / 60:.1f} minutes, cube of {size / 2**20:.0f} MB")


if __name__ == "__main__":
    # By name, as a run's blocks do: functions of `__main__` would travel to the workers as code, with every block.
    from benchmarks import scale

    scale.main()
