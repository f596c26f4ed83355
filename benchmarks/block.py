"""A run by phase, in CPU time: where the time of a block goes beside the network, and the bytes of what it stores.

    python -m benchmarks.block

Two tiles (`benchmarks.tiles`); the cube is made and run by the code of `agcarbon run`, in this process. The first year
begins with the spin-up; the phases are those of the second run, which continues for two years from the stored state, so
that every year is stored: a year of the spin-up would only raise the network's share.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import pipeline.run.block
import pipeline.run.coordinator
import pipeline.simulate.tile_year
from benchmarks.measuring import Phases, in_words, machine
from benchmarks.tiles import Subject, demo_tile, large_tile
from model.year_step.predictor import CompiledPredictor
from model.year_step.usable import compiled
from pipeline.cluster.executor import Serial
from pipeline.cluster.workers import keep_freed_memory
from pipeline.cube import layout, restarts
from pipeline.cube.entry import Row
from pipeline.cube.layout import StoredYear
from pipeline.run.plan import Choice
from pipeline.run.run import run
from pipeline.storage import repository
from pipeline.storage.cf import days_in_year
from pipeline.variables import DAILY

SPUN_UP, MEASURED = (2010,), (2011, 2012)
NETWORK, WRITE, BESIDE = "network", "encode and write results", "beside blocks: plan, ledger, commits"
_BLOCK, _SIMULATE = pipeline.run.block, pipeline.simulate.tile_year
_RUN_BLOCK = "rest of the block"
PLACES: dict[str, tuple[tuple[Any, str], ...]] = {
    _RUN_BLOCK: ((pipeline.run.coordinator, "run_blocks"),),
    "read inputs, decode": ((repository, "part"), (_BLOCK, "open_inputs")),
    "read mask and state": ((layout, "read_mask"), (restarts, "read_restart")),
    "gather and prepare": ((_BLOCK, "gather"), (_BLOCK, "simulate")),
    NETWORK: ((CompiledPredictor, "year"),),
    "sums and quality": ((_SIMULATE, "annual_sums"), (_SIMULATE, "quality"), (_BLOCK, "_daily_residual"), (Row, "of")),
    "round and checksum": ((StoredYear, "of"), (StoredYear, "checksum")),
    WRITE: ((layout, "write_tile_year"),),
    "encode and write the state": ((restarts, "write_restart"),),
}


@dataclass(frozen=True)
class Measured:
    """CPU seconds of a run by phase, and the bytes of the daily fluxes that it stored."""

    subject: Subject
    seconds: dict[str, float]
    daily_bytes: int

    @property
    def block(self) -> float:
        """CPU seconds of the block."""
        return sum(seconds for phase, seconds in self.seconds.items() if phase != BESIDE)

    @property
    def run(self) -> float:
        """CPU seconds of the run, with its plan, ledger and commits."""
        return sum(self.seconds.values())

    @property
    def efficiency(self) -> float:
        """Network's share of the block's CPU time, E."""
        return self.seconds[NETWORK] / self.block

    @property
    def bytes_per_cell_day(self) -> float:
        """Bytes of the three daily fluxes for each modelled cell and day, as stored, B."""
        return self.daily_bytes / self.subject.cells / sum(map(days_in_year, MEASURED))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "cells": self.subject.cells,
            "years": list(MEASURED),
            "cpu_seconds": {phase: round(self.seconds.get(phase, 0.0), 3) for phase in (*PLACES, BESIDE)},
            "network_share_of_block": round(self.efficiency, 3),
            "bytes_per_modelled_cell_day": round(self.bytes_per_cell_day, 2),
        }


def spin_up(subject: Subject) -> None:
    """Run the first year, which the spin-up comes before."""
    _run(subject, SPUN_UP)


def measure(subject: Subject) -> Measured:
    """Run the measured years from the state at the end of the first, twice: the first time takes fresh memory."""
    _run(subject, MEASURED)
    phases = Phases()
    with phases.watching(PLACES), phases.phase(BESIDE):
        _run(subject, MEASURED)
    return Measured(subject, dict(phases.seconds), _daily_bytes(subject))


def _run(subject: Subject, years: Sequence[int]) -> None:
    report = run(subject.job, Serial(), years=years, choice=Choice(redo=frozenset([subject.tile.name])))
    assert not report.failures, report.failures
    assert report.totals.tile_years == len(years)


def _daily_bytes(subject: Subject) -> int:
    root = repository.read(subject.job.open_cube())
    arrays = [repository.array(root, f"daily/{year}/{flux.name}") for year in MEASURED for flux in DAILY]
    return sum(array.nbytes_stored() for array in arrays)


def report(measured: Measured) -> str:
    """Return the phases as lines."""
    subject, block = measured.subject, measured.block
    lines = [f"{subject.name}: {subject.cells} modelled cells, block of {MEASURED[0]}-{MEASURED[-1]}, CPU seconds"]
    for phase in (*PLACES, BESIDE):
        seconds = measured.seconds.get(phase, 0.0)
        share = f"{seconds / block:6.1%} of the block" if phase != BESIDE else ""
        lines.append(f"  {phase:40} {seconds:8.3f} {share}")
    lines.append(f"  E = {measured.efficiency:.3f}, B = {measured.bytes_per_cell_day:.2f} bytes per modelled cell-day")
    return "\n".join(lines)


def main() -> None:
    """Print the phases of both tiles."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    compiled()
    print(in_words(machine()))
    with tempfile.TemporaryDirectory() as folder:
        demo = demo_tile(Path(folder))
        for subject in (demo, large_tile(Path(folder) / "large", demo.job)):
            spin_up(subject)
            print(report(measure(subject)))


if __name__ == "__main__":
    main()
