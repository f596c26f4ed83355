"""The memory limit of workers: the share of it that they can use, and sizes as run files write them."""

from __future__ import annotations

USABLE = 0.95  # share of its limit above which Dask's nanny kills a worker (distributed.worker.memory.terminate)


def mebibytes(count: int) -> str:
    """Return a number of bytes as written in a run file, such as "512MiB"."""
    return f"{count // 2**20}MiB"


def fits(needed: int, limit: int | None) -> bool:
    """Return whether a worker with a limit (None: unknown) can hold so many bytes."""
    return limit is None or needed <= USABLE * limit


def limit_for(needed: int) -> str:
    """Return the smallest limit, as written in a run file, of a worker that can hold so many bytes."""
    return mebibytes(int(needed / USABLE) + 2**20)
