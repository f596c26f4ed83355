"""Cell-years per second of batched inference, compared with one forward call per cell in the same run.

    python benchmarks/inference.py [--cells 256] [--batches 32 128 512] [--repeats 3]

The baseline is that of a notebook: the network is called for one cell at a time. Both run on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.features import PUBLISHED_FEATURE_SCALERS
from model.inference import Predictor
from model.shipped import checkpoint_file

DAYS = 365
BASELINE_CELLS = 16


def random_inputs(cells: int, *, year: int = 2012, days: int = DAYS) -> YearInputs:
    """Return inputs drawn from the published means and standard deviations."""
    rng = np.random.default_rng(0)
    means, stds = np.array(PUBLISHED_FEATURE_SCALERS).T

    def draw(index: slice, *shape: int) -> np.ndarray:
        broadcast = (slice(None), *[None] * (len(shape) - 1))
        return (means[index][broadcast] + stds[index][broadcast] * rng.normal(size=shape)).astype(np.float32)

    return YearInputs(
        year=year,
        climate_7TC=draw(slice(0, 7), 7, days, 4),
        climate_of_N=rng.integers(0, 4, cells),
        gpp_TN=np.abs(draw(slice(8, 9), 1, days, cells))[0],
        crop_N=rng.choice([1, 5], cells).astype(np.uint8),
        soil_9N=draw(slice(10, 19), 9, cells),
    )


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of a call."""
    function()  # a first call that is not timed
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Print one row per batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = Checkpoint.load(checkpoint_file())
    one_by_one = Predictor(checkpoint, device=chosen.device, batch_cells=1)
    few = random_inputs(BASELINE_CELLS)
    baseline = BASELINE_CELLS / seconds(lambda: one_by_one.year(few), chosen.repeats)
    print(f"1 cell per call: {baseline:8.1f} cell-years/s (baseline)")
    inputs = random_inputs(chosen.cells)
    for batch in chosen.batches:
        predictor = Predictor(checkpoint, device=chosen.device, batch_cells=batch)
        rate = chosen.cells / seconds(lambda predictor=predictor: predictor.year(inputs), chosen.repeats)  # type: ignore[misc]
        print(f"{batch:4d} cells per call: {rate:8.1f} cell-years/s, {rate / baseline:5.1f} times the baseline")


if __name__ == "__main__":
    main()
