"""A CUDA device: parity with the CPU, rates of the network, a tile from inputs to cube, and the Midwest projected.

    python -m benchmarks.gpu [--device cuda | cpu] [--small] [--write FILE.json]

1. Parity: two years in a row by the device in float32 and by PyTorch on the CPU; the exit code is 1 if an output
   differs by more than 1e-4 of its standard deviation.
2. Rates at several batches: the plain network (features and states on the device, results left there), and the
   predictor of a run (from inputs to fluxes on the host, rounded, with annual sums). Medians of wall time.
3. A tile of 240 x 240 cells, 22 % of them modelled in patches: each phase of a year alone, then the block of a run, in
   which they overlap. Restarts and the spin-up are left out of the rate.
4. The Midwest, 230 million cell-years with the spin-up, at these rates on one device; and how full the batches of tiles
   like its own are, each tile alone and in groups, with the time of the plain network for either, by the line through
   its smallest and largest batch.

Sized for less than 8 minutes. Without a CUDA device the exit code is 2. `--device cpu --small` runs all of it on a CPU
in a minute or two: that tests this program, and its figures are no prediction for a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from benchmarks import memory
from benchmarks.inference import random_inputs
from benchmarks.memory import FIRST_YEAR, Case
from benchmarks.year_step import largest_error
from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.device.predictor import DevicePredictor
from model.features import FEATURES
from model.inference import Predictor, open_device
from model.network import State
from model.shipped import checkpoint_file
from model.year_step.usable import PYTORCH
from pipeline.cube import layout
from pipeline.cube.entry import COMPONENTS, Fingerprint
from pipeline.cube.layout import KEEP_BITS, StoredYear, TileMask
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run import block
from pipeline.run.block import BlockTask, Context, run_blocks
from pipeline.run.groups import ALONE, Packing, batches_of, grouped
from pipeline.run.memory import device_bytes
from pipeline.run.plan import Block
from pipeline.run.prepare import context_of
from pipeline.simulate.tile_year import CellState, simulate
from pipeline.storage import repository
from tests.helpers import device_on_cpu
from tests.helpers.commits import transaction

PARITY = 1e-4  # of an output's standard deviation
MIDWEST = 230_000_000  # cell-years of 2000-2020 with two years of spin-up
TILES, SKEW = 771, 3.44  # of the Midwest; their shares of modelled cells are drawn from a beta distribution (1, SKEW)
SHARE, PATCHES = 0.22, 30  # of a tile's cells that are modelled, in so many patches along its edge at the most
DAYS = 365


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    parity_cells: int
    batches: tuple[int, ...]
    rounds: int
    edge: int
    years: int


FULL = Size(512, (1024, 4096, 8192, 16384), 5, 240, 6)
SMALL = Size(16, (16, 32), 1, 24, 2)


@dataclass(frozen=True)
class BatchRate:
    """Cell-years per second at one batch; None where the device's memory is too small."""

    batch: int
    plain: float | None
    ours: float | None


@dataclass(frozen=True)
class TileTimes:
    """Microseconds per cell-year of a tile: of each phase alone, and of all in overlap."""

    cells: int
    read: float
    network: float
    rest_of_computation: float
    write: float
    in_overlap: float


