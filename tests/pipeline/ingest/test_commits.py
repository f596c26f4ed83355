"""Commits of ingest: transient errors are retried, lost replies found, other processes' commits refused."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import icechunk
import pytest
import zarr

from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.report import IngestReport
from pipeline.ingest.run import ingest
from pipeline.ingest.strips import Part, StripBlock
from pipeline.inputs.layout import ingested_years, read_record
from pipeline.sources.slope import reader
from pipeline.storage import repository as store
from pipeline.storage.commit import CommitError, Committer
from pipeline.storage.retry import RetryPolicy
from tests.helpers import small_archives

AT_ONCE = RetryPolicy(retries=3, first_seconds=0)
# In the order in which ingest commits for one year of climate, crops and GPP.
MESSAGES = [
    "create inputs store",
    "make room for inputs",
    *(f"read staging/2011-{month:02d}" for month in range(1, 13)),
    "ingest climate/2011",
    "ingest crop/2011",
    "ingest gpp/2011",
]
TIMED_OUT = OSError(errno.ETIMEDOUT, "no answer")

Plan = str | Exception | Callable[[], None]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    written = small_archives.write_archives(tmp_path_factory.mktemp("small"))
    with Path(written.region).open("a") as region:
        region.write("mask_years = [2011]\n")
    return written


@pytest.fixture
def run_file(archives: RunFile, tmp_path: Path) -> RunFile:
    """The archives with an empty place for the store."""
    stores = archives.stores.model_copy(update={"inputs": str(tmp_path / "inputs.icechunk")})
    return archives.model_copy(update={"stores": stores})


@pytest.fixture(scope="module")
def undisturbed(archives: RunFile) -> dict[str, Any]:
    do(archives)
    return content(archives)


def do(run_file: RunFile) -> IngestReport:
    plan = plan_ingest(run_file, years=[2011], products=["climate", "crop", "gpp"])
    return ingest(plan, executor=Serial(), policy=AT_ONCE)


def opened(run_file: RunFile) -> icechunk.Repository:
    return store.open_existing(run_file.stores.inputs, made_by="test")


def content(run_file: RunFile) -> dict[str, Any]:
    """All values and attributes of a store, by path."""
    members = store.read(opened(run_file)).members(max_depth=None)
    return {
        path: (member.attrs.asdict(), member[...].tobytes() if isinstance(member, zarr.Array) else b"")
        for path, member in members
    }


def messages(run_file: RunFile) -> list[str]:
    """Messages of the commits, oldest first, without the one that Icechunk makes."""
    return [snapshot.message for snapshot in opened(run_file).ancestry(branch=store.BRANCH)][-2::-1]


@pytest.fixture
def disturb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Disturb the next commit with a message: by an error before it, "lost" after it, or a call before it."""
    real: Callable[..., str] = icechunk.Session.commit
    plans: dict[str, list[Plan]] = {}

    def commit(session: icechunk.Session, message: str, *args: Any, **kwargs: Any) -> str:
        plan = plans[message].pop(0) if plans.get(message) else None
        if isinstance(plan, Exception):
            raise plan
        if callable(plan):
            plan()
        snapshot = real(session, message, *args, **kwargs)
        if plan == "lost":
            raise ConnectionResetError("the reply was lost")
        return snapshot

    monkeypatch.setattr(icechunk.Session, "commit", commit)
    yield lambda message, *of: plans.setdefault(message, []).extend(of)
    assert not any(plans.values()), f"commits that were never made: {plans}"


@pytest.mark.slow
def test_transient_errors_of_every_commit_leave_the_store_of_an_undisturbed_ingest(
    run_file: RunFile, undisturbed: dict[str, Any], disturb: Callable[..., None]
) -> None:
    for message in MESSAGES:
        disturb(message, TIMED_OUT, icechunk.IcechunkError("  x session error\n  `-> operation timed out\n"))
    report = do(run_file)
    assert [row.state for row in report.rows] == ["ingested"] * 3
    assert messages(run_file) == MESSAGES
    assert content(run_file) == undisturbed


def test_a_commit_whose_reply_was_lost_is_found_and_not_made_twice(
    run_file: RunFile, undisturbed: dict[str, Any], disturb: Callable[..., None]
) -> None:
    for message in MESSAGES:
        disturb(message, "lost")
    assert not do(run_file).failures
    assert messages(run_file) == MESSAGES
    assert content(run_file) == undisturbed


