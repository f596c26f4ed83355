"""Aggregation commits through the one committer: nothing lost, nothing twice, nothing half-done taken for done."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr

from pipeline.aggregate import layout, tables
from pipeline.aggregate import write as aggregate
from pipeline.aggregate.write import AggregateReport, aggregate_cube
from pipeline.audit.aggregates import comparable_years
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.export.geotiffs import Selection, export_cogs
from pipeline.job import Job
from pipeline.storage import repository as store
from pipeline.storage import retry
from pipeline.storage.commit import MARK, CommitError, Committer
from tests.helpers.filled_cube import FIRST, LAST, fill_cube

Commit = Callable[..., str]
STRUCTURE, DATA = f"make room for aggregates of {FIRST}", f"aggregates of {FIRST}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube of two years without aggregates; the second year is incomplete."""
    return fill_cube(tmp_path_factory.mktemp("cube")).job


@pytest.fixture(scope="module")
def undisturbed(filled: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A copy of it that was aggregated without any fault."""
    job = copy_of(filled, tmp_path_factory.mktemp("undisturbed"))
    aggregate_cube(job)
    return job


@pytest.fixture
def job(filled: Job, tmp_path: Path) -> Job:
    """A copy of it, to be disturbed."""
    return copy_of(filled, tmp_path)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off without sleep."""
    monkeypatch.setattr(retry.RetryPolicy, "waits", lambda policy, _rng: iter([0.0] * policy.retries))


def copy_of(job: Job, folder: Path) -> Job:
    shutil.copytree(job.path.parent, folder / "copy")
    return Job.open(folder / "copy" / job.path.name)


def newest(job: Job) -> zarr.Group:
    return store.read(job.open_cube())


def messages(job: Job) -> list[str]:
    return [snapshot.message for snapshot in job.open_cube().ancestry(branch=store.BRANCH)]


def exports(job: Job) -> str:
    return job.stores.exports


def content(job: Job) -> dict[str, list[Any]]:
    """All values and attributes below `aggregates`, and the tables."""
    group = store.subgroup(newest(job), "aggregates")
    found = {path: [node.attrs.asdict()] for path, node in group.members(max_depth=None)}
    for path, node in group.members(max_depth=None):
        if isinstance(node, zarr.Array):
            values = np.asarray(node[...])
            found[path].append(values.tolist() if values.dtype.kind == "T" else values.tobytes())
    for name in ("counties", "region"):
        found[name] = [Path(tables.tables_location(exports(job)), f"{name}.csv").read_text()]
    return found


def break_commit(monkeypatch: pytest.MonkeyPatch, plans: dict[str, list[str | Exception]]) -> list[str]:
    """Have commits of a message raise before they are made (an error) or after ("lost": their reply is lost)."""
    real: Commit = icechunk.Session.commit
    seen: list[str] = []

    def commit(session: icechunk.Session, message: str, *args: Any, **options: Any) -> str:
        waiting = plans.get(message, [])
        plan = waiting.pop(0) if waiting else "as it is"
        seen.append(message)
        if isinstance(plan, Exception):
            raise plan
        snapshot = real(session, message, *args, **options)
        if plan == "lost":
            raise ConnectionResetError("the reply was lost")
        return snapshot

    monkeypatch.setattr(icechunk.Session, "commit", commit)
    return seen


def test_structure_and_data_are_two_marked_commits(undisturbed: Job) -> None:
    assert messages(undisturbed)[:2] == [DATA, STRUCTURE]
    made = list(undisturbed.open_cube().ancestry(branch=store.BRANCH))[:2]
    assert all(snapshot.metadata[MARK] for snapshot in made)
    assert all(snapshot.metadata["years"] == [FIRST] for snapshot in made)


def test_a_second_call_finds_all_up_to_date_and_commits_nothing(job: Job) -> None:
    assert aggregate_cube(job).done == (FIRST,)
    tip = store.tip(job.open_cube())
    again = aggregate_cube(job)
    assert (again.done, again.kept, dict(again.incomplete)) == ((), (FIRST,), {LAST: 1})
    assert store.tip(job.open_cube()) == tip


def test_transient_errors_of_commits_are_tried_again_with_the_same_content(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    real = aggregate.aggregate_daily

    def counted(*args: Any, days: int) -> Any:
        computed.append(days)
        return real(*args, days=days)

    monkeypatch.setattr(aggregate, "aggregate_daily", counted)
    timeout = icechunk.IcechunkError("  x session error\n  `-> operation timed out\n")
    disk = OSError(errno.EIO, "disk")
    seen = break_commit(monkeypatch, {STRUCTURE: [disk], DATA: [timeout, disk]})
    assert aggregate_cube(job).done == (FIRST,)
    assert seen == [STRUCTURE, STRUCTURE, DATA, DATA, DATA]
    assert computed == [365], "a retry computes nothing again"
    assert content(job) == content(undisturbed)


@pytest.mark.parametrize("function", ["read_annual", "read_days", "write"])
def test_transient_errors_of_reads_and_writes_are_tried_again_with_the_same_content(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    real, faults = getattr(layout, function), [OSError(errno.EIO, "disk")] * 2

    def faulty(*args: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return real(*args, **options)

    monkeypatch.setattr(layout, function, faulty)
    assert aggregate_cube(job).done == (FIRST,)
    assert not faults
    assert content(job) == content(undisturbed)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EIO, r"cube\.icechunk: the storage failed, .* broken; check the storage"),
        (errno.ENOSPC, r"cube\.icechunk: cannot be written any more: .* broken; .*free space"),
    ],
)
def test_an_error_that_stays_ends_in_one_sentence_and_shows_no_year(
    job: Job, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def broken(*_args: Any) -> None:
        raise OSError(number, "broken")

    monkeypatch.setattr(layout, "write", broken)
    with pytest.raises(UserError, match=message):
        aggregate_cube(job)
    assert_nothing_shown(job)


@pytest.mark.parametrize("lost", [STRUCTURE, DATA])
def test_a_commit_whose_reply_was_lost_is_found_and_not_made_twice(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    seen = break_commit(monkeypatch, {lost: ["lost"]})
    assert aggregate_cube(job).done == (FIRST,)
    assert seen == [STRUCTURE, DATA]
    assert messages(job) == messages(undisturbed)
    assert content(job) == content(undisturbed)


@pytest.mark.parametrize("step", ["aggregates", "daily at 0.5 degree"])
def test_a_foreign_commit_is_refused_by_name_and_nothing_is_shown(job: Job, step: str) -> None:
    def progress(name: str, done: int, _total: int) -> None:
        if (name, done) == (step, 1):
            foreign = Committer(job.open_cube(), "elsewhere")
            foreign.commit("theirs", lambda root: root.attrs.update({"theirs": 1}))

    with pytest.raises(CommitError, match="'theirs'"):
        aggregate_cube(job, progress=progress)
    assert messages(job)[0] == "theirs"
    assert_nothing_shown(job)


def test_a_lost_lease_stops_before_the_commit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [True]

    def still_held() -> None:
        if not held[0]:
            raise UserError("the lease was taken by another process")

    monkeypatch.setattr(store, "sole_writer", lambda _location: nullcontext(still_held))
    with pytest.raises(UserError, match="lease was taken"):
        aggregate_cube(job, progress=lambda *_: held.__setitem__(0, False))
    assert messages(job)[0] == STRUCTURE
    assert_nothing_shown(job)


class KilledError(BaseException):
    """An end that nothing catches, as that of a killed process."""


def killed(job: Job, monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
    """Aggregate, and end in the call of a function."""

    def kill(*_args: object, **_options: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(target, name, kill)
        with pytest.raises(KilledError):
            aggregate_cube(job)


def assert_nothing_shown(job: Job) -> None:
    """No reader takes a year for aggregated: not the audit, no export, no table."""
    root = newest(job)
    assert layout.sources(root) == layout.sources(root, layout.COARSE) == {}
    assert comparable_years(root, {FIRST: Ledger(root).year_digest(FIRST)}) == ()
    with pytest.raises(UserError, match="absent or older than the results"):
        export_cogs(job, Selection(years=(FIRST,), grid="0.5"), str(job.path.parent / "never"))
    assert not tables.have_year(exports(job), FIRST)


def assert_completed(job: Job, undisturbed: Job) -> None:
    report: AggregateReport = aggregate_cube(job)
    assert report.done == (FIRST,)
    assert content(job) == content(undisturbed)


def test_a_kill_between_structure_and_data_shows_nothing_and_the_next_call_completes_it(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(job, monkeypatch, aggregate, "aggregate_daily")
    assert messages(job)[0] == STRUCTURE
    assert layout.FINE in newest(job)
    assert_nothing_shown(job)
    assert_completed(job, undisturbed)


def test_a_kill_between_data_and_tables_is_completed_by_the_next_call(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(job, monkeypatch, tables, "write_years")
    assert messages(job)[0] == DATA
    assert_completed(job, undisturbed)


def test_no_table_keeps_old_rows_of_a_year_that_was_aggregated_again(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process killed after the commit must leave no rows of before it: they would pass for up to date."""
    aggregate_cube(job)
    forget = Committer(job.open_cube(), "here")
    forget.commit("other results", lambda root: layout.record_sources(root, {FIRST: "of other results"}))
    killed(job, monkeypatch, tables, "write_years")
    assert not tables.have_year(exports(job), FIRST)
    assert_completed(job, undisturbed)


def test_tables_that_were_removed_are_made_again(job: Job, undisturbed: Job) -> None:
    aggregate_cube(job)
    shutil.rmtree(tables.tables_location(exports(job)))
    assert_completed(job, undisturbed)


def test_an_incomplete_year_that_is_named_is_refused(job: Job) -> None:
    with pytest.raises(UserError, match=f"{LAST}: 1 of its tiles have no result in the cube; run `agcarbon run"):
        aggregate_cube(job, years=(FIRST, LAST))
    with pytest.raises(UserError, match="2050: none of its tiles has"):
        aggregate_cube(job, years=(2050,))
