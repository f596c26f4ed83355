"""The memory of a worker: projected before anything runs, and held against what it may take.

A worker does one block at a time, year by year, so that neither the size of the region nor the number of years enters.
What counts is the tile: its modelled cells, and the state that a cell carries. `benchmarks/memory.py` measures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from model.features import FEATURES
from model.inference import STATE_LAYERS
from model.network import HIDDEN
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS
from pipeline.storage.cf import LEAP_DAYS

REAL = 4  # bytes of a float32

_PROCESS = 500 * 2**20  # PyTorch, Dask, Icechunk and what they take at their first use, beside a block
_USABLE = 0.95  # of its limit, at which Dask kills a worker


@dataclass(frozen=True)
class BlockSize:
    """What the memory that a block takes depends on.

    Attributes
    ----------
    edge
        Cells along the edge of a tile.
    cells
        Modelled cells of the tile that has most.
    members
        Networks of the ensemble.
    batch_cells
        Cells of one forward pass; 0 if the device has memory of its own.
    """

    edge: int
    cells: int
    members: int
    batch_cells: int

    @property
    def state_bytes(self) -> int:
        """Bytes of the carried state of all cells."""
        return self.cells * self.members * STATE_LAYERS * HIDDEN * REAL

    @property
    def worker_bytes(self) -> int:
        """Peak memory of a worker that does such a block: the largest of what its phases hold at once."""
        day_map, day_tile = (LEAP_DAYS * cells * REAL for cells in (self.cells, self.edge**2))
        state_tile = self.state_bytes * self.edge**2 // max(self.cells, 1)
        phases = (
            # GPP, fluxes of the complete cells and of all, a copy of GPP; states before, at the end, after
            8 * day_map + 3 * self.state_bytes,
            # GPP, fluxes, rounded fluxes and the differences of their balance
            10.25 * day_map + self.state_bytes,
            # the same fluxes; the state, its copy on the tile, chunks packed and joined
            7 * day_map + 2 * self.state_bytes + 3.5 * state_tile,
            # the same fluxes, one of them on the tile, packed and joined
            7 * day_map + self.state_bytes + 3 * day_tile,
        )
        return int(_PROCESS + max(phases) + self._batch_bytes)

    @property
    def _batch_bytes(self) -> int:
        """Features and their copies, the sequences of hidden states, and the gates of all days of a layer."""
        numbers = 4 * len(FEATURES) + 11 * HIDDEN
        return min(self.batch_cells, self.cells) * LEAP_DAYS * numbers * REAL

    def fits(self, limit: int) -> bool:
        """Say whether a worker may take what such a block needs."""
        return self.worker_bytes <= _USABLE * limit

    def smaller_batch(self, limit: int) -> int | None:
        """Return the most cells of a forward pass with which the block fits, or None."""
        batches = (2**power for power in range(12, 3, -1) if 2**power < self.batch_cells)
        return next((batch for batch in batches if replace(self, batch_cells=batch).fits(limit)), None)

    def smaller_edge(self, limit: int) -> int | None:
        """Return the largest edge of a tile, all of it modelled, that fits, or None."""
        edges = (edge for edge in range(self.edge - 1, 0, -1) if MODIS_TILE_CELLS % edge == 0)
        tiles = (replace(self, edge=edge, cells=min(edge**2, self.cells)) for edge in edges)
        return next((tile.edge for tile in tiles if tile.fits(limit)), None)


def check(size: BlockSize, limit: int | None) -> None:
    """Raise `UserError` if a block needs more than a worker may take, naming what would fit.

    Parameters
    ----------
    size
        Of the largest block to be run.
    limit
        Bytes of a worker at which it is killed; None if it is not known, and nothing is refused.
    """
    if limit is None or not size.cells or size.fits(limit):
        return
    needed = int(size.worker_bytes / _USABLE) + 2**20
    batch, edge = size.smaller_batch(limit), size.smaller_edge(limit)
    remedies = [
        f"set execution.memory_limit to {mebibytes(needed)!r} or more, with as few workers as the machine then holds"
    ]
    if edge:
        remedies.append(f"give the region tile_cells = {edge} or less (a cube keeps its tiles: name a new one)")
    if batch:
        remedies.insert(0, f"set execution.batch_cells to {batch} or less")
    raise UserError(
        f"tiles of {size.edge} x {size.edge} cells, {size.cells:,} of them modelled, need {mebibytes(needed)} of a "
        f"worker, which may take {mebibytes(limit)}; {', or '.join(remedies)}"
    )


def mebibytes(count: int) -> str:
    """Return a number of bytes as the run file takes it."""
    return f"{count // 2**20}MiB"
