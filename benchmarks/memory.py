"""Peak memory of a worker compared with the projection of `agcarbon plan`, each block in a separate process.

    python -m benchmarks.memory [--edge 48 120 240] [--years 1 5] [--members 1 3] [--tiles 1]
                                [--year-step numba | pytorch --batch 112]

A block is run as a worker runs it: inputs from an inputs store, results into a fork of the cube, every cell of the
tile modelled, and one of them without GPP. The peak is VmHWM of the process, with PyTorch and all other libraries of a
worker, under the settings of the C library that a run gives its workers. Blocks begin with the spin-up, or (`--resume`)
with the state of an earlier year, and store the state of their last year.

PyTorch's network runs in full on the first and the last batch of each year; the batches between take its result from a
thousandth of the arithmetic, into arrays of the same size. `--in-full` runs it on all, at an hour for the largest tile.

`--overlapped` measures a worker of a CUDA device, with the CPU in the device's place: the memory that is the device's
there is in the same process here, and is projected with the rest. With `--together`, all tiles are one group.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from model.year_step.usable import NUMBA, PYTORCH

if TYPE_CHECKING:
    from torch import Tensor

    from model.inference import Predictor
    from model.network import KGMLNetwork, State, YearResult
    from pipeline.grid.sinusoidal import Tile
    from pipeline.job import Job
    from pipeline.run.plan import Block

FIRST_YEAR, LAST_YEAR = 2010, 2015
INSIDE = (23890, 53410)  # row and column of the grid in the interior of tiles of every size

REGION = """
title = "Memory: one cell and the tile around it"
bbox = [{west}, {south}, {east}, {north}]
first_year = {first}
last_year = {last}
mask_years = [2010, 2011]
tile_cells = {edge}
"""
RUN_FILE = """
region = "region.toml"
[stores]
cube = "cube.icechunk"
inputs = "inputs.icechunk"
[model]
checkpoint = "weights.safetensors"
year_step = "{year_step}"
[execution]
device = "cpu"
"""


@dataclass(frozen=True)
class Case:
    """A block to measure."""

    edge: int
    batch: int
    years: int
    members: int
    tiles: int = 1
    spin_up: bool = True
    in_full: bool = False
    year_step: str = NUMBA
    overlapped: bool = False
    together: bool = False


@dataclass(frozen=True)
class Measured:
    """Bytes projected before the block ran, and its process's peak."""

    projected: int
    peak: int

    @property
    def ratio(self) -> float:
        """Projected for each byte measured."""
        return self.projected / self.peak


