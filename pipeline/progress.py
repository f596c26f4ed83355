"""Progress and heartbeats: what long work reports to whoever runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Progress = Callable[[str, int, int], None]
"""Called with the name of the work, the number of its steps that are done, and their total."""


def silent(name: str, done: int, total: int) -> None:
    """Report nothing."""


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
