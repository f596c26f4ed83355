"""CPU time of `agcarbon demo` with the compiled year step and with PyTorch's, in pairs.

    python -m benchmarks.demo [--pairs 3]

Each demo is a process of its own in a new folder, one after the other, and its time that of the process and all its
workers (`resource.getrusage`): archives, ingest, run, aggregates and exports. The year step is compiled before.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline import config
from pipeline.config import ModelSettings, RunFile


def demo_seconds(year_step: str) -> float:
    """Return the CPU time of one demo and its children."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ModelSettings(year_step=year_step)  # type: ignore[arg-type]
        (Path(folder) / "run.toml").write_text(config.dump(RunFile(region="demo", model=settings)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "pipeline.cli", "demo", "--folder", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the pairs, and the median of their ratios in the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()
    compiled()
    ratios = []
    for _ in range(chosen.pairs):
        seconds = {year_step: demo_seconds(year_step) for year_step in (NUMBA, PYTORCH)}
        ratios.append(seconds[NUMBA] / seconds[PYTORCH])
        print(f"{NUMBA} {seconds[NUMBA]:.1f} s, {PYTORCH} {seconds[PYTORCH]:.1f} s: {ratios[-1]:.1%}", flush=True)
    print(f"demo: {statistics.median(ratios):.1%} of its CPU time with PyTorch (median of {chosen.pairs} pairs)")


if __name__ == "__main__":
    main()
