"""The memory of a worker of an aggregation: projected before anything is read, and compared with its limit.

A worker holds the sums of one tile at its cells and on the cells of 0.0025 degree, and those of the blocks of half a
degree that the tile meets, of the year and of its months. Each has the fluxes of every member of an ensemble. A test
compares the projection with what the arrays take.
"""

from __future__ import annotations

from model.arrays import MONTHS
from pipeline.aggregate.months import count_layers
from pipeline.aggregate.sums import AREA_TYPES
from pipeline.cluster.memory import fits, limit_for, mebibytes
from pipeline.errors import UserError
from pipeline.grid.latlon import BANDS_PER_DEGREE
from pipeline.variables import FLUXES

_PROCESS = 500 * 2**20  # bytes of a worker beside its work, as of one that runs
_ARRAYS = 40 * 2**20  # bytes of the overlaps of a tile's cells with all targets, and of the maps of a band
_REAL, _SINGLE = 8, 4
_FINE_ROWS = 200  # cells of 0.0025 degree on the side of a block


def worker_bytes(edge: int, cells: int, *, members: int) -> int:
    """Return the bytes of a worker that aggregates tiles of `edge` x `edge` cells, `cells` of them modelled at most."""
    layers = len(AREA_TYPES) * (2 + len(FLUXES) * (1 + members))
    # A tile is slanted by up to its height and has cells that are longer in longitude: at most three times as many of
    # 0.0025 degree. It meets as many blocks of a band as it has half degrees, and one more at each side.
    fine = 3 * (edge * _FINE_ROWS * 2 / BANDS_PER_DEGREE) ** 2
    blocks = (2.2 + 3 * 2 * edge / BANDS_PER_DEGREE) * _FINE_ROWS**2 * max(1.0, 2 * edge / BANDS_PER_DEGREE)
    at_cells = cells * (layers + 3 * len(FLUXES) * members)  # the sums; what they are made of
    # In single precision. The deviation over the members of a block takes two more arrays of its size.
    months = MONTHS * count_layers(members) * (blocks + 2 * _FINE_ROWS**2) * _SINGLE
    return int(_PROCESS + _ARRAYS + _REAL * (at_cells + layers * (fine + blocks)) + months)


def check(edge: int, cells: int, *, members: int, limit: int | None) -> None:
    """Raise `UserError` if a worker with a memory limit (None: unknown) cannot hold the sums of all members."""
    needed = worker_bytes(edge, cells, members=members)
    if not fits(needed, limit):
        assert limit is not None
        raise UserError(
            f"aggregating {members} members on tiles of {edge} x {edge} cells, {cells:,} of them modelled, needs "
            f"{limit_for(needed)} of a worker's memory, whose limit is {mebibytes(limit)}; set execution.memory_limit "
            f"to {limit_for(needed)!r} or more, with no more workers than the machine can hold"
        )
