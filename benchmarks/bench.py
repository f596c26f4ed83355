"""All benchmarks of `make bench`: the year step, its limit, blocks by phase, and a run beside a naive one.

    python -m benchmarks.bench [--rounds 5] [--batches 64 96 112 128] [--write FILE.json]

Everything runs in this process on one core, in CPU time (`benchmarks.measuring`), under the settings of the C library
that workers have. The last line has the four numbers: R, how many times as fast as the plain network at its best batch
the year step is; N, how many times the CPU time of a run of the large tile a naive run of it takes; E, the network's
share of the CPU time of a block of that tile; and B, the bytes of its daily fluxes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import block, naive, roofline, year_step
from benchmarks.block import Measured
from benchmarks.measuring import cpu_seconds, in_words, machine, write_results
from benchmarks.tiles import demo_tile, large_tile
from model.checkpoint import Checkpoint
from model.shipped import checkpoint_file
from pipeline.cluster.workers import keep_freed_memory


def blocks(folder: Path) -> list[Measured]:
    """Run a block of the demo's tile and one of the large tile, and print their phases."""
    demo = demo_tile(folder)
    found = []
    for subject in (demo, large_tile(folder / "large", demo.job)):
        block.spin_up(subject)
        found.append(block.measure(subject))
        print(block.report(found[-1]), flush=True)
    return found


def beside_naive(measured: Measured, *, batch: int, folder: Path) -> dict[str, Any]:
    """Run the same years naively; return the CPU seconds of both, their ratio and the largest difference."""
    checkpoint, subject = Checkpoint.load(checkpoint_file()), measured.subject
    seconds = cpu_seconds(lambda: naive.run_naively(subject, checkpoint, batch=batch, folder=folder))
    difference = naive.largest_difference(subject, checkpoint, folder)
    print(f"the same years by xarray and Dask, batches of {batch}: {seconds:.1f} CPU seconds")
    print(
        f"agcarbon run: {measured.run:.1f} CPU seconds; beyond rounding, both differ by {difference:.0e} of a deviation"
    )
    return {
        "run_cpu_seconds": round(measured.run, 2),
        "naive_cpu_seconds": round(seconds, 2),
        "ratio": round(seconds / measured.run, 2),
        "largest_difference_in_standard_deviations": difference,
    }


def measure(rounds: int, batches: list[int]) -> dict[str, Any]:
    """Return all results, printing them on the way."""
    step = year_step.measure(rounds, batches)
    print(year_step.report(step), flush=True)
    limit = roofline.measure()
    print(roofline.report(limit), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        demo, large = blocks(Path(folder))
        end_to_end = beside_naive(large, batch=step["best_batch"], folder=Path(folder) / "naive")
    parts = (
        f"year-step {step['ratio']:.2f} x the plain network per core in fp32",
        f"end-to-end {end_to_end['ratio']:.2f} x naive, {large.efficiency:.2f} of pure inference",
        f"{large.bytes_per_cell_day:.2f} bytes per modelled cell-day",
    )
    return {
        "year_step": step,
        "roofline": limit.as_json(),
        "blocks": {each.subject.name: each.as_json() for each in (demo, large)},
        "end_to_end": end_to_end,
        "summary": "; ".join(parts),
    }


def main() -> None:
    """Print all tables, and the four numbers in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    year_step.add_arguments(parser)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    where, began = machine(), time.monotonic()
    print(in_words(where))
    found = measure(chosen.rounds, chosen.batches)
    print(f"finished in {time.monotonic() - began:.0f} s, {time.process_time():.0f} of them of the processor")
    if chosen.write:
        write_results(chosen.write, {"machine": where, **found})
    print(found["summary"])


if __name__ == "__main__":
    main()
