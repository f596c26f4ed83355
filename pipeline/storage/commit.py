"""Commits to the cube: by one writer, each known by a mark, so that none is lost and none is made twice.

A commit that raises may still have arrived, if only its reply was lost: the branch is looked at before anything is
tried again. A branch that someone else has moved stops the run; its commit is never put on top of theirs.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar
from uuid import uuid4

import icechunk
import zarr

from pipeline.errors import UserError
from pipeline.storage import repository as store
from pipeline.storage.retry import BY_DEFAULT, STORAGE_ERRORS, RetryPolicy, describe, is_fatal, is_transient

Result = TypeVar("Result")

COMMIT_ERRORS = (*STORAGE_ERRORS, icechunk.ConflictError)
MARK = "commit"  # key of the metadata that tells our commits apart
NAMED = 20  # tiles and failures that the metadata name; the numbers are always whole


class CommitError(UserError):
    """A commit that cannot be made, with the reason and the remedy."""


def _always() -> None:
    """Nothing takes the store away."""


@dataclass
class Committer:
    """The one writer of a store.

    Attributes
    ----------
    repository
        What is committed to.
    place
        Where it is, for messages.
    policy
        How often a commit is tried again.
    still_held
        Raises `UserError` if this process may no longer write; see `pipeline.storage.repository.sole_writer`.
    base
        The newest snapshot that is known: the branch must be there when the next commit is made.
    """

    repository: icechunk.Repository
    place: str
    policy: RetryPolicy = BY_DEFAULT
    still_held: Callable[[], None] = _always
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)
    base: str = field(init=False)

    def __post_init__(self) -> None:
        self.base = store.tip(self.repository)

    def commit(
        self,
        message: str,
        write: Callable[[zarr.Group], Result],
        *,
        forks: Sequence[icechunk.ForkSession] = (),
        **facts: Any,
    ) -> Result:
        """Merge `forks`, call `write` on the root group, commit both, and return what `write` returned.

        `write` is called once for each attempt, on a session of its own. Nothing is committed if nothing was written.

        Parameters
        ----------
        message
            What the commit does.
        write
            Writes what belongs to the same commit.
        forks
            Sessions of workers, with their writes.
        **facts
            Metadata of the commit, beside its mark, host and process.

        Raises
        ------
        CommitError
            If someone else has committed, the disk is full or read-only, or the storage fails and goes on failing.
        """
        mark = uuid4().hex
        metadata = {MARK: mark, "host": socket.gethostname(), "pid": os.getpid(), **facts}
        written: list[Result] = []
        failed: Exception | None = None
        waits = self.policy.waits(self.rng)
        last = False
        while True:
            try:
                if failed and self._arrived(mark):
                    return written[-1]
                if failed and last:
                    raise self._refusal(failed) from failed
                session = self._session(forks)
                written.append(write(store.writable(session)))
                if session.has_uncommitted_changes:
                    self.base = session.commit(message, metadata=metadata)
                return written[-1]
            except COMMIT_ERRORS as error:
                if last:  # not even the branch can be looked at
                    raise self._refusal(error) from error
                wait = next(waits, None)
                last = wait is None or not (isinstance(error, icechunk.ConflictError) or is_transient(error))
                failed = error
                self.sleep(0 if last else wait or 0)

    def _session(self, forks: Sequence[icechunk.ForkSession]) -> icechunk.Session:
        """A session that holds what the forks hold, from where this writer left the branch."""
        self.still_held()
        self._check_branch()
        session = self.repository.writable_session(store.BRANCH)
        session.merge(*forks)
        return session

    def _arrived(self, mark: str) -> bool:
        """Say whether the commit of this mark is on the branch, though it raised, and if so go on from it."""
        for snapshot in takewhile(lambda one: one.id != self.base, self.repository.ancestry(branch=store.BRANCH)):
            if snapshot.metadata.get(MARK) == mark:
                self.base = snapshot.id
                return True
        return False

    def _check_branch(self) -> None:
        """Raise `CommitError` if the branch is not where this writer left it."""
        if store.tip(self.repository) != self.base:
            newest = next(iter(self.repository.ancestry(branch=store.BRANCH)))
            who = f"{newest.metadata.get('host', 'an unknown host')}, process {newest.metadata.get('pid', 'unknown')}"
            raise CommitError(
                f"{self.place}: someone else has committed to it while this run went on ({newest.id}, "
                f"{newest.message!r}, {newest.written_at:%Y-%m-%d %H:%M:%S} UTC, by {who}); "
                "let only one run write it at a time, then start this one again"
            )

    def _refusal(self, error: Exception) -> CommitError:
        if is_fatal(error):
            return CommitError(out_of_storage(self.place, describe(error)))
        return CommitError(
            f"{self.place}: a commit failed, what was committed before it stays: {describe(error)}; "
            "see to the storage, then start the same run again"
        )


def out_of_storage(place: str, cause: str) -> str:
    """Return what to say of an error that ends a run; see `pipeline.storage.retry.is_fatal`."""
    return (
        f"{place}: cannot be written any more: {cause}; what is committed stays; free space on its disk (`agcarbon "
        "gc` frees what no commit holds) or make it writable, then start the same run again"
    )
