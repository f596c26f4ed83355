"""Commits: none lost, none made twice, none on top of somebody else's."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import pytest
import zarr

from pipeline.storage import repository as store
from pipeline.storage.commit import MARK, CommitError, Committer
from pipeline.storage.retry import RetryPolicy

Commit = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path) -> icechunk.Repository:
    made = store.create(str(tmp_path / "store"))
    with store.transaction(made, "array") as root:
        root.create_array("a", shape=(4,), chunks=(1,), dtype="i4", fill_value=0)[:] = 0
    return made


@pytest.fixture
def committer(repository: icechunk.Repository, tmp_path: Path) -> Committer:
    return Committer(repository, str(tmp_path / "store"), RetryPolicy(retries=3), sleep=[].append)


def fork(repository: icechunk.Repository, index: int) -> icechunk.ForkSession:
    """A worker's session in which one element was written."""
    made = repository.writable_session(store.BRANCH).fork()
    store.array(store.writable(made), "a")[index] = 10 + index
    return made


def mark(root: zarr.Group) -> str:
    root.attrs["rows"] = [*(store.attribute(root, "rows") or []), "row"]
    return "row"


def messages(repository: icechunk.Repository) -> list[str]:
    return [snapshot.message for snapshot in repository.ancestry(branch=store.BRANCH)]


def values(repository: icechunk.Repository) -> list[int]:
    return [int(value) for value in store.values(store.read(repository), "a")]


def break_commit(monkeypatch: pytest.MonkeyPatch, *plans: str | Exception) -> list[str]:
    """Have the next commits raise before they are made (an error), or after ("lost": their reply is lost)."""
    real: Commit = icechunk.Session.commit
    waiting, seen = list(plans), []

    def commit(session: icechunk.Session, *args: Any, **kwargs: Any) -> str:
        plan = waiting.pop(0) if waiting else "as it is"
        seen.append(str(plan))
        if isinstance(plan, Exception):
            raise plan
        snapshot = real(session, *args, **kwargs)
        if plan == "lost":
            raise ConnectionResetError("the reply was lost")
        return snapshot

    monkeypatch.setattr(icechunk.Session, "commit", commit)
    return seen


def test_a_commit_holds_forks_rows_and_who_made_it(repository: icechunk.Repository, committer: Committer) -> None:
    forks = [fork(repository, 1), fork(repository, 2)]
    assert committer.commit("two", mark, forks=forks, tile_years=2, years=[2010]) == "row"
    assert values(repository) == [0, 11, 12, 0]
    newest = next(iter(repository.ancestry(branch=store.BRANCH)))
    assert newest.message == "two"
    assert newest.metadata["tile_years"] == 2
    assert newest.metadata["years"] == [2010]
    assert (newest.metadata["host"], newest.metadata["pid"]) == (socket.gethostname(), os.getpid())
    assert committer.base == newest.id


def test_nothing_written_is_no_commit(repository: icechunk.Repository, committer: Committer) -> None:
    before = store.tip(repository)
    assert committer.commit("nothing", lambda _: 7) == 7
    assert store.tip(repository) == before


