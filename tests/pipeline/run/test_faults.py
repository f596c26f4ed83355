"""Faults during a run: committed results stay and are complete, and the same command ends with the same cube."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import icechunk
import pytest
import torch

from model.checkpoint import Checkpoint
from model.inference import Predictor
from model.year_step.predictor import CompiledPredictor
from model.year_step.usable import PYTORCH
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run import block
from pipeline.run.run import RunReport, run
from pipeline.storage import repository
from pipeline.storage.retry import RetryPolicy
from tests.helpers.commits import transaction
from tests.helpers.copied_runs import WANTED, Undisturbed, assert_equal, undisturbed
from tests.helpers.random_inputs import Fields, random_checkpoint, write_inputs

FULL = "  x object store error\n  `-> No space left on device (os error 28)\n"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("faults"), checkpoint)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "waits", lambda self, _: iter([0.0] * self.retries))


def go(job: Job, executor: Serial | None = None) -> RunReport:
    return run(job, executor or Serial(), years=WANTED)


def assert_ends_well(job: Job, wanted: Undisturbed) -> None:
    """The same run, undisturbed now, ends with the cube of a run that never was disturbed."""
    report = go(job)
    assert not report.failures
    assert not report.stopped
    assert_equal(job, wanted)
    assert go(job).totals.tile_years == 0


def messages(job: Job) -> list[str]:
    return [snapshot.message for snapshot in job.open_cube().ancestry(branch=repository.BRANCH)]


class Between(Serial):
    """Does something once, when the first block has ended."""

    def __init__(self, act: Callable[[Between], None]) -> None:
        super().__init__()
        self._act: Callable[[Between], None] | None = act

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> Iterator[Outcome[Any, Any]]:
        for outcome in super().map(function, items, **options):
            yield outcome
            if not isinstance(outcome.item, block.MaskTask) and self._act:
                act, self._act = self._act, None
                act(self)


def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, errors: dict[int, Exception]) -> list[int]:
    """Have some calls of a function raise, by their number from 0; return the numbers of the calls."""
    real, calls = getattr(owner, name), []

    def instead(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(calls))
        if calls[-1] in errors:
            raise errors[calls[-1]]
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, instead)
    return calls


def test_transient_errors_leave_no_trace(tmp_path: Path, whole: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    job = whole.copy(tmp_path)
    reads = failing(monkeypatch, block, "gather", dict.fromkeys((0, 1, 2, 4, 8, 9), OSError(errno.EIO, "flaky")))
    timeout = icechunk.IcechunkError("  x error\n  `-> operation timed out\n")
    writes = failing(monkeypatch, layout, "write_tile_year", {0: timeout, 1: ConnectionResetError(), 4: timeout})
    assert not go(job).failures
    assert len(reads) > 9
    assert len(writes) > 4
    monkeypatch.undo()
    assert_equal(job, whole)


@pytest.mark.slow
def test_a_read_error_that_stays_fails_its_tile_by_name_and_stops_no_other(
    tmp_path: Path, whole: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = whole.copy(tmp_path)
    go(job, Between(lambda executor: executor.stop.ask()))
    real, bad = block.gather, layout.tiles(repository.read(job.open_cube()))[-1].tile  # type: ignore[index]

    def gather(region: Any, view: Any, tile: Any, *args: Any) -> Any:
        if tile == bad:
            raise OSError(errno.EACCES, "Permission denied", "some/chunk")
        return real(region, view, tile, *args)

    monkeypatch.setattr(block, "gather", gather)
    report = go(job)
    assert {tile for tile, _ in report.failures} == {bad.name}
    (message,) = report.failures.values()
    assert job.run_file.stores.inputs in message
    assert "some/chunk" in message
    assert bad.name in message
    assert report.totals.tile_years > 0
    monkeypatch.undo()
    assert_ends_well(job, whole)


def _cut(chunk: Path) -> None:
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])


def _alter(chunk: Path) -> None:
    content = bytearray(chunk.read_bytes())
    for place in range(10, len(content) - 10, 50):
        content[place] ^= 4
    chunk.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, id="vanished", marks=pytest.mark.slow),
        pytest.param(_cut, id="cut short", marks=pytest.mark.slow),
        pytest.param(_alter, id="altered"),
    ],
)
def test_a_damaged_input_fails_its_tile_until_it_is_restored(
    tmp_path: Path, whole: Undisturbed, damage: Callable[[Path], None]
) -> None:
    job = whole.copy(tmp_path)
    chunks = Path(job.run_file.stores.inputs) / "chunks"
    before = set(chunks.iterdir())
    write_inputs(job, Fields(), years=(2011,))  # the same once more: its chunks are those that are new
    chunk = max(set(chunks.iterdir()) - before, key=lambda path: path.stat().st_size)
    intact = chunk.read_bytes()
    damage(chunk)
    report = go(job)
    ((_, message),) = report.failures.items()
    assert job.run_file.stores.inputs in message
    assert report.totals.tile_years > 0
    chunk.write_bytes(intact)
    assert_ends_well(job, whole)


def test_a_batch_that_memory_cannot_hold_fails_its_tile_with_the_remedy_and_stops_no_other(
    tmp_path: Path, whole: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = whole.copy(tmp_path)
    used = Predictor if job.year_step == PYTORCH else CompiledPredictor
    real, calls = used._members, count()

    def members(self: Any, *args: Any) -> Any:
        if next(calls) == 0:
            torch.empty(2**55)
        return real(self, *args)

    monkeypatch.setattr(used, "_members", members)
    report = go(job)
    assert len({tile for tile, _ in report.failures}) == 1
    assert all("lower batch_cells" in message for message in report.failures.values())
    assert report.totals.tile_years > 0
    assert_ends_well(job, whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"none"), Path.unlink], ids=["corrupted", "vanished"])
def test_a_checkpoint_that_is_lost_on_the_way_fails_what_is_left(
    tmp_path: Path, whole: Undisturbed, damage: Callable[[Path], None]
) -> None:
    job = whole.copy(tmp_path)
    intact = job.checkpoint_path.read_bytes()

    def act(_: Between) -> None:
        damage(job.checkpoint_path)
        block._predictor.cache_clear()  # as in a worker that begins later

    report = go(job, Between(act))
    assert report.totals.tile_years == 1
    assert report.failures
    assert all(str(job.checkpoint_path) in message for message in report.failures.values())
    job.checkpoint_path.write_bytes(intact)
    assert_ends_well(job, whole)


@pytest.mark.slow
def test_another_checkpoint_is_not_mixed_in(tmp_path: Path, whole: Undisturbed, checkpoint: Checkpoint) -> None:
    job = whole.copy(tmp_path)
    weights = {name: array * 1.01 for name, array in checkpoint.weights.items()}
    intact = job.checkpoint_path.read_bytes()

    def act(_: Between) -> None:
        replace(checkpoint, weights=weights).save(job.checkpoint_path)
        block._predictor.cache_clear()

    report = go(job, Between(act))
    assert all("changed during the run" in message for message in report.failures.values())
    assert report.failures
    job.checkpoint_path.write_bytes(intact)
    assert_ends_well(Job.open(job.path), whole)


@pytest.mark.parametrize("place", [pytest.param("chunk", marks=pytest.mark.slow), "commit"])
def test_a_full_disk_ends_the_run_and_leaves_it_whole(
    tmp_path: Path, whole: Undisturbed, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    job = whole.copy(tmp_path)
    owner, name = (layout, "write_tile_year") if place == "chunk" else (icechunk.Session, "commit")
    full = icechunk.IcechunkError(FULL)
    calls = failing(monkeypatch, owner, name, dict.fromkeys(range(4 if place == "commit" else 2, 100), full))
    with pytest.raises(UserError, match=r"small\.icechunk: cannot be written any more: .*No space left.*free space"):
        go(job)
    assert len(calls) < 8  # no other tile was tried
    monkeypatch.undo()
    known = Ledger(repository.read(job.open_cube()))
    assert not known.failures
    done = int((known.column("cells") > 0).sum())
    assert done > 0
    report = go(job)
    assert report.totals.tile_years == len(WANTED) * len(known.tiles) - done
    assert_equal(job, whole)


@pytest.mark.slow
def test_replies_that_are_lost_make_no_commit_twice(
    tmp_path: Path, whole: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = icechunk.Session.commit

    def commit(session: icechunk.Session, *args: Any, **kwargs: Any) -> str:
        real(session, *args, **kwargs)
        raise ConnectionResetError("the reply was lost")

    job, plain = whole.copy(tmp_path / "lost"), whole.copy(tmp_path / "plain")
    monkeypatch.setattr(icechunk.Session, "commit", commit)
    assert not go(job).failures
    monkeypatch.undo()
    assert_equal(job, whole)
    go(plain)
    assert messages(job) == messages(plain)


@pytest.mark.slow
def test_a_foreign_commit_stops_the_run(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)

    def act(_: Between) -> None:
        with transaction(job.open_cube(), "somebody else's") as root:
            root.attrs["note"] = "theirs"

    with pytest.raises(UserError, match=r"someone else has committed.*somebody else's.*finished tile-years are lost"):
        go(job, Between(act))
    assert messages(job)[0] == "somebody else's"
    assert_ends_well(job, whole)


def test_a_run_that_is_stopped_commits_its_finished_blocks_and_is_resumed_later(
    tmp_path: Path, whole: Undisturbed
) -> None:
    job = whole.copy(tmp_path)
    report = go(job, Between(lambda executor: executor.stop.ask()))
    assert report.stopped
    assert report.totals.tile_years == 1
    assert not report.failures
    assert_ends_well(job, whole)


@pytest.mark.slow
def test_a_run_that_is_stopped_before_its_first_block_leaves_a_cube_that_a_run_completes(
    tmp_path: Path, whole: Undisturbed
) -> None:
    job, executor = whole.copy(tmp_path), Serial()
    executor.stop.ask()
    report = go(job, executor)
    assert report.stopped
    assert report.totals.tile_years == 0
    assert_ends_well(job, whole)


def test_the_counts_in_the_commits_add_up_to_the_totals(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)
    report = go(job)
    facts = [snapshot.metadata for snapshot in job.open_cube().ancestry(branch=repository.BRANCH)]
    assert sum(fact.get("tile_years", 0) for fact in facts) == report.totals.tile_years
    assert {year for fact in facts for year in fact.get("years", [])} == set(WANTED)
    known = Ledger(repository.read(job.open_cube()))
    assert report.totals.missing_cell_years + report.totals.cell_years == known.column("cells").sum()
    mean = (known.column("balance_residual") * known.column("cells")).sum() / known.column("cells").sum()
    assert report.totals.mean_residual == pytest.approx(mean, rel=1e-6)