def measure(case: Case, folder: Path) -> Measured:
    """Prepare a cube in a folder, unless it is there, and run one block, each in a process of its own."""
    place = folder / f"edge{case.edge}-members{case.members}-tiles{case.tiles}-{case.year_step}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ICECHUNK_LOG": "error"}
    for step in ("prepare", "block"):
        if step == "prepare" and (place / "ready").exists():
            continue
        command = [sys.executable, "-m", "benchmarks.memory", "--step", step, json.dumps(asdict(case)), str(place)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Measured(**json.loads(done.stdout))


def prepare(case: Case, folder: Path) -> None:
    """Write weights, region, inputs and a cube of which every cell of the first tile is modelled."""
    import numpy as np
    import torch

    from model.arrays import STATE_LAYERS
    from model.checkpoint import Checkpoint, expected_shapes
    from model.features import PUBLISHED_FEATURE_SCALERS
    from pipeline.cube import layout, ledger, members, restarts
    from pipeline.cube.layout import TileMask
    from pipeline.job import Job
    from pipeline.storage import repository
    from tests.helpers.commits import transaction
    from tests.helpers.random_inputs import Fields, write_inputs

    folder.mkdir(parents=True, exist_ok=True)
    scalers = {
        "features": PUBLISHED_FEATURE_SCALERS, "gpp": PUBLISHED_FEATURE_SCALERS[8], "ra": (-1.4, 2.6),
        "rh": (-1.0, 0.9), "nee": (-0.5, 3.0), "yield": (221.0, 104.0), "residue": (326.0, 150.0),
    }  # fmt: skip
    random = torch.Generator().manual_seed(5)
    networks = [
        Checkpoint.from_published(
            {name: 0.1 * torch.randn(shape, generator=random) for name, shape in expected_shapes().items()},
            scalers,
            record={"origin": "random weights"},
        )
        for _ in range(case.members)
    ]
    (networks[0] if case.members == 1 else Checkpoint.ensemble(networks)).save(folder / "weights.safetensors")
    (folder / "region.toml").write_text(_region(case))
    (folder / "run.toml").write_text(RUN_FILE.format(year_step=case.year_step))
    job = Job.open(folder / "run.toml")
    years = tuple(range(FIRST_YEAR, LAST_YEAR + 1))
    # A cell without GPP: results of the others are copied to their places among all cells.
    write_inputs(job, Fields(missing={year: [(0, 0)] for year in years}), years=years)
    whole = np.ones((case.edge, case.edge), bool)
    mask = TileMask(whole, np.ones(whole.size, np.uint8))
    with transaction(repository.create(job.stores.cube), "structure") as root:
        layout.create(root, job.identity)
        for tile in job.domain.tiles:
            layout.write_mask(root, tile, mask)
        layout.set_tiles(root, dict.fromkeys(job.domain.tiles, (mask.cells, mask.digest)))
        ledger.create(root, [tile.name for tile in job.domain.tiles])
        layout.add_years(root, last=LAST_YEAR, with_daily=years, spread=case.members > 1)
        if case.members > 1:
            members.add(root, case.members, last=LAST_YEAR)
        ledger.add_years(root, years)
        for year in years:
            restarts.add_restart(root, year, layers=case.members * STATE_LAYERS)
    if not case.spin_up:
        _compute_first_year(case, job)
    (folder / "ready").touch()


def _compute_first_year(case: Case, job: Job) -> None:
    """Compute the year whose carried state the measured block begins with."""
    from pipeline.cube import ledger
    from pipeline.inputs.view import open_inputs
    from pipeline.run.block import BlockTask, run_blocks
    from pipeline.run.prepare import context_of
    from pipeline.storage import repository

    _abridge()
    context = context_of(job, open_inputs(job.stores.inputs))
    session = job.open_cube().writable_session(repository.BRANCH)
    tiles = job.domain.tiles[: case.tiles]
    tasks = [BlockTask(_block(tile, case, (FIRST_YEAR,), True), session.fork()) for tile in tiles]
    done = [each for task in tasks for each in run_blocks(context, [task])]
    session.merge(*(each.fork for each in done))
    root = repository.writable(session)
    ledger.record(root, [row for each in done for row in each.rows], run=ledger.begin_run(root, {}), failures={})
    session.commit("the first year")


def _block(tile: Tile, case: Case, years: tuple[int, ...], spin_up: bool) -> Block:
    from pipeline.cube.entry import COMPONENTS, Fingerprint
    from pipeline.run.plan import Block

    prints = (Fingerprint(("00" * 16,) * len(COMPONENTS)),) * len(years)
    return Block(tile, case.edge**2, years[0], years, prints, years[-1:], spin_up)


def _region(case: Case) -> str:
    """A box that meets a square of so many tiles."""
    from pipeline.grid.sinusoidal import Grid

    beyond = (math.isqrt(case.tiles) - 1) * case.edge + 1
    longitude, latitude = Grid(*INSIDE, beyond, beyond, 1).lonlat()
    sides = {
        "west": longitude[0, 0] - 1e-4,
        "east": longitude[0, -1] + 1e-4,
        "south": latitude[-1, 0] - 1e-4,
        "north": latitude[0, 0] + 1e-4,
    }
    return REGION.format(first=FIRST_YEAR, last=LAST_YEAR, edge=case.edge, **sides)


def run_one_block(case: Case, folder: Path) -> Measured:
    """Run a block in this process, as a worker would."""
    import distributed  # noqa: F401 (part of a worker)

    from model.device.slots import slots_bytes
    from pipeline.inputs.view import open_inputs
    from pipeline.job import Job
    from pipeline.run.block import BlockTask, run_blocks
    from pipeline.run.prepare import block_size, context_of
    from pipeline.storage import repository
    from tests.helpers import device_on_cpu

    if not case.in_full:
        _abridge()
    if case.overlapped:
        device_on_cpu.install()
    job = Job.open(folder / "run.toml")
    execution = job.run_file.execution.model_copy(update={"batch_cells": case.batch})
    job = Job(job.path, job.run_file.model_copy(update={"execution": execution}), job.region)
    context = context_of(job, open_inputs(job.stores.inputs))
    first = FIRST_YEAR if case.spin_up else FIRST_YEAR + 1
    years = tuple(range(first, first + case.years))
    session = job.open_cube().writable_session(repository.BRANCH)
    base = session.fork()
    assert len(job.domain.tiles) >= case.tiles
    tasks = [BlockTask(_block(tile, case, years, case.spin_up), base) for tile in job.domain.tiles[: case.tiles]]
    together = case.tiles if case.together else 1
    for first in range(0, case.tiles, together):
        run_blocks(context, tasks[first : first + together])
    size = block_size(job, cells=together * case.edge**2)
    size = replace(size, device_batch=case.batch if case.overlapped else 0, tiles=together)
    in_place_of_the_device = slots_bytes(size.device_batch, members=case.members)
    return Measured(size.worker_bytes + in_place_of_the_device, _peak())


def _abridge() -> None:
    """Let the network run in full on the first and last batch of a year only."""
    from model.inference import Predictor
    from model.network import KGMLNetwork, State, YearResult

    batches, forward = Predictor._batches, KGMLNetwork.forward
    in_full = True

    def marked(predictor: Predictor, cells: int) -> Iterator[slice]:
        nonlocal in_full
        for batch in batches(predictor, cells):
            in_full = batch.start == 0 or batch.stop == cells
            yield batch

    def abridged(network: KGMLNetwork, x_BTF: Tensor, state: State | None = None) -> YearResult:
        if in_full:
            return forward(network, x_BTF, state)
        return YearResult(x_BTF[..., :3].clone(), x_BTF[:, 0, 0].clone(), State.zeros(len(x_BTF), like=x_BTF))

    Predictor._batches = marked  # type: ignore[method-assign]
    KGMLNetwork.forward = abridged  # type: ignore[method-assign]


def _peak() -> int:
    """Largest resident size of this process so far; unlike `getrusage`, it begins with the program, not its parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Measure all combinations, or take one step of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    for name, default in (("edge", [48, 120, 240]), ("batch", [112]), ("years", [1, 5]), ("members", [1, 3])):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=default)
    parser.add_argument("--tiles", type=int, default=1, help="number of tiles to run, one after the other")
    parser.add_argument("--year-step", choices=[NUMBA, PYTORCH], default=NUMBA)
    parser.add_argument("--resume", action="store_true", help="from the state of an earlier year")
    parser.add_argument("--in-full", action="store_true")
    parser.add_argument(
        "--overlapped", action="store_true", help="as a worker of a CUDA device, with --year-step pytorch"
    )
    parser.add_argument("--together", action="store_true", help="all tiles as one group, with --overlapped")
    parser.add_argument("--folder", type=Path, help="folder that keeps the inputs for later measurements")
    given = parser.parse_args()
    if given.step:
        step, case, place = given.step
        _take(step, Case(**json.loads(case)), Path(place))
        return
    folder = given.folder or Path(tempfile.mkdtemp(prefix="memory-"))
    print("edge batch years members   projected    measured   ratio")
    for edge, batch, years, members in product(given.edge, given.batch, given.years, given.members):
        case = Case(
            edge, batch, years, members, given.tiles, not given.resume, given.in_full, given.year_step,
            given.overlapped, given.together,
        )  # fmt: skip
        found = measure(case, folder)
        sizes = f"{found.projected / 2**20:7.0f} MiB {found.peak / 2**20:7.0f} MiB"
        print(f"{edge:4} {batch:5} {years:5} {members:7} {sizes} {found.ratio:7.2f}", flush=True)


def _take(step: str, case: Case, folder: Path) -> None:
    from pipeline.cluster.workers import keep_freed_memory

    if step == "prepare":
        prepare(case, folder)
    else:
        keep_freed_memory()
        print(json.dumps(asdict(run_one_block(case, folder))))


if __name__ == "__main__":
    main()
