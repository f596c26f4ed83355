"""Time of `agcarbon aggregate` with one and with two workers, on tiles of 240 x 240 cells with random results.

    python -m benchmarks.aggregate [--years 2] [--modelled 0.22] [--workers 1 2] [--folder FOLDER]

The aggregation is that of the command, on a local Dask cluster whose workers have imported all they need: their start
is not measured. Printed for each number of workers: seconds by the clock, and seconds of processor time of the busiest
worker and of the thread that chooses, commits and writes tables. These two together are the time that the work takes
where every worker has a core of its own, which the clock does not show on a machine that is busy. The aggregates must
be the same bits each time.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dask
import numpy as np
import zarr
from distributed import Client, LocalCluster
from rich.console import Console
from rich.table import Table

from pipeline.aggregate.write import aggregate_cube
from pipeline.cluster.clients import CLUSTER_CONFIG
from pipeline.cluster.dask import OnDask
from pipeline.cluster.executor import Executor
from pipeline.cluster.workers import prepare
from pipeline.digests import content_digest
from pipeline.job import Job
from pipeline.storage import repository as store
from tests.helpers.filled_cube import fill_cube

FIRST_YEAR = 2010
REGION = """
title = "Four bands of half a degree in Iowa"
bbox = [-94.6, 41.01, -92.9, 42.99]
first_year = {first}
last_year = {last}
mask_years = [{first}]
tile_cells = 240
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of the work on so many workers, and the digest of what it wrote."""

    workers: int
    clock: float
    busiest: float
    coordinator: float
    digest: str

    @property
    def bound(self) -> float:
        """Seconds that it takes at least, if every process has a core of its own."""
        return self.busiest + self.coordinator


def measure(workers: int, module: str, work: Callable[[Executor], str]) -> Measured:
    """Do some work, which returns a digest, on workers that have imported a module."""
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(CLUSTER_CONFIG))
        cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0"))
        client = stack.enter_context(Client(cluster))
        client.register_worker_callbacks(prepare)  # as those of the commands
        client.run(importlib.import_module, module)
        before, own, began = client.run(time.process_time), time.thread_time(), time.perf_counter()
        digest = work(OnDask(lambda: client))
        clock, own = time.perf_counter() - began, time.thread_time() - own
        after = client.run(time.process_time)
    return Measured(workers, clock, max(after[name] - before[name] for name in before), own, digest)


def aggregate(job: Job, executor: Executor) -> str:
    """Aggregate the cube of `job`, which has no aggregates; return their digest."""
    report = aggregate_cube(job, executor)
    assert report.done == job.region.years, report
    return digest(job)


def digest(job: Job) -> str:
    """Return a digest of all aggregates in the cube."""
    group = store.subgroup(store.read(job.open_cube()), "aggregates")
    found = sorted((path, node) for path, node in group.members(max_depth=None) if isinstance(node, zarr.Array))
    return content_digest(*(np.asarray(node[...]) for _, node in found if node.dtype.kind != "T"))


def table(measured: Sequence[Measured], tile_years: int, title: str) -> Table:
    """Return the seconds of each number of workers, and their ratio to the first."""
    title = f"{title} of {tile_years} tile-years of 240 x 240 cells [s]"
    columns = ("workers", "clock", "busiest worker", "coordinator", "CPU-bound", "of the first", "per tile-year")
    shown = Table(*columns, title=title)
    for one in measured:
        times = (one.clock, one.busiest, one.coordinator, one.bound)
        ratio = one.bound / measured[0].bound
        shown.add_row(
            str(one.workers), *(f"{seconds:.1f}" for seconds in times), f"{ratio:.2f}", f"{one.bound / tile_years:.2f}"
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=2)
    parser.add_argument("--modelled", type=float, default=0.22, help="share of the cells")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = folder / "filled"
        source.mkdir(parents=True)
        region = REGION.format(first=FIRST_YEAR, last=FIRST_YEAR + arguments.years - 1)
        job = fill_cube(source, complete=True, region=region, modelled=arguments.modelled).job
        measured = []
        for workers in arguments.workers:
            copy = shutil.copytree(source, folder / f"workers-{workers}")
            copied = Job.open(copy / job.path.name)
            measured.append(measure(workers, "pipeline.aggregate.write", partial(aggregate, copied)))
    Console(width=120).print(table(measured, len(job.domain.tiles) * arguments.years, "aggregates"))
    assert len({one.digest for one in measured}) == 1, measured


if __name__ == "__main__":
    main()
