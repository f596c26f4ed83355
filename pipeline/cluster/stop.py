"""Ending a run early and cleanly: what SIGTERM and Ctrl-C ask for.

The first signal asks: no new block is begun, and those that end within a time of grace are committed. A second one, a
moment later, drops everything at once; what is committed stays either way.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130  # of a program that was interrupted, by the shell's custom
GRACE_SECONDS = 30.0
_STDERR = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Some programs, among them `timeout`, signal the process and then its group: that is one wish and not two.
_ONE_WISH_SECONDS = 0.5


class Stop:
    """Whether the run has been asked to end, and since when."""

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._since: float | None = None

    def ask(self) -> None:
        """Ask for the end; asking again changes nothing."""
        if self._since is None:
            self._since = time.monotonic()

    @property
    def asked(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._since is not None

    @property
    def waited_seconds(self) -> float:
        """Seconds since it was asked; 0 before."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def overdue(self) -> bool:
        """Whether what is still going on is to be dropped."""
        return self.waited_seconds > self._grace_seconds


@contextmanager
def stop_on_signals(*, grace_seconds: float = GRACE_SECONDS) -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM ask; a second signal raises `SystemExit`.

    Call it in the main thread of the process.
    """
    stop = Stop(grace_seconds=grace_seconds)

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not stop.asked:
            stop.ask()
            # Not print: the signal may have come in the middle of one.
            os.write(_STDERR, b"stopping: finishing the blocks in flight; once more drops them\n")
        elif stop.waited_seconds > _ONE_WISH_SECONDS:
            raise SystemExit(EXIT_CODE)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
