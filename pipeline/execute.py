"""Run one function over many frozen items: in this process, or on a Dask cluster. The only module that knows Dask's.

Items are drawn lazily and at most a window of them is in flight, so that neither the scheduler nor memory grows with
the region. Results come back in the order in which they end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from icechunk import IcechunkError

from pipeline.config import ExecutionSettings
from pipeline.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")

# What ends one item and not the run: a bad input, a storage error. Anything else is a fault of ours and must be seen.
ITEM_ERRORS = (UserError, OSError, MemoryError, IcechunkError)


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
            attempt = _attempt(function, item)
            yield Outcome(item, attempt.result, attempt.error)


@dataclass(frozen=True)
class _Attempt(Generic[Result]):
    """An outcome without its item, which need not travel back."""

    result: Result | None = None
    error: str | None = None


def _attempt(function: Callable[[Item], Result], item: Item) -> _Attempt[Result]:
    """Do one item; its error is caught where it arises, since what caused it may not travel between processes."""
    try:
        return _Attempt(result=function(item))
    except ITEM_ERRORS as error:
        return _Attempt(error=_describe(error))


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


class OnDask:
    """On the workers of a Dask cluster, two items in flight for each worker thread.

    Parameters
    ----------
    connect
        Returns a client; called with the first item, so that a run with nothing to do starts no cluster.
    """

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = cache(connect)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes as they end; a worker that dies has its item done again elsewhere."""
        from distributed import KilledWorker, as_completed

        waiting = iter(items)
        first = list(islice(waiting, 1))
        if not first:
            return
        client, waiting = self._connect(), chain(first, waiting)
        threads = sum(client.nthreads().values())
        in_flight = {}
        pool = as_completed()

        def submit(count: int) -> None:
            for item in islice(waiting, count):
                future = client.submit(_attempt, function, item, pure=False)
                in_flight[future] = item
                pool.add(future)

        submit(2 * threads)
        for future in pool:
            item = in_flight.pop(future)
            error = future.exception()
            if error is None:
                attempt = future.result()
                yield Outcome(item, attempt.result, attempt.error)
            elif isinstance(error, KilledWorker):
                yield Outcome(item, error=_describe(error))
            else:
                raise error.with_traceback(future.traceback())
            future.release()
            submit(1)


_MALLOC = "distributed.nanny.pre-spawn-environ.MALLOC_"
_CLUSTER = {
    # A block may keep the interpreter for seconds inside NumPy or PyTorch; that is no sign of trouble.
    "distributed.admin.tick.limit": "60s",
    # Dask has workers return every freed page at once; the network, which frees and takes megabytes at every layer,
    # then spends a third of its time in page faults.
    f"{_MALLOC}TRIM_THRESHOLD_": str(2**30),
    f"{_MALLOC}MMAP_THRESHOLD_": str(2**25),
}


@contextmanager
def open_executor(settings: ExecutionSettings) -> Iterator[Executor]:
    """Give the executor that the run file asks for, and close its cluster, if one was started, at the end."""
    with ExitStack() as stack:
        yield Serial() if settings.scheduler == "serial" else OnDask(lambda: _client(settings, stack))


def _client(settings: ExecutionSettings, stack: ExitStack) -> Client:
    import dask
    from distributed import Client, LocalCluster

    if settings.scheduler != "local":
        remote: Client = stack.enter_context(Client(settings.scheduler))
        return remote
    stack.enter_context(dask.config.set(_CLUSTER))
    cluster = LocalCluster(
        n_workers=settings.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        memory_limit=settings.memory_limit or "auto",
        dashboard_address=":8787" if settings.dashboard else ":0",
    )
    client: Client = stack.enter_context(Client(stack.enter_context(cluster)))
    return client
