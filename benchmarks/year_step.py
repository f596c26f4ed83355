"""The year step of a run beside the plain network, in one process: cell-years per CPU-second of one core.

    python -m benchmarks.year_step [--rounds 5] [--batches 64 96 112 128] [--write FILE.json]

The plain network is PyTorch's on features that are ready, at the batch that is best for it on this machine. The year
step is that of a run: from inputs to fluxes in physical units, from carried state to carried state. Every round runs
all of them, one after the other, so that a machine that is busy or changes its clock treats them alike; the time is
that of the processor (`time.process_time`), and each rate the median of the rounds. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.inference import random_inputs
from benchmarks.measuring import cpu_seconds, in_words, machine, write_results
from model.arrays import HIDDEN, Floats, YearFluxes, YearInputs
from model.checkpoint import Checkpoint
from model.inference import Predictor
from model.network import State
from model.shipped import checkpoint_file
from model.year_step.usable import NUMBA, compiled, predictor

PLAIN_CELLS, CELLS = 256, 768


def plain_network(checkpoint: Checkpoint, inputs: YearInputs, state_SNH: Floats) -> Callable[[int], None]:
    """Return a function that runs the network in batches of so many cells, from features that were made before."""
    (network,), cells = checkpoint.networks(), inputs.gpp_TN.shape[1]
    network.eval()
    with torch.inference_mode():
        x_BTF = Predictor(checkpoint)._features(inputs, slice(0, cells)).contiguous()
    state = State.unpack(torch.as_tensor(state_SNH))

    def run(batch: int) -> None:
        with torch.inference_mode():
            for i in range(0, cells, batch):
                network(x_BTF[i : i + batch], State(*(part[:, i : i + batch].contiguous() for part in state)))

    return run


def race(runners: Mapping[str, tuple[int, Callable[[], object]]], rounds: int) -> dict[str, list[float]]:
    """Return cell-years per CPU-second of each runner (cells, function) in each round, after one that is not timed."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, (cells, function) in runners.items():
            seconds = cpu_seconds(function)
            if number:
                rates[name].append(cells / seconds)
    return rates


def largest_error(checkpoint: Checkpoint, one: YearFluxes, other: YearFluxes) -> float:
    """Return the largest difference of a daily flux, in standard deviations of that flux."""
    return max(
        float(np.abs(getattr(one, f"{name}_TN") - getattr(other, f"{name}_TN")).max())
        / checkpoint.scalers.outputs[name].std
        for name in ("ra", "rh", "nee")
    )


def measure(rounds: int, batches: Sequence[int]) -> dict[str, Any]:
    """Return the rates and their ratio."""
    if obstacle := compiled().obstacle:
        sys.exit(f"there is nothing to compare: {obstacle}")
    checkpoint = Checkpoint.load(checkpoint_file())
    few, many = random_inputs(PLAIN_CELLS), random_inputs(CELLS)
    rng = np.random.default_rng(1)
    state_few, state_many = (rng.uniform(-1, 1, (6, n, HIDDEN)).astype(np.float32) for n in (PLAIN_CELLS, CELLS))
    step = predictor(checkpoint, year_step=NUMBA, device="cpu", batch_cells=0)
    error = largest_error(checkpoint, Predictor(checkpoint).year(few, state_few), step.year(few, state_few))
    plain = plain_network(checkpoint, few, state_few)
    runners: dict[str, tuple[int, Callable[[], object]]] = {
        f"plain network, {batch} cells": (PLAIN_CELLS, lambda batch=batch: plain(batch))  # type: ignore[misc]
        for batch in batches
    }
    rates = race(runners | {"year step": (CELLS, lambda: step.year(many, state_many))}, rounds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(runners, key=medians.__getitem__)
    return {
        "cell_years_per_cpu_second": {name: [round(rate, 1) for rate in values] for name, values in rates.items()},
        "medians": {name: round(median, 1) for name, median in medians.items()},
        "best_batch": batches[list(runners).index(best)],
        "ratio": round(medians["year step"] / medians[best], 2),
        "largest_error_in_standard_deviations": error,
    }


def report(found: Mapping[str, Any]) -> str:
    """Return the rates as lines."""
    lines = []
    for name, values in found["cell_years_per_cpu_second"].items():
        spread = f"median of {len(values)}; {min(values):.0f} to {max(values):.0f}"
        lines.append(f"{name:26} {found['medians'][name]:8.1f} cell-years per CPU-second ({spread})")
    lines.append(
        f"largest difference {found['largest_error_in_standard_deviations']:.1e} of a flux's standard deviation"
    )
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 96, 112, 128])
    parser.add_argument("--write", type=Path, help="file for the results")


def main() -> None:
    """Print the rates, and the ratio in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    where = machine()
    print(in_words(where))
    found = measure(chosen.rounds, chosen.batches)
    print(report(found))
    if chosen.write:
        write_results(chosen.write, {"machine": where, **found})
    print(f"year-step {found['ratio']:.2f} x the plain network per core in fp32")


if __name__ == "__main__":
    main()
