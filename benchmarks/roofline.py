"""The year step beside the processor's limit: operations that the network needs, and the rate of one core.

    python -m benchmarks.roofline

The peak is that of fused multiply-adds on registers: chains of vectors that depend on no memory and not on each other,
enough of them to fill the pipelines, compiled as the year step is. One multiply-add counts as two operations. The
operations of the network are the multiply-adds of its matrices, with the inputs of a whole year (crop, year, soil)
multiplied once a year. Exponentials and divisions of the gates are not counted: their time is distance to the limit.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit

from benchmarks.inference import DAYS, random_inputs
from benchmarks.measuring import cpu_seconds, in_words, machine
from model.arrays import HIDDEN
from model.checkpoint import Checkpoint
from model.shipped import checkpoint_file
from model.year_step.layers import gru_step, head, next_hidden
from model.year_step.packing import Dense, Floats, Gru, Output, Packed, pack
from model.year_step.passes import CellGroup
from model.year_step.predictor import CompiledPredictor
from model.year_step.usable import compiled
from model.year_step.vectors import Lanes, fma, load, splat, store

_CHAINS, _STEPS = 12, 20_000_000  # independent sums, and multiply-adds of each
_SGEMM_EDGE = 1024
_ROUNDS = 5


def multiply_adds(network: Packed, *, days: int = DAYS) -> int:
    """Return the multiply-adds of one cell in one year, from the shapes of the weights."""
    grus = [part for part in network if isinstance(part, Gru)]
    once = [*network.yield_layers, network.yield_, *(gru.static for gru in grus)]
    return days * (_of_grus(network) + _of_attention(network) + _of_outputs(network)) + _weights(*once)


def _of_grus(network: Packed) -> int:
    """Return the multiply-adds of the six layers of GRU on one day."""
    return _weights(*(part for part in network if isinstance(part, Gru)))


def _of_attention(network: Packed) -> int:
    """Return the multiply-adds of the score of one day, and of adding its hidden units with this weight."""
    return _weights(*network.attention, network.score) + HIDDEN


def _of_outputs(network: Packed) -> int:
    return _weights(network.ra, network.rh, network.nee)


def _weights(*layers: Dense | Output | Gru) -> int:
    return sum(layer.weights.size for layer in layers)


@njit
def _chains(lanes: Any, start_KV: Floats, steps: int) -> None:
    """Run twelve chains of multiply-adds."""
    a, b = splat(lanes, np.float32(0.5)), splat(lanes, np.float32(1.0))
    x0, x1 = load(lanes, start_KV, 0), load(lanes, start_KV, 1)
    x2, x3 = load(lanes, start_KV, 2), load(lanes, start_KV, 3)
    x4, x5 = load(lanes, start_KV, 4), load(lanes, start_KV, 5)
    x6, x7 = load(lanes, start_KV, 6), load(lanes, start_KV, 7)
    x8, x9 = load(lanes, start_KV, 8), load(lanes, start_KV, 9)
    x10, x11 = load(lanes, start_KV, 10), load(lanes, start_KV, 11)
    for _ in range(steps):
        x0, x1, x2, x3 = fma(x0, a, b), fma(x1, a, b), fma(x2, a, b), fma(x3, a, b)
        x4, x5, x6, x7 = fma(x4, a, b), fma(x5, a, b), fma(x6, a, b), fma(x7, a, b)
        x8, x9, x10, x11 = fma(x8, a, b), fma(x9, a, b), fma(x10, a, b), fma(x11, a, b)
    total = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10 + x11
    store(lanes, start_KV, 0, total)  # or the compiler would leave the chains out


@njit
def _grus(lanes: Any, network: Packed, group: CellGroup) -> None:
    """Run the six layers of GRU over the days of a year, as the two passes do."""
    start, days = group.start_LGV, group.days_TRV
    for t in range(days.shape[0]):
        day, before, after = days[t], group.states_2LHV[t % 2], group.states_2LHV[1 - t % 2]
        gru_step(lanes, network.basis_0, start[0], day[2:10], before[0], after[0])
        gru_step(lanes, network.basis_1, start[1], after[0], before[1], after[1])
        gru_step(lanes, network.ra_gru, start[2], day[2:74], before[2], after[2])
        gru_step(lanes, network.rh_0, start[3], day[2:75], before[3], after[3])
        gru_step(lanes, network.rh_1, start[4], after[3], before[4], after[4])
        gru_step(lanes, network.nee_gru, start[5], day[:10], before[5], after[5])


@njit
def _gates(lanes: Any, group: CellGroup) -> None:
    """Run the gates of the six layers alone, from numbers that are ready."""
    for t in range(group.days_TRV.shape[0]):
        before_LHV, after_LHV = group.states_2LHV[t % 2], group.states_2LHV[1 - t % 2]
        for layer in range(before_LHV.shape[0]):
            before, after, start = before_LHV[layer], after_LHV[layer], group.start_LGV[layer]
            for i in range(before.shape[0]):
                r, z, n = load(lanes, start, i), load(lanes, start, 64 + i), load(lanes, start, 128 + i)
                store(lanes, after, i, next_hidden(lanes, load(lanes, before, i), r, z, n, n))


@njit
def _attention(lanes: Any, network: Packed, group: CellGroup) -> None:
    """Score the hidden units of every day."""
    for t in range(group.days_TRV.shape[0]):
        score = head(lanes, network.attention, network.score, group.days_TRV[t][10:74], group.scratch_2HV)
        store(lanes, group.fluxes_3TV[0], t, score)


@dataclass(frozen=True)
class Part:
    """A part of the year step: its share of the time, and its operations for a cell-year if it was timed alone."""

    share: float
    operations: int | None = None


@dataclass(frozen=True)
class Roofline:
    """Rates of one core and times of a year of one vector of cells.

    Attributes
    ----------
    peak
        1e9 operations per CPU-second of multiply-adds on registers.
    sgemm
        The same of a product of two large matrices, by library.
    operations
        Operations that the network needs for a cell-year.
    rate
        Cell-years per CPU-second of the year step.
    parts
        Parts of the year step.
    """

    peak: float
    sgemm: dict[str, float]
    operations: int
    rate: float
    parts: dict[str, Part]

    @property
    def limit(self) -> float:
        """Cell-years per CPU-second at the peak."""
        return self.peak * 1e9 / self.operations

    @property
    def shares_of_peak(self) -> dict[str, float]:
        """Shares of the peak at which the parts run that have operations."""
        return {
            name: part.operations * self.rate / part.share / self.peak * 1e-9
            for name, part in self.parts.items()
            if part.operations
        }

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "peak_gflop_per_cpu_second": round(self.peak, 1),
            "sgemm_gflop_per_cpu_second": {name: round(rate, 1) for name, rate in self.sgemm.items()},
            "operations_per_cell_year": self.operations,
            "limit_cell_years_per_cpu_second": round(self.limit, 1),
            "year_step_cell_years_per_cpu_second": round(self.rate, 1),
            "share_of_year_step": {name: round(part.share, 3) for name, part in self.parts.items()},
            "share_of_peak": {name: round(share, 3) for name, share in self.shares_of_peak.items()},
        }


def measure() -> Roofline:
    """Return the rates of this machine, medians of five rounds."""
    checkpoint, lanes = Checkpoint.load(checkpoint_file()), compiled().lanes
    network = pack(checkpoint.networks()[0])
    operations = 2 * multiply_adds(network)
    inputs, step = random_inputs(lanes), CompiledPredictor(checkpoint, lanes=lanes)
    year = _median(lambda: step.year(inputs), 4)
    parts = _parts(network, lanes, year)
    return Roofline(_peak(lanes // 2), _sgemm(), operations, lanes / year, parts)


def _parts(network: Packed, lanes: int, year: float) -> dict[str, Part]:
    """Return the parts of a year step that takes `year` seconds for a vector of cells."""
    vector, group = Lanes(lanes), CellGroup.empty(DAYS, lanes)
    for array in group:
        array[...] = 0.1
    gates = _median(lambda: _gates(vector, group), 4)
    grus = _median(lambda: _grus(vector, network, group), 4)
    attention = _median(lambda: _attention(vector, network, group), 4)
    return {
        "matrices of the GRUs": Part((grus - gates) / year, 2 * DAYS * _of_grus(network)),
        "gates of the GRUs: exponentials, divisions": Part(gates / year),
        "attention": Part(attention / year, 2 * DAYS * _of_attention(network)),
        "rest: outputs, inputs of a year, copies": Part(1 - (grus + attention) / year),
    }


def _peak(lanes: int) -> float:
    """Return the rate of multiply-adds on registers; `lanes` numbers are one register."""
    vector, start = Lanes(lanes), np.zeros((_CHAINS, lanes), np.float32)
    return 2e-9 * _CHAINS * lanes * _STEPS / _median(lambda: _chains(vector, start, _STEPS), 1)


def _sgemm() -> dict[str, float]:
    a, b = torch.rand(2, _SGEMM_EDGE, _SGEMM_EDGE).unbind()
    products = {"PyTorch": lambda: torch.mm(a, b), "NumPy": lambda: a.numpy() @ b.numpy()}
    return {name: 2e-9 * _SGEMM_EDGE**3 / _median(product, 4) for name, product in products.items()}


def _median(function: Callable[[], object], repeats: int) -> float:
    """Return the median CPU seconds of a call, after one that is not timed."""
    function()
    rounds = [cpu_seconds(lambda: [function() for _ in range(repeats)]) / repeats for _ in range(_ROUNDS)]
    return statistics.median(rounds)


def report(found: Roofline) -> str:
    """Return the table."""
    rates = {"multiply-adds on registers (the peak)": found.peak}
    rates |= {f"sgemm, {name}": rate for name, rate in found.sgemm.items()}
    rates |= {"year step": found.rate * found.operations * 1e-9}
    lines = [f"{'one core':44} GFLOP per CPU-second"]
    lines += [f"  {name:42} {rate:8.1f} {rate / found.peak:7.1%} of the peak" for name, rate in rates.items()]
    lines.append(f"{'parts of the year step':44} of its time    rate")
    for name, part in found.parts.items():
        of_peak = f"{found.shares_of_peak[name]:7.1%} of the peak" if name in found.shares_of_peak else ""
        lines.append(f"  {name:42} {part.share:12.1%} {of_peak}")
    lines.append(
        f"{found.operations / 1e6:.1f} M operations per cell-year: limit {found.limit:.0f} cell-years per CPU-second, "
        f"year step {found.rate:.0f} ({found.rate / found.limit:.0%})"
    )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print(in_words(machine()))
    print(report(measure()))


if __name__ == "__main__":
    main()
