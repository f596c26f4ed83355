"""Run one function over many frozen items: in this process, or on a Dask cluster. The only module that knows Dask's.

Items are drawn lazily and at most a window of them is in flight, so that neither the scheduler nor memory grows with
the region. Results come back in the order in which they end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar

from pipeline.config import ExecutionSettings
from pipeline.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

# What ends one item and not the run: a bad input, a storage error. Anything else is a fault of ours and must be seen.
ITEM_ERRORS = (UserError, OSError, MemoryError)


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that ended it."""

    item: Item
    result: Result | None = None
    error: str | None = None


class Executor(Protocol):
    """Where work is done."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield an outcome for every item, in any order."""
        ...


class Serial:
    """All in this process, one after the other: for debugging and tests."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes in the order of the items."""
        for item in items:
            try:
                yield Outcome(item, result=function(item))
            except ITEM_ERRORS as error:
                yield Outcome(item, error=_describe(error))


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


class OnDask:
    """On the workers of a Dask cluster, two items in flight for each worker thread."""

    def __init__(self, client: object) -> None:
        self._client = client

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes as they end; a worker that dies has its item done again elsewhere."""
        from distributed import KilledWorker, as_completed

        client, waiting = self._client, iter(items)
        threads = sum(client.nthreads().values())  # type: ignore[attr-defined]
        in_flight = {}
        pool = as_completed()

        def submit(count: int) -> None:
            for item in islice(waiting, count):
                future = client.submit(function, item, pure=False)  # type: ignore[attr-defined]
                in_flight[future] = item
                pool.add(future)

        submit(2 * threads)
        for future in pool:
            item = in_flight.pop(future)
            error = future.exception()
            if error is None:
                yield Outcome(item, result=future.result())
            elif isinstance(error, (*ITEM_ERRORS, KilledWorker)):
                yield Outcome(item, error=_describe(error))
            else:
                raise error.with_traceback(future.traceback())
            future.release()
            submit(1)


@contextmanager
def open_executor(settings: ExecutionSettings) -> Iterator[Executor]:
    """Give the executor that the run file asks for, and close its cluster at the end."""
    if settings.scheduler == "serial":
        yield Serial()
        return
    import dask
    from distributed import Client, LocalCluster

    with dask.config.set({"distributed.worker.daemon": True, "distributed.admin.tick.limit": "30s"}):
        if settings.scheduler != "local":
            with Client(settings.scheduler) as client:
                yield OnDask(client)
            return
        with (
            LocalCluster(
                n_workers=settings.workers or os.cpu_count() or 1,
                threads_per_worker=1,
                memory_limit=settings.memory_limit or "auto",
                dashboard_address=":0" if settings.dashboard else None,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield OnDask(client)
