"""Commits: none lost, none made twice, none on top of somebody else's."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr

from pipeline.errors import DamagedError, UserError
from pipeline.storage import repository as store
from pipeline.storage.commit import MARK, CommitError, Committer, committing
from pipeline.storage.retry import RetryPolicy
from pipeline.storage.seal import SEAL, seal_of
from tests.helpers.commits import TIMEOUT, break_calls, transaction


@pytest.fixture
def repository(tmp_path: Path) -> icechunk.Repository:
    made = store.create(str(tmp_path / "store"))
    with transaction(made, "array") as root:
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
    return break_calls(monkeypatch, icechunk.Session, "commit", *plans)


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


def test_a_write_that_raises_commits_nothing(repository: icechunk.Repository, committer: Committer) -> None:
    before = store.tip(repository)

    def write(root: zarr.Group) -> None:
        mark(root)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        committer.commit("never", write, forks=[fork(repository, 1)])
    assert store.tip(repository) == before
    assert values(repository) == [0, 0, 0, 0]


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
    with pytest.raises(CommitError, match=r"the storage failed, and what was committed before is kept: .*no answer"):
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
        with transaction(repository, "between") as others:
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


def beside(committer: Committer) -> str:
    return committer.commit_beside(committer.base, "beside", mark, release="v1")


@pytest.mark.parametrize("method", ["create_branch", "delete_branch", "writable_session", "commit"])
@pytest.mark.parametrize("plans", [(TIMEOUT,), ("lost",), (TIMEOUT, "lost")])
def test_a_commit_beside_the_branch_is_made_whatever_fails_for_a_while(
    repository: icechunk.Repository,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    plans: tuple[str | Exception, ...],
) -> None:
    owner = icechunk.Session if method == "commit" else icechunk.Repository
    seen = break_calls(monkeypatch, owner, method, *plans)
    before = store.tip(repository)
    made = beside(committer)
    assert len(seen) >= len(plans)
    assert store.tip(repository) == committer.base == before
    assert repository.list_branches() == {"main"}
    assert store.attribute(store.read(repository, snapshot=made), "rows") == ["row"]
    info = repository.lookup_snapshot(made)
    assert (info.parent_id, info.message) == (before, "beside")
    assert (info.metadata["release"], info.metadata["pid"]) == ("v1", os.getpid())


def test_a_commit_beside_the_branch_whose_reply_was_lost_is_made_once(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = break_commit(monkeypatch, "lost")
    beside(committer)
    assert len(seen) == 1


@pytest.mark.parametrize("plan", [TIMEOUT, "lost"])
def test_the_branch_is_moved_once_whatever_fails_for_a_while(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch, plan: str | Exception
) -> None:
    made = beside(committer)
    seen = break_calls(monkeypatch, icechunk.Repository, "reset_branch", plan)
    committer.move_branch(made)
    assert len(seen) == (1 if plan == "lost" else 2)
    assert store.tip(repository) == committer.base == made
    committer.commit("next", mark)
    assert messages(repository)[:2] == ["next", "beside"]


def test_the_branch_is_not_moved_from_where_someone_else_has_left_it(
    repository: icechunk.Repository, committer: Committer
) -> None:
    made = beside(committer)
    Committer(repository, committer.place).commit("theirs", mark)
    with pytest.raises(CommitError, match=r"someone else has committed.*'theirs'"):
        committer.move_branch(made)
    assert messages(repository)[0] == "theirs"


def test_the_branch_is_not_moved_if_someone_else_commits_in_the_very_moment(
    repository: icechunk.Repository, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = beside(committer), icechunk.Repository.reset_branch

    def reset(self: icechunk.Repository, *args: Any, **kwargs: Any) -> None:
        Committer(repository, committer.place).commit("between", mark)
        real(self, *args, **kwargs)

    monkeypatch.setattr(icechunk.Repository, "reset_branch", reset)
    with pytest.raises(CommitError, match=r"someone else has committed.*'between'"):
        committer.move_branch(made)
    assert messages(repository)[:2] == ["between", "array"]


@pytest.mark.parametrize("plans", [(TIMEOUT,), ("lost",), (TIMEOUT, "lost")])
def test_a_tag_is_made_and_deleted_once_whatever_fails_for_a_while(
    repository: icechunk.Repository,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
    plans: tuple[str | Exception, ...],
) -> None:
    made = break_calls(monkeypatch, icechunk.Repository, "create_tag", *plans)
    deleted = break_calls(monkeypatch, icechunk.Repository, "delete_tag", *plans)
    committer.create_tag("v1", committer.base)
    assert repository.lookup_tag("v1") == committer.base
    committer.delete_tag("v1")
    assert repository.list_tags() == set()
    assert len(made) == len(deleted) == len(plans) + (plans[-1] is TIMEOUT)
    with pytest.raises(CommitError, match="v1: this was the name of a release that was deleted"):
        committer.create_tag("v1", committer.base)


CHANGES: dict[str, Callable[[Committer], object]] = {
    "commit": lambda committer: committer.commit("ours", mark),
    "commit_beside": beside,
    "move_branch": lambda committer: committer.move_branch("1CECHNKREP0F1RSTCMT0"),
    "create_tag": lambda committer: committer.create_tag("v2", committer.base),
    "delete_tag": lambda committer: committer.delete_tag("v1"),
    "carry_out": lambda committer: committer.carry_out(lambda: committer.repository.delete_tag("v1")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_lost_the_lease_changes_nothing(repository: icechunk.Repository, committer: Committer, change: str) -> None:
    committer.create_tag("v1", committer.base)

    def lost() -> None:
        raise UserError("another took the store over")

    committer.still_held = lost
    before = store.tip(repository)
    with pytest.raises(UserError, match="another took"):
        CHANGES[change](committer)
    assert (store.tip(repository), repository.list_tags()) == (before, {"v1"})
    assert repository.list_branches() == {"main"}


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), OSError(errno.ETIMEDOUT, "no")])
@pytest.mark.parametrize("method", ["create_branch", "reset_branch", "create_tag", "delete_tag"])
def test_a_change_that_cannot_be_made_ends_in_one_sentence(
    committer: Committer, monkeypatch: pytest.MonkeyPatch, method: str, error: OSError
) -> None:
    committer.create_tag("v1", committer.base)
    seen = break_calls(monkeypatch, icechunk.Repository, method, *[error] * 9)
    change = {"create_branch": "commit_beside", "reset_branch": "move_branch"}.get(method, method)
    with pytest.raises(CommitError, match=r"the storage failed, and what was committed before is kept: .*no"):
        CHANGES[change](committer)
    assert len(seen) == (1 if error.errno == errno.EACCES else 4)


def test_the_lock_is_held_while_there_is_a_committer(tmp_path: Path) -> None:
    location = str(tmp_path / "new")
    with committing(location, lambda: store.create(location)) as committer:
        committer.commit("first", mark)
        with pytest.raises(UserError, match="is writing it"), store.sole_writer(location):
            pass
    with store.sole_writer(location) as still_held:
        still_held()


def test_an_error_of_storage_between_commits_ends_in_one_sentence(tmp_path: Path) -> None:
    location = str(tmp_path / "new")

    def fail_after_a_commit() -> None:
        with committing(location, lambda: store.create(location)) as committer:
            committer.commit("first", mark)
            raise OSError(errno.EIO, "disk")

    with pytest.raises(CommitError, match=r"new: the storage failed, and what was committed before is kept: .*disk"):
        fail_after_a_commit()
    newest = next(iter(store.open_existing(location, made_by="a test").ancestry(branch=store.BRANCH)))
    assert newest.message == "first"


def test_a_repository_that_cannot_be_opened_for_a_while_is_opened_then(
    repository: icechunk.Repository, tmp_path: Path
) -> None:
    errors = [TIMEOUT, OSError(errno.EIO, "disk")]

    def opened() -> icechunk.Repository:
        if errors:
            raise errors.pop()
        return repository

    with committing(str(tmp_path / "store"), opened, RetryPolicy(retries=2, first_seconds=0)) as committer:
        assert committer.base == store.tip(repository)


def test_a_commit_whose_chunks_another_program_has_freed_is_refused(
    repository: icechunk.Repository, committer: Committer, tmp_path: Path
) -> None:
    with transaction(repository, "larger") as root:  # than the chunks that a manifest holds itself
        root.create_array("b", shape=(4000,), chunks=(1000,), dtype="f8", fill_value=0)
    committer.base = store.tip(repository)
    made = repository.writable_session(store.BRANCH).fork()
    store.array(store.writable(made), "b")[...] = np.random.default_rng(1).random(4000)
    freed = sorted((tmp_path / "store" / "chunks").iterdir())[1]
    freed.unlink()
    before = messages(repository)
    with pytest.raises(CommitError, match=rf"damaged or gone.*{freed.name}"):
        committer.commit("block", mark, forks=[made])
    assert messages(repository) == before


def test_a_state_with_other_metadata_than_were_committed_is_refused(
    repository: icechunk.Repository, committer: Committer
) -> None:
    committer.commit("block", mark)
    store.read(repository)
    seal = next(iter(repository.ancestry(branch=store.BRANCH))).metadata[SEAL]
    with transaction(repository, "altered", **{SEAL: seal}) as root:
        root.attrs["rows"] = ["other"]
    with pytest.raises(DamagedError, match="holds other groups, arrays or attributes than were committed"):
        store.read(repository)
    with transaction(repository, "of another program") as root:
        root.attrs["rows"] = ["another"]
    assert store.attribute(store.read(repository), "rows") == ["another"]


def test_every_bit_of_metadata_counts_for_the_seal(repository: icechunk.Repository) -> None:
    def changed(change: Callable[[zarr.Group], object]) -> str:
        session = repository.writable_session(store.BRANCH)
        change(store.writable(session))
        return seal_of(session)

    changes: list[Callable[[zarr.Group], object]] = [
        lambda _: None,
        lambda root: root.attrs.update({"x": 1}),
        lambda root: store.array(root, "a").attrs.update({"x": 1}),
        lambda root: store.array(root, "a").resize((5,)),
        lambda root: root.create_group("g/h"),
        lambda root: root.create_array("g/b", shape=(4,), dtype="i4"),
    ]
    assert len({changed(change) for change in changes}) == len(changes)
    assert changed(lambda root: store.array(root, "a")[...].sum()) == changed(changes[0])
    assert changed(lambda root: root["a"].__setitem__(0, 7)) == changed(changes[0])
