"""Run one function over many frozen items: in this process, or on a Dask cluster. The only module that knows Dask's.

Items are drawn lazily and at most a window of them is in flight, so that neither the scheduler nor memory grows with
the region. Results come back in the order in which they end, each once: what a worker sends that was given up is not
heard any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from icechunk import IcechunkError

from pipeline.cluster.stop import Stop
from pipeline.errors import UserError
from pipeline.storage.retry import describe, is_fatal

Item = TypeVar("Item")
Result = TypeVar("Result")

# What ends one item and not the run: a bad input, a storage error. Anything else is a fault of ours and must be seen.
ITEM_ERRORS = (UserError, OSError, MemoryError, IcechunkError)


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a result, or the error that ended it, which other items may meet as well (`fatal`)."""

    item: Item
    result: Result | None = None
    error: str | None = None
    fatal: bool = False


class Executor(Protocol):
    """Where work is done, until `stop` is asked."""

    @property
    def stop(self) -> Stop:
        """What ends the work early."""
        ...

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield an outcome, in any order, for every item or, once it is asked to stop, for those it has finished."""
        ...


class Serial:
    """All in this process, one after the other: for debugging and tests."""

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop or Stop()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes in the order of the items."""
        for item in items:
            if self.stop.asked:
                return
            done = attempt(function, item)
            yield Outcome(item, done.result, done.error, done.fatal)


@dataclass(frozen=True)
class Attempt(Generic[Result]):
    """An outcome without its item, which need not travel back."""

    result: Result | None = None
    error: str | None = None
    fatal: bool = False


def attempt(function: Callable[[Item], Result], item: Item) -> Attempt[Result]:
    """Do one item; its error is caught where it arises, since what caused it may not travel between processes."""
    try:
        return Attempt(result=function(item))
    except ITEM_ERRORS as error:
        message = str(error) if isinstance(error, UserError) else describe(error)
        return Attempt(error=message, fatal=is_fatal(error))
