"""The memory of a worker of ingest: projected before anything is read, and compared with its limit.

A worker holds one row of tiles of a year of GPP, or a month of climate, at a time. Soil and crop layers are read in
windows that take less. `benchmarks/ingest.py` measures real workers beside this projection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.cluster.memory import fits, limit_for, mebibytes
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import MODIS_TILE_CELLS
from pipeline.inputs.layout import CLIMATE
from pipeline.sources.nldas2.product import Window
from pipeline.storage.cf import LEAP_DAYS

_PROCESS = 280 * 2**20  # bytes of a worker beside its work: Dask, GDAL, Icechunk and their buffers
_STORED, _REAL = 2, 4  # bytes of SLOPE's int16, and of float32
_HOURS = 32 * 24 + 2 * 24  # of a month, with those that its days in all time zones and missing hours at its ends need
_BAND = 150 * 2**20  # bytes of the hours that are reduced to days at a time


@dataclass(frozen=True)
class Step:
    """A step of an ingest, in words, and the bytes of a worker that does it."""

    name: str
    worker_bytes: int

    @classmethod
    def row(cls, edge: int, tiles: int) -> Step:
        """Return the reading of a row of tiles of a year of GPP."""
        return cls(f"a year of GPP on {tiles} tiles of {edge} x {edge} cells", gpp_bytes(edge, tiles))

    @classmethod
    def month(cls, window: Window) -> Step:
        """Return the reading of a month of climate."""
        name = f"a month of climate on {window.rows} x {window.cols} cells of NLDAS-2"
        return cls(name, climate_bytes(window))


def gpp_bytes(edge: int, tiles: int) -> int:
    """Return the bytes of a worker with a row of tiles of a year of GPP, of `edge` x `edge` cells each.

    The row is held as the files store it: in files of real numbers it takes twice as much.
    """
    tile = LEAP_DAYS * edge**2
    # A tile in its units, filled, with one value for NaN, and its chunks, compressed and joined.
    return int(_PROCESS + tile * (tiles * _STORED + 4.9 * _REAL))


def climate_bytes(window: Window) -> int:
    """Return the bytes of a worker with a month of climate: its hours, and its days before and after the checks."""
    cells = window.rows * window.cols
    return _PROCESS + _BAND + len(CLIMATE) * cells * _REAL * (_HOURS + 3 * 31)


def tiles_that_fit(edge: int, limit: int | None) -> int:
    """Return the most tiles of a row of GPP that fit into a worker with a memory limit; at least one."""
    most = MODIS_TILE_CELLS // edge
    return next((tiles for tiles in range(most, 0, -1) if fits(gpp_bytes(edge, tiles), limit)), 1)


def check(steps: Iterable[Step], limit: int | None) -> None:
    """Refuse an ingest whose largest step a worker cannot hold.

    Parameters
    ----------
    steps
        Steps of its plan.
    limit
        Memory limit of a worker in bytes; None if it is unknown, and then nothing is refused.

    Raises
    ------
    UserError
        If the step needs more than the limit, with a limit that would do.
    """
    largest = max(steps, key=lambda step: step.worker_bytes, default=None)
    if largest is None or limit is None or fits(largest.worker_bytes, limit):
        return
    raise UserError(
        f"{largest.name} needs {mebibytes(largest.worker_bytes)} of a worker's memory (projected), whose limit is "
        f"{mebibytes(limit)}; set execution.memory_limit to {limit_for(largest.worker_bytes)!r} or more, with no more "
        "execution.workers than the machine can hold"
    )