def test_a_commit_whose_reply_was_lost_is_made_once(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = break_commit(monkeypatch, "lost")
    committer.commit("once", mark, forks=[fork(repository, 1)])
    assert len(seen) == 1
    assert messages(repository)[:2] == ["once", "array"]
    assert store.attribute(store.read(repository), "rows") == ["row"]
    committer.commit("next", mark, forks=[fork(repository, 2)])
    assert messages(repository)[:3] == ["next", "once", "array"]


def test_a_commit_that_fails_for_a_while_is_made_again_with_all_its_forks(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    committer.sleep = waits.append
    text = "  x session error\n  `-> operation timed out\n"
    seen = break_commit(monkeypatch, OSError(errno.EIO, "disk"), icechunk.IcechunkError(text), "lost")
    committer.commit("at last", mark, forks=[fork(repository, 1), fork(repository, 3)])
    assert len(seen) == 3
    assert len(waits) == 3
    assert messages(repository)[:2] == ["at last", "array"]
    assert values(repository) == [0, 11, 0, 13]
    assert store.attribute(store.read(repository), "rows") == ["row"]


def test_the_last_reply_is_looked_for_too(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer.policy = RetryPolicy(retries=0)
    break_commit(monkeypatch, "lost")
    committer.commit("arrived", mark)
    assert messages(repository)[0] == "arrived"


def test_a_look_that_fails_makes_no_second_commit(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply is lost and the branch cannot be read: only when it can is it known that the commit was made."""
    real, looks = icechunk.Repository.ancestry, []

    def ancestry(self: icechunk.Repository, **kwargs: Any) -> Any:
        looks.append(1)
        if len(looks) == 1:
            raise ConnectionError("no look")
        return real(self, **kwargs)

    break_commit(monkeypatch, "lost")
    monkeypatch.setattr(icechunk.Repository, "ancestry", ancestry)
    committer.commit("once", mark)
    assert len(looks) >= 2
    assert messages(repository)[:2] == ["once", "array"]


def test_a_full_disk_is_not_tried_again_and_says_what_to_do(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "  x session error: Unable to copy data to file: No space left on device (os error 28)\n"
    seen = break_commit(monkeypatch, icechunk.IcechunkError(text))
    with pytest.raises(CommitError, match=r"store: cannot be written any more: .*No space left.*free space"):
        committer.commit("full", mark)
    assert len(seen) == 1
    assert messages(repository)[0] == "array"
    committer.commit("after space was made", mark)
    assert messages(repository)[:2] == ["after space was made", "array"]


def test_an_error_that_stays_ends_in_one_sentence(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = break_commit(monkeypatch, *[OSError(errno.ETIMEDOUT, "no answer")] * 9)
    with pytest.raises(CommitError, match=r"a commit failed, what was committed before it stays: .*no answer"):
        committer.commit("never", mark)
    assert len(seen) == 4
    assert messages(repository)[0] == "array"


def test_a_foreign_commit_stops_the_writer_and_says_who_and_when(
    repository: icechunk.Repository, committer: Committer
) -> None:
    other = Committer(repository, committer.place)
    other.commit("theirs", mark)
    when = next(iter(repository.ancestry(branch=store.BRANCH))).written_at
    with pytest.raises(CommitError, match="someone else has committed") as caught:
        committer.commit("ours", mark, forks=[fork(repository, 1)])
    for part in ("'theirs'", socket.gethostname(), str(os.getpid()), f"{when:%Y-%m-%d %H:%M:%S}"):
        assert part in str(caught.value)
    assert messages(repository)[0] == "theirs"


def test_a_foreign_commit_in_the_very_moment_of_ours_is_not_built_on(
    repository: icechunk.Repository, committer: Committer
) -> None:
    """The branch is as we left it when our session begins, and not when it commits."""

    def write(root: zarr.Group) -> None:
        with store.transaction(repository, "between") as others:
            others.attrs["theirs"] = 1
        mark(root)

    with pytest.raises(CommitError, match="'between'"):
        committer.commit("ours", write)
    assert messages(repository)[:2] == ["between", "array"]


def test_a_branch_that_was_set_back_stops_the_writer(repository: icechunk.Repository, committer: Committer) -> None:
    committer.commit("ours", mark)
    parents = [snapshot.id for snapshot in repository.ancestry(branch=store.BRANCH)]
    repository.reset_branch(store.BRANCH, parents[1])
    with pytest.raises(CommitError, match="someone else"):
        committer.commit("again", mark)


def test_every_commit_has_a_mark_of_its_own(repository: icechunk.Repository, committer: Committer) -> None:
    for _ in range(3):
        committer.commit("again", mark)
    marks = [snapshot.metadata.get(MARK) for snapshot in repository.ancestry(branch=store.BRANCH)]
    assert len(set(marks[:3])) == 3
    assert None not in marks[:3]
