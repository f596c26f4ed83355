"""Signs of life: long work says that it gets on, whoever may watch it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class _Listener:
    """Whom to call at a beat, unless the last call is less than so many seconds ago."""

    call: Callable[[], None]
    seconds: float
    called: float = float("-inf")


_listener: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def beat() -> None:
    """Say that the work gets on; nothing happens where nobody listens."""
    listener, now = _listener.get(), time.monotonic()
    if listener and now - listener.called >= listener.seconds:
        listener.called = now
        listener.call()


@contextmanager
def heard_by(listener: Callable[[], None], *, seconds: float = 0.0) -> Iterator[None]:
    """Have `listener` called at beats of what is done in the block, no more often than every so many `seconds`."""
    token = _listener.set(_Listener(listener, seconds))
    try:
        yield
    finally:
        _listener.reset(token)