def parity(checkpoint: Checkpoint, device: str, *, cells: int) -> float:
    """Return the largest difference of the device from the CPU, in standard deviations of the output."""
    here, there = Predictor(checkpoint), DevicePredictor(checkpoint, device=device, batch_cells=cells // 2 + 1)
    errors, states = [], [None, None]
    for year, days in ((2011, 365), (2012, 366)):
        inputs = random_inputs(cells, year=year, days=days)
        one, other = (each.year(inputs, state) for each, state in zip((here, there), states, strict=True))
        states = [one.state_SNH, other.state_SNH]
        yield_error = float(np.abs(one.yield_N - other.yield_N).max()) / checkpoint.scalers.outputs["yield"].std
        errors += [largest_error(checkpoint, one, other), yield_error]
    return max(errors)


def seconds(function: Callable[[], object], device: torch.device, *, rounds: int) -> float:
    """Return the median wall time of a call, with the work that it leaves on the device, after one not timed."""
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def rates(checkpoint: Checkpoint, device: torch.device, size: Size) -> list[BatchRate]:
    """Return the rates of the plain network and of the predictor at each batch."""
    (network,) = checkpoint.networks()
    network = network.to(device)

    def plain(batch: int) -> Callable[[], object]:
        x_BTF = torch.randn(DAYS, batch, len(FEATURES), device=device).transpose(0, 1)
        state = State.zeros(batch, like=x_BTF)

        def run() -> object:
            with torch.inference_mode():
                return network(x_BTF, state)

        return run

    def ours(batch: int) -> Callable[[], object]:
        predictor, inputs = _predictor(checkpoint, device, batch), random_inputs(4 * batch)
        return lambda: predictor.year(inputs, np.zeros((6, 4 * batch, 64), np.float32))

    return [
        BatchRate(
            batch,
            _rate(batch, lambda batch=batch: plain(batch), device, size.rounds),  # type: ignore[misc]
            _rate(4 * batch, lambda batch=batch: ours(batch), device, size.rounds),  # type: ignore[misc]
        )
        for batch in size.batches
    ]


def _rate(cells: int, prepare: Callable[[], Callable[[], object]], device: torch.device, rounds: int) -> float | None:
    try:
        return cells / seconds(prepare(), device, rounds=rounds)
    except (MemoryError, torch.OutOfMemoryError):
        return None
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _predictor(checkpoint: Checkpoint, device: torch.device, batch: int) -> DevicePredictor:
    return DevicePredictor(checkpoint, device=str(device), batch_cells=batch, keep_bits=KEEP_BITS)


def fixed_cost(measured: Sequence[BatchRate]) -> tuple[float, float] | None:
    """Return seconds of a batch however small, and of each of its cells, from the plain network's rates."""
    known = [(each.batch, each.batch / each.plain) for each in measured if each.plain]
    if len(known) < 2:
        return None
    (small, short), (large, long) = known[0], known[-1]
    cell = (long - short) / (large - small)
    return short - small * cell, cell


def tile_times(device: torch.device, size: Size, *, batch: int) -> TileTimes:
    """Return the times of a tile whose inputs store and cube are made in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        memory.prepare(Case(size.edge, batch, size.years, members=1, year_step=PYTORCH), Path(folder))
        job = Job.open(Path(folder) / "run.toml")
        mask = _patchy(size.edge)
        with transaction(job.open_cube(), "a patchy mask") as root:
            layout.write_mask(root, job.domain.tiles[0], mask)
            layout.set_tiles(root, {job.domain.tiles[0]: (mask.cells, mask.digest)})
        context = replace(
            context_of(job, open_inputs(job.stores.inputs)), device=device.type, batch_cells=min(batch, mask.cells)
        )
        if device.type == "cpu":
            device_on_cpu.install()
        overlapped = _in_overlap(job, context, size=size)
        alone = _alone(job, context, mask, years=range(FIRST_YEAR, FIRST_YEAR + size.years))
    micro = {name: 1e6 * statistics.median(times) / mask.cells for name, times in alone.items()}
    rest = micro["compute"] - micro["network"]
    return TileTimes(mask.cells, micro["read"], micro["network"], rest, micro["write"], 1e6 * overlapped / mask.cells)


def _patchy(edge: int) -> TileMask:
    patches = min(PATCHES, edge // 2)
    chosen = np.random.default_rng(0).permutation(patches**2).reshape(patches, patches) < SHARE * patches**2
    chosen[0, 0] = False  # one cell there has no GPP
    mask = np.kron(chosen, np.ones((edge // patches,) * 2)).astype(bool)
    return TileMask(mask, np.ones(mask.sum(), np.uint8))


def _in_overlap(job: Job, context: Context, *, size: Size) -> float:
    """Return the seconds of a year in a block of a run, from its reading to its writing."""
    years = tuple(range(FIRST_YEAR, FIRST_YEAR + size.years))
    prints = (Fingerprint(("00" * 16,) * len(COMPONENTS)),) * len(years)
    fork = job.open_cube().writable_session(repository.BRANCH).fork()
    # No year's state is stored: most years of a run have none.
    task = Block(job.domain.tiles[0], size.edge**2, FIRST_YEAR, years, prints, restarts=(), spin_up=True)
    (done,) = run_blocks(context, [BlockTask(task, fork)])
    assert not any(row.missing_cells for row in done.rows)
    return sum(row.seconds for row in done.rows) / len(years)


def _alone(job: Job, context: Context, mask: TileMask, *, years: Sequence[int]) -> dict[str, list[float]]:
    """Return the seconds of each phase of each year, one after the other."""
    tile, view = job.domain.tiles[0], open_inputs(job.stores.inputs)
    predictor = block._predictor(
        context.checkpoint, context.checkpoint_sha256, year_step=PYTORCH, device=context.device,
        batch_cells=context.batch_cells,
    )  # fmt: skip
    state = CellState(np.zeros((predictor.state_layers, mask.cells, 64), np.float32), np.ones(mask.cells, bool))
    root = repository.writable(job.open_cube().writable_session(repository.BRANCH))
    times: dict[str, list[float]] = {name: [] for name in ("read", "network", "compute", "write")}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = function()
        times[name].append(time.perf_counter() - began)
        return result

    def network(inputs: YearInputs) -> object:
        return predictor.year(inputs, state.state_SNH)

    def write(root: zarr.Group, year: int, stored: StoredYear) -> str:
        layout.write_tile_year(root, tile, year, stored)
        return stored.checksum  # of the ledger row

    for year in years:
        given = timed("read", lambda year=year: block.gather(job.region, view, tile, year, mask))  # type: ignore[misc]
        timed("network", lambda given=given: network(given.inputs))  # type: ignore[misc]
        result = timed("compute", lambda given=given: simulate(predictor, given, state))  # type: ignore[misc]
        timed("write", lambda year=year, result=result: write(root, year, StoredYear.of(result, mask.mask)))  # type: ignore[misc]
    return times


def midwest(times: TileTimes) -> dict[str, float]:
    """Return the hours of the Midwest on one device: of each phase if it were alone, and of all in overlap."""
    known = {name: value for name, value in asdict(times).items() if name != "cells"}
    return {name: round(value * MIDWEST / 1e6 / 3600, 3) for name, value in known.items()}


@dataclass(frozen=True)
class BatchFill:
    """Cells of a year of tiles like those of the Midwest for each cell of its batches; hours of the network or None."""

    batch: int
    alone: float
    grouped: float
    alone_hours: float | None
    grouped_hours: float | None


def batch_fill(batch: int, cost: tuple[float, float] | None) -> BatchFill:
    """Return how full the batches of tiles are, each alone and in the groups of a run.

    `cost` is that of `fixed_cost`, from which the time of the plain network on the Midwest follows.
    """
    cells = (np.random.default_rng(0).beta(1.0, SKEW, TILES) * FULL.edge**2).astype(int) + 1
    wave = [
        Block(Tile(0, 0, 0, number, FULL.edge), int(count), FIRST_YEAR, (FIRST_YEAR,), (), (), spin_up=False)
        for number, count in enumerate(cells)
    ]
    total, numbers = int(cells.sum()), [batches_of(grouped(wave, way), batch) for way in (ALONE, Packing(batch))]
    hours = [MIDWEST / total * (cost[0] * number + cost[1] * total) / 3600 if cost else None for number in numbers]
    return BatchFill(batch, *(total / (number * batch) for number in numbers), *hours)


def hardware(device: torch.device) -> str:
    """Return the device and the versions in words."""
    if device.type == "cpu":
        return f"CPU in place of a GPU, torch {torch.__version__}: no prediction for a GPU"
    name = torch.cuda.get_device_name(device)
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def report(found: Mapping[str, Any]) -> str:
    """Return the results as lines."""
    lines = [f"network at several batches, cell-years per second, {found['hardware']}"]
    lines += [f"{each.batch:7,} cells: plain {_shown(each.plain)}, ours {_shown(each.ours)}" for each in found["rates"]]
    if cost := found["fixed_cost"]:
        lines.append(f"a batch takes {1e3 * cost[0]:.2f} ms however small, and {1e6 * cost[1]:.2f} us a cell (plain)")
    times, hours = found["tile"], found["midwest_hours"]
    lines.append(f"a tile with {times.cells:,} modelled cells, and the Midwest, {MIDWEST:,} cell-years, on one device:")
    lines += [
        f"{name.replace('_', ' '):20} {getattr(times, name):10.2f} us a cell-year {hours[name]:10.2f} h"
        for name in hours
    ]
    lines.append(f"cells in batches of {TILES} tiles like those of the Midwest, each alone and in groups:")
    lines += [f"{fill.batch:7,} cells: {_filled(fill)}" for fill in found["batch_fill"]]
    if known := found["device_memory"]:
        taken, projected = (known[name] / 2**30 for name in ("taken", "projected"))
        lines.append(f"device memory: {taken:.1f} GiB taken, {projected:.1f} GiB projected")
    lines.append(f"written {1e6 / times.in_overlap:,.0f} cell-years per second, {found['hardware']}")
    return "\n".join(lines)


def _filled(fill: BatchFill) -> str:
    shares = f"{100 * fill.alone:.1f} % and {100 * fill.grouped:.1f} % full"
    if fill.alone_hours is None or fill.grouped_hours is None:
        return shares
    return f"{shares}, plain network {fill.alone_hours:.2f} h and {fill.grouped_hours:.2f} h"


def _shown(rate: float | None) -> str:
    return "does not fit" if rate is None else f"{rate:,.0f}"


def measure(checkpoint: Checkpoint, device: torch.device, size: Size) -> dict[str, Any]:
    """Return all that is measured after parity."""
    measured = rates(checkpoint, device, size)
    best = max((each for each in measured if each.ours), key=lambda each: each.ours or 0.0)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times, cost = tile_times(device, size, batch=best.batch), fixed_cost(measured)
    return {
        "hardware": hardware(device),
        "rates": measured,
        "fixed_cost": cost,
        "batch_fill": [batch_fill(batch, cost) for batch in FULL.batches],
        "best_batch": best.batch,
        "tile": times,
        "midwest_hours": midwest(times),
        "device_memory": _device_memory(device, batch=min(best.batch, times.cells)),
    }


def _device_memory(device: torch.device, *, batch: int) -> dict[str, int]:
    """Return the bytes that PyTorch has taken of a CUDA device, and the projection, which adds the context's."""
    if device.type != "cuda":
        return {}
    return {"taken": torch.cuda.max_memory_reserved(device), "projected": device_bytes(batch)}


def main() -> int:
    """Print parity, rates, times and the projection; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="a few cells, to test the program")
    parser.add_argument("--write", type=Path, help="file for the results")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device here; GPU: not measured", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    device, size = open_device(given.device), SMALL if given.small else FULL
    checkpoint = Checkpoint.load(checkpoint_file())
    error = parity(checkpoint, given.device, cells=size.parity_cells)
    print(f"parity: largest difference {error:.1e} standard deviations, at most {PARITY:.0e} allowed", flush=True)
    if not error <= PARITY:
        return 1
    found = measure(checkpoint, device, size)
    print(report(found))
    if given.write:
        lists = {name: [asdict(each) for each in found[name]] for name in ("rates", "batch_fill")}
        known = {**found, **lists, "tile": asdict(found["tile"])}
        given.write.write_text(json.dumps({"parity": error, **known}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
