"""The cost of a region by the run file alone, or with what is ingested and computed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.cluster.dask import worker_count, worker_memory
from pipeline.cluster.executor import Executor
from pipeline.cost.downloads import Download, downloads
from pipeline.cost.model import Machine, Model, Product, Size, Step
from pipeline.cost.rates import Rates, measured_rates
from pipeline.cost.work import RegionWork, survey
from pipeline.export.selection import HEADLINE
from pipeline.ingest.plan import strip_count
from pipeline.inputs.layout import Extent
from pipeline.job import Job
from pipeline.run.estimate import Rate, network_rate, recorded_rate
from pipeline.run.plan import BY_RULE, Choice
from pipeline.run.prepare import block_size
from pipeline.run.year_step import cuda_devices, device_of
from pipeline.storage import repository


@dataclass(frozen=True)
class Cost:
    """Cost of a region.

    Attributes
    ----------
    work
        What is to be done, and how much data there will be.
    downloads, steps, products
        Files to obtain, processor and wall time of the commands, space on disk.
    workers
        Workers that share a step.
    rates, speed
        Rates of all steps, and the speed of a core of this machine relative to the one on which they were measured.
    run_rate
        Rate of a run, of the cube's ledger or of the network now.
    worker_bytes, worker_limit
        Projected peak memory of a worker, and its limit; None if a scheduler sets it.
    """

    work: RegionWork
    downloads: tuple[Download, ...]
    steps: tuple[Step, ...]
    products: tuple[Product, ...]
    workers: int
    rates: Rates
    speed: float
    run_rate: Rate
    worker_bytes: int
    worker_limit: int | None

    @property
    def download_bytes(self) -> float:
        """Size of all files to obtain."""
        return sum(each.size_bytes for each in self.downloads)

    @property
    def disk_bytes(self) -> float:
        """Space of all products when all is done, without the archives."""
        return sum(product.size_bytes for product in self.products)


def estimate(
    job: Job,
    *,
    years: Sequence[int],
    choice: Choice = BY_RULE,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Cost:
    """Return the cost of a region's years on so many workers, or on those of the run file.

    `executor` makes the masks where none are stored; without it they are made one after the other.

    Raises
    ------
    UserError
        If inputs store or cube are of another region, or no tile-year can be compared.
    """
    work, rates, size = survey(job, years=years, choice=choice, executor=executor), measured_rates(), size_of(job)
    network = _with_draws(network_rate(job), job.draws.count)
    recorded = recorded_rate(repository.read(job.open_cube()), device=device_of(job)) if job.has_cube else None
    machine = _machine(job, rates, network=network, recorded=recorded, workers=workers)
    model = Model(work, size, rates, machine)
    return Cost(
        work=work,
        downloads=downloads(job, work.ingest),
        steps=model.steps(),
        products=tuple(model.products()),
        workers=machine.workers,
        rates=rates,
        speed=machine.speed,
        run_rate=recorded or network,
        worker_bytes=block_size(job, cells=work.most_cells).worker_bytes,
        worker_limit=worker_memory(job.execution),
    )


def _with_draws(network: Rate, draws: int) -> Rate:
    """Return the rate of a cell-year that is run with GPP as it is and with each draw; they run one after the other."""
    return replace(network, cell_years_per_second=network.cell_years_per_second / (1 + draws)) if draws else network


def _machine(job: Job, rates: Rates, *, network: Rate, recorded: Rate | None, workers: int | None) -> Machine:
    serial = job.execution.scheduler == "serial"
    count = workers or (1 if serial else worker_count(job.execution, cuda_devices(job)))
    measured = network.cell_years_per_second
    # The probe of a GPU says nothing about the processors that do the rest.
    on_cpu = device_of(job) == "cpu" and not math.isnan(measured)
    return Machine(
        workers=count,
        started=0 if serial or job.execution.remote else count,
        # The members of an ensemble run one after the other; the rates are those of one.
        speed=measured * job.network_runs / rates.network[job.year_step] if on_cpu else 1.0,
        run_cell_years=recorded.cell_years_per_second if recorded else None,
        network_cell_years=measured,
    )


def size_of(job: Job) -> Size:
    """Return the amounts that the region and the run file give."""
    grid, tiles = job.grid, job.domain.tiles
    window = Extent.of(job.region).window
    return Size(
        nldas_cells=window.rows * window.cols,
        grid_cells=grid.rows * grid.cols,
        tile_cells=grid.tile_cells**2,
        strips=strip_count(tiles),
        band_tiles=max(Counter(tile.first_row for tile in tiles).values()),
        members=job.network_runs,
        spread_members=job.members if job.members > 1 else 0,
        export_layers=len(HEADLINE),
    )
