"""Signs of life: long work says that it gets on, whoever may watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


def beat() -> None:
    """Say that the work gets on; nothing happens where nobody listens."""
    listener = _listener.get()
    if listener:
        listener()


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Have `listener` called at every beat of what is done in the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