@pytest.mark.parametrize("message", ["make room for inputs", "read staging/2011-03", "ingest gpp/2011"])
def test_a_commit_of_another_process_is_refused_with_who_and_when(
    run_file: RunFile, disturb: Callable[..., None], message: str
) -> None:
    """The other commit comes between the beginning of our session and its commit."""
    theirs: list[icechunk.SnapshotInfo] = []

    def commit_theirs() -> None:
        Committer(opened(run_file), "theirs").commit("not ours", lambda root: root.attrs.update({"theirs": 1}))
        theirs.append(next(iter(opened(run_file).ancestry(branch=store.BRANCH))))

    disturb(message, commit_theirs)
    with pytest.raises(UserError, match="someone else has committed") as caught:
        do(run_file)
    for part in (run_file.stores.inputs, "'not ours'", socket.gethostname(), f"process {os.getpid()}"):
        assert part in str(caught.value)
    assert f"{theirs[0].written_at:%Y-%m-%d %H:%M:%S} UTC" in str(caught.value)
    assert messages(run_file) == [*MESSAGES[: MESSAGES.index(message)], "not ours"]


def test_a_commit_of_another_process_between_two_of_ours_is_refused(
    run_file: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reader.decode_year

    def decode_year(*args: Any, **kwargs: Any) -> reader.EncodedYear:
        Committer(opened(run_file), "theirs").commit("not ours", lambda root: root.attrs.update({"theirs": 1}))
        return real(*args, **kwargs)

    monkeypatch.setattr("pipeline.ingest.sources.decode_year", decode_year)
    with pytest.raises(UserError, match="someone else has committed"):
        do(run_file)
    assert not ingested_years(store.read(opened(run_file)), "gpp")


def test_an_error_that_stays_ends_the_ingest_and_the_next_one_resumes(
    run_file: RunFile, undisturbed: dict[str, Any], disturb: Callable[..., None]
) -> None:
    disturb("ingest gpp/2011", *[TIMED_OUT] * (AT_ONCE.retries + 1))
    with pytest.raises(CommitError, match="no answer"):
        do(run_file)
    assert ingested_years(store.read(opened(run_file)), "climate") == {2011}
    assert {row.state for row in do(run_file).rows} == {"unchanged", "ingested"}
    assert content(run_file) == undisturbed


@pytest.mark.parametrize("after", [3, 12, 13])
def test_an_ingest_that_is_stopped_keeps_what_was_committed_and_the_next_one_resumes(
    run_file: RunFile, undisturbed: dict[str, Any], after: int
) -> None:
    """The stop is requested while a month of climate is read, while its year is settled, before crops are read."""
    plan = plan_ingest(run_file, years=[2011], products=["climate", "crop", "gpp"])
    steps, executor = 0, Serial()

    def count(_product: str, done: int, _total: int, _failed: int) -> None:
        nonlocal steps
        steps += done > 0
        if steps >= after:
            executor.stop.ask()

    report = ingest(plan, executor=executor, policy=AT_ONCE, progress=count)
    assert report.stopped
    assert not report.failures
    assert report.last_line().endswith("; stopped before all were read")
    assert len(messages(run_file)) < len(MESSAGES)
    assert not do(run_file).stopped
    assert content(run_file) == undisturbed


def test_a_lost_lease_ends_the_ingest_before_its_next_commit(
    run_file: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is taken over once its structure is committed."""

    def still_held() -> None:
        if store.exists(run_file.stores.inputs) and messages(run_file) == MESSAGES[:2]:
            raise UserError("another process took the store over")

    monkeypatch.setattr(store, "sole_writer", lambda _: nullcontext(still_held))
    with pytest.raises(UserError, match="took the store over"):
        do(run_file)
    assert messages(run_file) == MESSAGES[:2]


@pytest.mark.parametrize("error", [TIMED_OUT, ConnectionResetError("reset")])
def test_a_block_whose_storage_fails_for_a_moment_is_written_again(
    run_file: RunFile, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, seen = StripBlock.write, []

    def write(block: StripBlock, root: zarr.Group) -> Part:
        part = real(block, root)
        seen.append(block)
        if len(seen) == 1:
            raise error
        return part

    monkeypatch.setattr(StripBlock, "write", write)
    assert not do(run_file).failures
    assert content(run_file) == undisturbed


def test_a_full_disk_under_a_worker_ends_the_ingest_at_its_first_block(
    run_file: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def write(block: StripBlock, root: zarr.Group) -> Part:
        seen.append((block, root))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StripBlock, "write", write)
    with pytest.raises(UserError, match=r"inputs\.icechunk: .*No space left"):
        do(run_file)
    assert len(seen) == 1
    assert read_record(store.read(opened(run_file)), "climate/2011") is not None
