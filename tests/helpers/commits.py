"""Committers and commits of tests: by the product's own way, and past it, as another program would commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import icechunk
import pytest
import zarr

from pipeline.job import Job
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer

# As Icechunk words it when a server is silent.
TIMEOUT = icechunk.IcechunkError("  x session error\n  `-> operation timed out\n")


def committer_of(job: Job) -> Committer:
    """Return a committer of the job's cube, without its lock."""
    return Committer(job.open_cube(), job.run_file.stores.cube)


@contextmanager
def transaction(repository: icechunk.Repository, message: str, **metadata: Any) -> Iterator[zarr.Group]:
    """Give the root group for writing, and commit all that was written in it, or nothing if the block raises."""
    session = repository.writable_session(store.BRANCH)
    yield store.writable(session)
    if session.has_uncommitted_changes:
        session.commit(message, metadata=metadata)


def break_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *plans: str | Exception) -> list[str]:
    """Have the next calls of a method raise before it acts (an error), or after ("lost": its reply is lost)."""
    real: Callable[..., Any] = getattr(owner, name)
    waiting, seen = list(plans), []

    def broken(*args: Any, **kwargs: Any) -> Any:
        plan = waiting.pop(0) if waiting else "as it is"
        seen.append(str(plan))
        if isinstance(plan, Exception):
            raise plan
        result = real(*args, **kwargs)
        if plan == "lost":
            raise ConnectionResetError("the reply was lost")
        return result

    monkeypatch.setattr(owner, name, broken)
    return seen
