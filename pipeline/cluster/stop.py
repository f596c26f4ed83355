"""Ending a run early and cleanly, on SIGTERM or Ctrl-C.

The first signal requests a stop: no new block is begun, and blocks that end within a grace period are committed. A
second signal drops all blocks in flight at once. Committed results stay either way.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130  # 128 + SIGINT, the shell's convention for an interrupted program
GRACE_SECONDS = 30.0
_STDERR = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Some programs, `timeout` among them, signal a process and then its group: two signals, but one request.
_SAME_REQUEST_SECONDS = 0.5


class Stop:
    """A request to end the run, and the time of it."""

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._since: float | None = None

    def ask(self) -> None:
        """Request the end; a second request changes nothing."""
        if self._since is None:
            self._since = time.monotonic()

    @property
    def asked(self) -> bool:
        """Whether a stop has been requested, so that nothing new may begin."""
        return self._since is not None

    @property
    def waited_seconds(self) -> float:
        """Seconds since the request; 0 before it."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    @property
    def overdue(self) -> bool:
        """Whether the grace period is over, so that blocks still in flight are dropped."""
        return self.waited_seconds > self._grace_seconds


def end_at_once(_number: int, _frame: FrameType | None) -> None:
    """End a command that has no blocks to wait for: what is committed stays."""
    os.write(_STDERR, b"agcarbon: interrupted\n")
    raise SystemExit(EXIT_CODE)


@contextmanager
def stop_on_signals(*, grace_seconds: float = GRACE_SECONDS) -> Iterator[Stop]:
    """Give a `Stop` that SIGINT and SIGTERM request; a second signal raises `SystemExit`.

    Call it in the main thread of the process, where Python delivers signals.
    """
    stop = Stop(grace_seconds=grace_seconds)

    def handle(_number: int, _frame: FrameType | None) -> None:
        if not stop.asked:
            stop.ask()
            # os.write, not print: the signal may have interrupted a print, which cannot be entered twice.
            os.write(_STDERR, b"stopping: waiting for the blocks in flight; send the signal again to drop them\n")
        elif stop.waited_seconds > _SAME_REQUEST_SECONDS:
            raise SystemExit(EXIT_CODE)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
