"""The order of a block's work: year by year, or the next year read and the last one written while one is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Protocol, TypeVar

Year = TypeVar("Year")
Read = TypeVar("Read")


class Stages(Protocol):
    """Reading before, and writing after, the computation of each year."""

    def ahead(self, read: Callable[[Year], Read], years: Sequence[Year]) -> Iterator[Read]:
        """Yield what `read` returns for each year, in order."""

    def behind(self, write: Callable[[], None]) -> None:
        """Call `write`, which raises here or later; writes are called one after the other."""


class InTurn:
    """Everything is done when it is asked for: at no time is more than one year in memory."""

    def ahead(self, read: Callable[[Year], Read], years: Sequence[Year]) -> Iterator[Read]:
        """Read each year when it is taken."""
        return map(read, years)

    def behind(self, write: Callable[[], None]) -> None:
        """Write now."""
        write()


class Overlapped:
    """While a year is computed, the next one is read and the one before is written, each in a thread of its own.

    Heartbeats of both reach the listener of the thread that computes.
    """

    def __init__(self, reader: ThreadPoolExecutor, writer: ThreadPoolExecutor) -> None:
        self._reader, self._writer = reader, writer
        self._writing: Future[None] | None = None

    def ahead(self, read: Callable[[Year], Read], years: Sequence[Year]) -> Iterator[Read]:
        """Read one year ahead."""
        # A year that was taken is no longer referred to from here, so that its memory can be freed.
        futures = deque(self._reader.submit(copy_context().run, read, year) for year in years[:1])
        for year in years[1:]:
            futures.append(self._reader.submit(copy_context().run, read, year))
            yield futures.popleft().result()
        if futures:
            yield futures.popleft().result()

    def behind(self, write: Callable[[], None]) -> None:
        """Write in the background as soon as the year before is written."""
        self.finish()
        self._writing = self._writer.submit(copy_context().run, write)

    def finish(self) -> None:
        """Wait for the last write, and raise its error."""
        if self._writing:
            self._writing.result()
            self._writing = None


@contextmanager
def stages(*, overlapped: bool) -> Iterator[Stages]:
    """Yield the stages of a block; at the end all is written, and after an error no thread is at work.

    Overlap holds three years in memory instead of one: it is for workers that wait for a CUDA device.
    """
    if not overlapped:
        yield InTurn()
        return
    with ThreadPoolExecutor(1, "reader") as reader, ThreadPoolExecutor(1, "writer") as writer:
        both = Overlapped(reader, writer)
        yield both
        both.finish()
