"""The contract of executors, and the serial one: one function over many frozen items.

Items are drawn lazily and only a few of them are in flight, so that neither a scheduler nor memory grows with the
region. Each item ends with exactly one outcome, in the order in which items end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from icechunk import IcechunkError

from pipeline.cluster.stop import Stop
from pipeline.errors import UserError
from pipeline.storage.commit import out_of_storage
from pipeline.storage.retry import describe, is_fatal

Item = TypeVar("Item")
Result = TypeVar("Result")

# These end one item and not the run: a bad input, a storage error. Any other error is a bug, and must be seen.
ITEM_ERRORS = (UserError, OSError, MemoryError, IcechunkError)


def do_nothing() -> None:
    """Ignore the wait."""


@dataclass(frozen=True)
class Attempt(Generic[Result]):
    """A result or an error, never both; without the item, which need not travel back from a worker.

    Attributes
    ----------
    result
        Return value of the function; None if it failed.
    error
        Message of the error that ended the item; None if it succeeded.
    fatal
        Whether other items would meet the same error, such as a full disk.
    """

    result: Result | None = None
    error: str | None = None
    fatal: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome(Attempt[Result], Generic[Item, Result]):
    """The end of one item, with the item as it was drawn."""

    item: Item


class Executor(Protocol):
    """A place where work is done, until a stop is requested."""

    stop: Stop
    """The request to end the work early."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        on_wait: Callable[[], None] = do_nothing,
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield the outcome of every item, in the order in which they end.

        Once a stop is requested, no further item is begun, and only outcomes of items that still end are yielded.

        Parameters
        ----------
        function
            Work on one item; a module-level function or a partial of one, since it may travel to other processes.
        items
            Frozen values, drawn one by one as there is room for them.
        on_wait
            Called about twice a second while no item ends, in the caller's thread. An executor that is busy with an
            item itself, such as `Serial`, cannot call it.
        """
        ...


class Serial:
    """One item after the other in this process: for debugging and tests."""

    def __init__(self, stop: Stop | None = None) -> None:
        self.stop = stop or Stop()

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        on_wait: Callable[[], None] = do_nothing,  # noqa: ARG002
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes in the order of the items; `on_wait` is never called, since this process never waits."""
        for item in items:
            if self.stop.asked:
                return
            done = attempt(function, item)
            yield Outcome(done.result, done.error, done.fatal, item=item)


def until_fatal(outcomes: Iterable[Outcome[Item, Result]], place: str) -> Iterator[Outcome[Item, Result]]:
    """Yield outcomes until one ends in an error that all others would meet, too.

    Raises
    ------
    UserError
        If the store at `place` is full or read-only: the work ends, and the message names the remedy.
    """
    for outcome in outcomes:
        if outcome.fatal:
            raise UserError(out_of_storage(place, outcome.error or "unknown error"))
        yield outcome


def attempt(function: Callable[[Item], Result], item: Item) -> Attempt[Result]:
    """Return the result of one item, or the message of the error that ended it."""
    try:
        return Attempt(result=function(item))
    except ITEM_ERRORS as error:
        # Only the message leaves this process: not every exception survives pickling.
        message = str(error) if isinstance(error, UserError) else describe(error)
        return Attempt(error=message, fatal=is_fatal(error))
