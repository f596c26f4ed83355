"""The memory of a worker: projected before anything runs, and compared with its limit.

A worker computes one block at a time, or on a CUDA device those of a group of tiles, year by year, so that neither the
size of the region nor the number of years matters. Memory depends on the tiles: their modelled cells, and the state
that each of them carries. `benchmarks/memory.py`
measures real workers beside this projection, and a test keeps the ratio of the two between 1 and 1.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from model.arrays import HIDDEN, LEAP_DAYS, MONTHS, STATE_LAYERS
from model.device.slots import slots_bytes
from model.features import FEATURES
from pipeline.cluster.memory import fits, limit_for, mebibytes
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS
from pipeline.inputs.layout import READ
from pipeline.inputs.view import KEPT_YEARS
from pipeline.simulate.tile_year import MEMBER_FLUXES
from pipeline.variables import DAILY, FLUXES

REAL = 4  # bytes of a float32

_PROCESS = 450 * 2**20  # bytes of a worker beside its block: PyTorch, Dask, Icechunk and their buffers
_COMPILED = 80 * 2**20  # bytes of Numba, of the code that it loads, and of the arrays of a vector of cells
_DEVICE_CONTEXT = 2**30  # bytes of a CUDA device beside the batch: context, cuDNN, weights; assumed, not measured


@dataclass(frozen=True)
class BlockSize:
    """The quantities that the memory of a block depends on.

    Attributes
    ----------
    edge
        Cells along the edge of a tile.
    cells
        Modelled cells of the tile with the most, or of the largest group of tiles.
    members
        Networks of the ensemble.
    batch_cells
        Cells of one forward pass of PyTorch; 0 if it runs on a device with its own memory, or not at all.
    compiled
        Whether the year step is the compiled one.
    device_batch
        Cells of one forward pass on a CUDA device, if the worker may use one: it then reads and writes while it
        computes. Otherwise 0.
    tiles
        Tiles of a group at most.
    draws
        Draws of GPP, each run by all networks.
    """

    edge: int
    cells: int
    members: int
    batch_cells: int
    compiled: bool = False
    device_batch: int = 0
    tiles: int = 1
    draws: int = 0

    @property
    def _state_of_a_run(self) -> int:
        """Bytes of the carried state of all modelled cells, of one network with one GPP."""
        return self.cells * STATE_LAYERS * HIDDEN * REAL

    @property
    def state_bytes(self) -> int:
        """Bytes of the carried state of all modelled cells."""
        return self.members * (1 + self.draws) * self._state_of_a_run

    @property
    def _members_bytes(self) -> int:
        """Bytes beside the states that an ensemble takes: the sums of its members, and daily arrays of draws."""
        members = self.members * max(self.draws, 1)
        if members == 1:
            return 0
        # Of each member its annual sums, in double precision, and all fluxes of its budget; three fluxes by month as
        # they come, less their mean, and rounded.
        sums = (2 * len(MEMBER_FLUXES) + len(FLUXES)) * 2 * REAL + 3 * len(DAILY) * MONTHS * REAL
        # The standard deviation and a copy, GPP of a draw, the fluxes that it gives, and the noise of four steps in
        # time and its temporaries in double precision.
        daily = (7 * LEAP_DAYS + 16 * 2) * self.cells * REAL if self.draws else 0
        return daily + self.cells * members * sums

    @property
    def worker_bytes(self) -> int:
        """Peak memory of a worker that computes such a block: the largest of its phases."""
        # A year of one daily variable, at the modelled cells and on the full tile.
        daily, daily_tile = (LEAP_DAYS * cells * REAL for cells in (self.cells, self.edge**2))
        # The factors count the arrays that are alive at the same time, in units of a full one.
        phases = (
            # `simulate`: GPP and a copy, three fluxes of the complete cells and of all; states before, during, after
            8 * daily + 3 * self.state_bytes,
            # `StoredYear.of` and the ledger row: GPP, fluxes, rounded fluxes, temporaries of the balance
            10.25 * daily + self.state_bytes,
            # `write_restart`: fluxes as before; states and their chunks, which hardly shrink when they are compressed
            # and joined; in the buffers of Icechunk some at a time, as many as one network has
            7 * daily + 5 * self.state_bytes + 4 * self._state_of_a_run,
            # `write_tile_year`: fluxes as before, one of them on the tile, its chunks compressed and joined
            7 * daily + self.state_bytes + 3 * daily_tile,
        )
        batch = batch_bytes(min(self.batch_cells, self.cells))
        block = max(*phases, self._overlapped_bytes) if self.device_batch else max(phases)
        slots = slots_bytes(self.device_batch, members=self.members)
        return int(_PROCESS + block + self._members_bytes + (_COMPILED if self.compiled else batch + slots))

    @property
    def _overlapped_bytes(self) -> float:
        """Bytes of the arrays while one year is read, one computed and one written, its fluxes rounded already."""
        daily, daily_tile = (LEAP_DAYS * cells * REAL for cells in (self.cells, self.edge**2))
        # Of a group: the GPP of its tiles before it is joined, and the soil and crop maps that are kept for them.
        read = daily_tile + daily
        if self.tiles > 1:
            read += daily + (self.tiles - 1) * self.edge**2 * REAL * (len(READ["soil"]) + 2 * KEPT_YEARS)
        # GPP, three fluxes of the complete cells and of all; states as in `simulate`
        computed = 7 * daily + 3 * self.state_bytes
        # GPP, fluxes and state; a flux on the tile, its chunks compressed and joined. The last year's state is written
        # when nothing else is at work, as without overlap.
        written = 4 * daily + self.state_bytes + 3 * daily_tile
        return read + computed + written

    def fits(self, limit: int) -> bool:
        """Return whether a worker with this memory limit can hold such a block."""
        return fits(self.worker_bytes, limit)

    def smaller_batch(self, limit: int) -> int | None:
        """Return the largest power of two of cells per forward pass with which the block fits, or None."""
        batches = (2**power for power in range(12, 3, -1) if 2**power < self.batch_cells)
        return next((batch for batch in batches if replace(self, batch_cells=batch).fits(limit)), None)

    def smaller_edge(self, limit: int) -> int | None:
        """Return the largest edge of a tile, all of it modelled, that fits, or None."""
        edges = (edge for edge in range(self.edge - 1, 0, -1) if MODIS_TILE_CELLS % edge == 0)
        tiles = (replace(self, edge=edge, cells=min(edge**2, self.cells)) for edge in edges)
        return next((tile.edge for tile in tiles if tile.fits(limit)), None)


def batch_bytes(cells: int) -> int:
    """Return the bytes of a forward pass of PyTorch over a leap year."""
    # Features and copies, sequences of hidden states, gates of a layer on all days.
    return cells * LEAP_DAYS * (4 * len(FEATURES) + 11 * HIDDEN) * REAL


def device_bytes(batch_cells: int, *, members: int = 1) -> int:
    """Return the projected peak memory of a worker on a CUDA device: a forward pass, as on a CPU, slots and context.

    The members of an ensemble run one after the other. The projection has not been compared with a GPU's peak.
    """
    return _DEVICE_CONTEXT + batch_bytes(batch_cells) + slots_bytes(batch_cells, members=members)


def check_device(batch_cells: int, available: int, *, members: int = 1) -> None:
    """Raise `UserError` if a CUDA device with so many bytes available cannot hold a batch, with one that it can."""
    needed = device_bytes(batch_cells, members=members)
    if needed <= available:
        return
    fitting = (available - _DEVICE_CONTEXT) // (device_bytes(1, members=members) - _DEVICE_CONTEXT)
    remedy = (
        f"set execution.batch_cells to {2 ** int(math.log2(fitting))} or less"
        if fitting >= 1
        else "free its memory, or set execution.device to 'cpu'"
    )
    raise UserError(
        f"batches of {batch_cells:,} cells need {mebibytes(needed)} of a CUDA device's memory "
        f"(projected), and {mebibytes(available)} are available; {remedy}"
    )


def check(size: BlockSize, limit: int | None) -> None:
    """Refuse a block that a worker cannot hold, with the settings that would fit.

    Parameters
    ----------
    size
        Size of the largest block to be run.
    limit
        Memory limit of a worker in bytes; None if it is unknown, and then nothing is refused.

    Raises
    ------
    UserError
        If the block needs more than the limit.
    """
    if limit is None or not size.cells or size.fits(limit):
        return
    needed = limit_for(size.worker_bytes)
    batch, edge = size.smaller_batch(limit), size.smaller_edge(limit)
    remedies = [f"set execution.memory_limit to {needed!r} or more, with no more workers than the machine can hold"]
    if edge:
        remedies.append(f"give the region tile_cells = {edge} or less, with a new cube (a cube keeps its tiles)")
    if batch:
        remedies.insert(0, f"set execution.batch_cells to {batch} or less")
    raise UserError(
        f"tiles of {size.edge} x {size.edge} cells, {size.cells:,} of them modelled, need {needed} of a "
        f"worker's memory, whose limit is {mebibytes(limit)}; {', or '.join(remedies)}"
    )
