"""Executors: every item ends once, whatever becomes of the workers."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Executor, Outcome, Serial
from pipeline.cluster.stop import Stop
from pipeline.config import ExecutionSettings
from pipeline.errors import UserError
from pipeline.progress import heartbeat, on_heartbeat
from pipeline.storage import repository as store
from tests.helpers.commits import transaction

Work = tuple[str, str, int]  # what is done, folder of the marks, number


def work(item: Work) -> int:
    """Do as the item says, and leave a mark for each time that it was begun."""
    kind, folder, number = item
    mark = Path(folder) / str(number)
    again = mark.exists()
    with mark.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if kind == "dies" or (kind == "dies once" and not again):
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hangs" or (kind == "hangs once" and not again):
        time.sleep(3600)
    if kind == "beats":
        for _ in range(4):
            time.sleep(1)
            heartbeat()
    if kind == "waits":
        time.sleep(5)
    if kind == "refuses":
        raise UserError("bad input")
    if kind == "fills the disk":
        raise OSError(errno.ENOSPC, "No space left on device")
    return number


def tries(folder: Path, number: int) -> int:
    return len((folder / str(number)).read_text().splitlines())


def by_number(outcomes: Iterator[Outcome[Work, int]]) -> dict[int, Outcome[Work, int]]:
    found: dict[int, Outcome[Work, int]] = {}
    for outcome in outcomes:
        assert outcome.item[2] not in found
        found[outcome.item[2]] = outcome
    return found


def test_serial_ends_every_item_and_tells_fatal_errors_from_others(tmp_path: Path) -> None:
    items = [(kind, str(tmp_path), number) for number, kind in enumerate(("is done", "refuses", "fills the disk"))]
    found = by_number(Serial().map(work, items))
    assert [found[number].result for number in range(3)] == [0, None, None]
    assert [found[number].fatal for number in range(3)] == [False, False, True]
    assert found[1].error == "bad input"
    assert "No space left" in (found[2].error or "")


def test_a_fault_of_ours_is_not_taken_for_a_bad_item() -> None:
    def broken(_: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Serial().map(broken, [1]))


def test_serial_draws_no_item_after_it_was_asked_to_stop(tmp_path: Path) -> None:
    executor, drawn = Serial(), []

    def items() -> Iterator[Work]:
        for number in range(9):
            drawn.append(number)
            yield "is done", str(tmp_path), number

    for outcome in executor.map(work, items()):
        if outcome.item[2] == 2:
            executor.stop.ask()
    assert len(drawn) <= 4
    assert not (tmp_path / "3").exists()


def test_beats_are_heard_by_the_listener_of_their_block_alone() -> None:
    heard: list[str] = []
    heartbeat()
    with on_heartbeat(lambda: heard.append("outer")):
        heartbeat()
        with on_heartbeat(lambda: heard.append("inner")):
            heartbeat()
        heartbeat()
    heartbeat()
    assert heard == ["outer", "inner", "outer"]


def test_a_listener_that_wants_few_beats_hears_few() -> None:
    heard: list[str] = []
    with on_heartbeat(lambda: heard.append("beat"), seconds=3600):
        for _ in range(5):
            heartbeat()
    assert heard == ["beat"]


def test_a_fork_of_a_large_cube_is_small_to_send(tmp_path: Path) -> None:
    repository = store.create(str(tmp_path / "store"))
    with transaction(repository, "structure") as root:
        root.create_array("a", shape=(300,), chunks=(1,), dtype="f8", fill_value=0)

    def size() -> int:
        return len(pickle.dumps(repository.writable_session(store.BRANCH).fork()))

    empty = size()
    with transaction(repository, "values") as root:
        store.array(root, "a")[...] = range(300)
    assert size() <= empty + 100
    assert empty < 2000


_held: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []


def keep(item: tuple[int, float]) -> int:
    """Have the process hold so many bytes, as the C library does with what was freed, and wait."""
    held, seconds = item
    lacking = held - psutil.Process().memory_info().rss
    if lacking > 0:
        _held.append(np.ones(lacking, np.uint8))
    time.sleep(seconds)
    return psutil.Process().memory_info().rss


@pytest.mark.slow
def test_a_worker_that_keeps_most_of_its_memory_after_an_item_gets_the_next_one() -> None:
    """By default Dask gives none to a worker above four fifths of its limit, and would wait for ever."""
    with open_executor(ExecutionSettings(workers=1, memory_limit="1GiB")) as executor:
        held = [outcome.result or 0 for outcome in executor.map(keep, [(int(0.87 * 2**30), 3.0)] * 3)]
    assert len(held) == 3
    assert all(0.82 * 2**30 < each < 0.93 * 2**30 for each in held)


@pytest.fixture
def cluster() -> Iterator[tuple[Executor, Stop]]:
    stop = Stop(grace_seconds=60)
    with open_executor(ExecutionSettings(workers=2, block_minutes=0.2, memory_limit="1GiB"), stop) as executor:
        yield executor, stop


@pytest.mark.slow
def test_workers_that_die_or_hang_have_their_items_done_elsewhere(
    tmp_path: Path, cluster: tuple[Executor, Stop]
) -> None:
    kinds = ("dies once", "is done", "hangs once", "dies", "hangs", "beats", "refuses", *["is done"] * 5)
    executor, _ = cluster
    found = by_number(executor.map(work, [(kind, str(tmp_path), number) for number, kind in enumerate(kinds)]))
    assert found.keys() == set(range(len(kinds)))
    failed = {number for number, outcome in found.items() if outcome.error}
    assert {kinds[number] for number in failed} == {"dies", "hangs", "refuses"}
    assert "memory_limit" in (found[3].error or "")
    assert "block_minutes" in (found[4].error or "")
    assert tries(tmp_path, 0) >= 2
    assert tries(tmp_path, 2) >= 2
    assert tries(tmp_path, 4) == 2
    assert all(found[number].result == number for number in found.keys() - failed)


@pytest.mark.slow
def test_a_cluster_that_is_asked_to_stop_ends_what_was_begun(tmp_path: Path, cluster: tuple[Executor, Stop]) -> None:
    executor, stop = cluster
    found: dict[int, Any] = {}
    for outcome in executor.map(work, (("waits", str(tmp_path), number) for number in range(50))):
        found[outcome.item[2]] = outcome.result
        stop.ask()
    assert 1 <= len(found) <= 4
    assert {int(mark.name) for mark in tmp_path.iterdir()} - found.keys() == set()


@pytest.mark.slow
def test_a_scheduler_that_is_lost_ends_the_work_with_one_sentence(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        settings = ExecutionSettings(scheduler=cluster.scheduler_address)
        with open_executor(settings) as executor:
            outcomes = executor.map(work, (("is done", str(tmp_path), number) for number in range(10**6)))
            assert next(outcomes).error is None
            cluster.close()
            with pytest.raises(UserError, match="connection to the Dask scheduler is lost"):
                list(outcomes)
