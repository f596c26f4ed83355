"""Progress and heartbeats: what long work reports to whoever runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, Self


class Progress(Protocol):
    """Reports how far a work is; called as it begins, with no step done, and after its steps."""

    def __call__(self, name: str, done: int, total: int, failed: int = 0, /) -> None:
        """Report the name of the work, and the numbers of its steps that have ended, of all, and that failed."""


def silent(_name: str, _done: int, _total: int, _failed: int = 0, /) -> None:
    """Report nothing."""


@dataclass
class Work:
    """Work of many steps: how many have ended and failed, and the times [s] of its begin and of its last report."""

    name: str
    began: float
    done: int = 0
    total: int = 0
    failed: int = 0
    reported: float = 0.0

    def report(self, done: int, total: int, failed: int, *, now: float) -> None:
        """Take in a report."""
        self.done, self.total, self.failed, self.reported = done, total, failed, now

    @property
    def ended(self) -> bool:
        """Whether no step is left."""
        return self.done >= self.total

    @property
    def rate(self) -> float:
        """Steps per second from the begin to the last report; 0 before the first step is done."""
        return self.done / (self.reported - self.began) if self.done and self.reported > self.began else 0.0

    def pace(self, now: float) -> str:
        """Return rate, remaining time and failures in words.

        Examples
        --------
        >>> work = Work("tile-years", began=0.0)
        >>> work.report(6, 30, 1, now=120.0)
        >>> work.pace(now=150.0)
        '3.0/min, 7 min 30 s remaining, 1 failed'
        """
        parts = [_rate(self.rate)] if self.rate else []
        if self.rate and not self.ended:
            left = (self.total - self.done) / self.rate - (now - self.reported)
            parts.append(f"{duration(max(left, 0))} remaining")
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else [])])

    def sentence(self, now: float) -> str:
        """Return name, steps and pace.

        Examples
        --------
        >>> work = Work("tile-years", began=0.0)
        >>> work.report(30, 30, 0, now=3600.0)
        >>> work.sentence(now=3600.0)
        'tile-years: 30 of 30, 30.0/h'
        """
        pace = self.pace(now)
        return f"{self.name}: {self.done:,} of {self.total:,}" + (f", {pace}" if pace else "")


def _rate(per_second: float) -> str:
    """Return a rate in the unit in which it is at least 1, or else per hour."""
    seconds, unit = next(((s, u) for s, u in ((1, "s"), (60, "min")) if per_second * s >= 1), (3600, "h"))
    return f"{per_second * seconds:,.1f}/{unit}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    Examples
    --------
    >>> duration(42.4), duration(431), duration(11_520)
    ('42 s', '7 min 11 s', '3 h 12 min')
    """
    hours, minutes, rest = int(seconds // 3600), int(seconds % 3600 // 60), int(seconds % 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Works:
    """The works of a command, and a line on all of them every `seconds`, whether or not a step has ended meanwhile.

    Parameters
    ----------
    write
        Writes a line; called from a thread of its own, and once at the end.
    seconds
        Time between two lines.
    """

    def __init__(self, write: Callable[[str], None], *, seconds: float) -> None:
        self._write, self._seconds = write, seconds
        self._works: dict[str, Work] = {}
        self._said: set[str] = set()  # works of which a line has named the end
        self._turn, self._ended, self._began = threading.Lock(), threading.Event(), time.monotonic()
        self._thread = threading.Thread(target=self._write_on, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if line := self._line():
            self._write(line)

    def report(self, name: str, done: int, total: int, failed: int = 0, /) -> Work:
        """Take in a report; see `Progress`."""
        with self._turn:
            now = time.monotonic()
            # A work that was not reported as it began has begun when the one before ended, or with the command.
            before = max((work.reported for work in self._works.values() if work.ended), default=self._began)
            if name not in self._works or done < self._works[name].done:  # fewer: the same work on something else
                self._works[name] = Work(name, before if done else now)
                self._said.discard(name)
            self._works[name].report(done, total, failed, now=now)
            return self._works[name]

    def _write_on(self) -> None:
        while not self._ended.wait(self._seconds):
            self._write(
                self._line() or f"{duration(time.monotonic() - self._began)} since the start, no new step ended"
            )

    def _line(self) -> str:
        """Return a line on the works that have not ended, or ended since the last line."""
        with self._turn:
            shown = [work for work in self._works.values() if work.name not in self._said]
            self._said |= {work.name for work in shown if work.ended}
            return "; ".join(work.sentence(time.monotonic()) for work in shown)


@dataclass
class _Listener:
    """A function that is called at heartbeats, at most once in `seconds`."""

    call: Callable[[], None]
    seconds: float
    called: float = float("-inf")


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def heartbeat() -> None:
    """Report that the work makes progress; without a listener, nothing happens."""
    listener, now = _listener.get(), time.monotonic()
    if listener and now - listener.called >= listener.seconds:
        listener.called = now
        listener.call()


@contextmanager
def on_heartbeat(call: Callable[[], None], *, seconds: float = 0.0) -> Iterator[None]:
    """Have `call` called at the heartbeats of the work in the block, at most once in `seconds`."""
    token = _listener.set(_Listener(call, seconds))
    try:
        yield
    finally:
        _listener.reset(token)
