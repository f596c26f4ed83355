"""The one way to change a store: every commit, tag and move of the branch goes through a `Committer`.

A command holds the store's lock for as long as it may still commit, and makes all its changes through one object:

    with committing(location, job.open_cube, policy) as committer:
        committer.commit("aggregates of 2012", write, forks=forks, years=[2012])

`committing` takes the lock, opens the repository under it and gives the `Committer`. A command that holds the lock
already, or creates the repository itself, makes its own: `Committer(repository, place, policy, still_held)`, where
`still_held` comes from `pipeline.storage.repository.sole_writer`.

Every change comes with the same guarantees:

- An error that may pass is met by another attempt, after a growing wait; see `pipeline.storage.retry`.
- A change that raised may still have been made, if only its reply was lost. Before another attempt the store is looked
  at: a commit is recognised by its mark, a tag or the branch by the snapshot that it names. Nothing is made twice.
- The lease is checked before each attempt, so that a process which lost it writes nothing.
- The branch is moved only from where this writer left it, so that nothing is built on someone else's commit.
- The chunks that a commit refers to are looked for right before it: nothing is acknowledged that another program freed.
- A commit holds a digest of the metadata of all groups and arrays, with which readers compare them.
- A change that cannot be made ends in a `CommitError`: one sentence with the reason and the remedy.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar
from uuid import uuid4

import icechunk
import zarr

from pipeline.errors import DamagedError, UserError
from pipeline.storage import repository as store
from pipeline.storage.retry import (
    BY_DEFAULT,
    STORAGE_ERRORS,
    RetryPolicy,
    describe,
    is_conflict,
    is_damage,
    is_fatal,
    is_transient,
    names_deleted_tag,
    retried,
)
from pipeline.storage.seal import SEAL, check_chunks, seal_of

Result = TypeVar("Result")

MARK = "commit"  # key of the metadata that identifies a commit of ours
NAMED = 20  # tiles and failures that the metadata name; their numbers are always complete
_BESIDE = "beside"  # a branch that exists only while a commit is made that lies on no branch


class CommitError(UserError):
    """A change of a store that cannot be made, with the reason and the remedy."""


def _always() -> None:
    """Accept every write: for stores that only this process knows."""


@dataclass
class Committer:
    """The one writer of a store.

    Attributes
    ----------
    repository
        The repository that is changed.
    place
        Its location, for messages.
    policy
        How often a change is tried again.
    still_held
        Raises `UserError` if this process may no longer write; see `pipeline.storage.repository.sole_writer`.
    base
        The newest snapshot that this writer knows: the branch must be there when the next commit is made.
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
            Description of the commit.
        write
            Writes what belongs to the same commit.
        forks
            Sessions of workers, with their writes.
        **facts
            Metadata of the commit, beside its mark, host and process.

        Raises
        ------
        CommitError
            If someone else has committed, the disk is full or read-only, or the storage fails until the retries are
            spent.
        """
        metadata, written = _metadata(facts), []

        def attempt() -> None:
            self._check_branch()
            session = self.repository.writable_session(store.BRANCH)
            session.merge(*forks)
            written.append(write(store.writable(session)))
            if session.has_uncommitted_changes:
                check_chunks(session)
                self.base = session.commit(message, metadata=metadata | {SEAL: seal_of(session)})

        def arrived() -> bool:
            ours = self._find(metadata[MARK], store.BRANCH)
            self.base = ours or self.base
            return ours is not None

        self._complete(attempt, arrived)
        return written[-1]

    def commit_beside(self, parent: str, message: str, write: Callable[[zarr.Group], object], **facts: Any) -> str:
        """Commit what `write` changes of the state `parent`, and return the new snapshot; no branch leads to it.

        Tag the snapshot or move the branch to it before the lock is given up: until then it is garbage.
        """
        metadata, made = _metadata(facts), list[str]()

        def attempt() -> None:
            self._delete_beside()
            self.repository.create_branch(_BESIDE, parent)
            session = self.repository.writable_session(_BESIDE)
            write(store.writable(session))
            made.append(session.commit(message, metadata=metadata | {SEAL: seal_of(session)}))

        def arrived() -> bool:
            ours = self._find(metadata[MARK], _BESIDE) if _BESIDE in self.repository.list_branches() else None
            made.extend([ours] if ours else [])
            return ours is not None

        self._complete(attempt, arrived)
        self.drop_beside()
        return made[-1]

    def drop_beside(self) -> None:
        """Remove the branch that is left by a process that was killed in `commit_beside`."""
        self._complete(self._delete_beside, lambda: False)

    def _delete_beside(self) -> None:
        if _BESIDE in self.repository.list_branches():
            self.repository.delete_branch(_BESIDE)

    def move_branch(self, snapshot: str) -> None:
        """Move the branch to a snapshot, by one compare-and-swap from where this writer left it."""

        def attempt() -> None:
            self._check_branch()
            self.repository.reset_branch(store.BRANCH, snapshot, from_snapshot_id=self.base)

        self._complete(attempt, lambda: store.tip(self.repository) == snapshot)
        self.base = snapshot

    def create_tag(self, name: str, snapshot: str) -> None:
        """Name a snapshot; raises `CommitError` too if a tag of that name was deleted: names are never used again."""

        def attempt() -> None:
            try:
                self.repository.create_tag(name, snapshot)
            except icechunk.IcechunkError as error:
                if names_deleted_tag(error):
                    raise CommitError(
                        f"{name}: this was the name of a release that was deleted; give another name"
                    ) from error
                raise

        def arrived() -> bool:
            return name in self.repository.list_tags() and self.repository.lookup_tag(name) == snapshot

        self._complete(attempt, arrived)

    def delete_tag(self, name: str) -> None:
        """Delete a tag, whose name can then never be used again."""
        self._complete(lambda: self.repository.delete_tag(name), lambda: name not in self.repository.list_tags())

    def carry_out(self, work: Callable[[], Result]) -> Result:
        """Return what `work` returns: reading, deleting or other work that may be done twice, on the state known here.

        Raises
        ------
        CommitError
            If someone else has committed, or the storage fails until the retries are spent.
        """
        done: list[Result] = []

        def attempt() -> None:
            self._check_branch()
            done.append(work())

        self._complete(attempt, lambda: False)
        return done[-1]

    def _complete(self, attempt: Callable[[], None], arrived: Callable[[], bool]) -> None:
        """Attempt a change until it is made.

        Parameters
        ----------
        attempt
            Makes the change.
        arrived
            Returns whether an attempt that raised has made it nevertheless.
        """
        attempted = False

        def look_or_attempt() -> None:
            nonlocal attempted
            # Where even the look fails nothing is attempted, or the change might be made a second time.
            if attempted and arrived():
                return
            attempted = True
            self.still_held()
            attempt()

        try:
            retried(look_or_attempt, self.policy, may_pass=_may_pass, rng=self.rng, sleep=self.sleep)
        except STORAGE_ERRORS as error:
            if not self._arrived_after_all(arrived):
                raise self.refusal(error) from error

    def _arrived_after_all(self, arrived: Callable[[], bool]) -> bool:
        """Return whether the last attempt made the change: its reply may be lost like any other."""
        try:
            return arrived()
        except STORAGE_ERRORS as error:
            raise self.refusal(error) from error

    def _find(self, mark: str, branch: str) -> str | None:
        """Return the snapshot with this mark among those on a branch that this writer does not know yet."""
        newer = takewhile(lambda info: info.id != self.base, self.repository.ancestry(branch=branch))
        return next((info.id for info in newer if info.metadata.get(MARK) == mark), None)

    def _check_branch(self) -> None:
        """Raise `CommitError` if the branch is not where this writer left it."""
        if store.tip(self.repository) != self.base:
            newest = next(iter(self.repository.ancestry(branch=store.BRANCH)))
            who = f"{newest.metadata.get('host', 'an unknown host')}, process {newest.metadata.get('pid', 'unknown')}"
            raise CommitError(
                f"{self.place}: someone else has committed to this store in the meantime ({newest.id}, "
                f"{newest.message!r}, {newest.written_at:%Y-%m-%d %H:%M:%S} UTC, by {who}); "
                "let only one command write it at a time, then repeat this one"
            )

    def refusal(self, error: Exception) -> CommitError:
        """Return the sentence for an error of storage that outlasts its retries."""
        if isinstance(error, DamagedError):
            return CommitError(f"{self.place}: {error}")
        if isinstance(error, icechunk.IcechunkError) and is_damage(error):
            return CommitError(
                f"{self.place}: a file of the store is damaged or gone, and what was committed before is kept: "
                f"{describe(error)}; repeat the same command; if that fails too, compute damaged results again with "
                "`agcarbon audit --rerun FILE` and `agcarbon run --from-audit FILE`, aggregates with `agcarbon "
                "aggregate --again`, and read inputs again with `agcarbon ingest --again`"
            )
        if is_fatal(error):
            return CommitError(out_of_storage(self.place, describe(error)))
        return CommitError(
            f"{self.place}: the storage failed, and what was committed before is kept: {describe(error)}; "
            "check the storage, then repeat the same command"
        )


@contextmanager
def committing(
    location: str, open_repository: Callable[[], icechunk.Repository], policy: RetryPolicy = BY_DEFAULT
) -> Iterator[Committer]:
    """Hold the lock of the store at `location`, and give the committer of the repository that is opened under it.

    Raises
    ------
    UserError
        If another process holds the lock, nothing can be written there, or `open_repository` refuses.
    """
    with store.sole_writer(location) as still_held:
        committer = retried(lambda: Committer(open_repository(), location, policy, still_held), policy)
        try:
            yield committer
        except STORAGE_ERRORS as error:  # of reads and of writes into forks, beside the committer's own
            raise committer.refusal(error) from error


def _metadata(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata of a commit: a mark of its own, host and process, and the facts."""
    return {MARK: uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), **facts}


def _may_pass(error: Exception) -> bool:
    """Return whether the same change may be tried again, once the store was looked at.

    That includes conflicts: Icechunk itself repeats requests whose reply was lost, and then meets our own commit.
    """
    return is_transient(error) or is_conflict(error)


def out_of_storage(place: str, cause: str) -> str:
    """Return the message of an error that ends a run; see `pipeline.storage.retry.is_fatal`."""
    return (
        f"{place}: cannot be written any more: {cause}; everything committed so far is kept; free space on its disk "
        "(`agcarbon gc --spare-hours 0` frees what no commit holds) or make it writable, then repeat the same command"
    )
