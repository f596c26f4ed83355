"""The executor on Dask: every item ends once, whatever becomes of the workers, and nothing grows with their number."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from distributed import Client, LocalCluster

from pipeline.cluster import clients, workers
from pipeline.cluster.dask import OnDask, open_executor, worker_count
from pipeline.cluster.executor import Executor
from pipeline.cluster.flight import TICK_SECONDS
from pipeline.cluster.stop import Stop
from pipeline.cluster.workers import ExpectedWorkers
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from tests.helpers.cluster_work import by_number, tries, work


def test_the_caller_is_called_while_nothing_ends() -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        ended = {}
        executor = OnDask(lambda: client)
        for outcome in executor.map(sleep, [0.0, 5 * TICK_SECONDS], on_wait=lambda: waits.append(time.monotonic())):
            ended[outcome.item] = time.monotonic()
    first, last = ended[0.0], ended[5 * TICK_SECONDS]
    assert sum(first < wait < last for wait in waits) >= 2


@pytest.mark.slow
def test_a_scheduler_keeps_nothing_of_items_that_have_ended() -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        spans = cluster.scheduler.extensions["spans"].spans

        def kept() -> int:
            return len(spans) + sum(len(span.groups) for span in spans.values()) + len(cluster.scheduler.tasks)

        with Client(cluster) as client:
            executor = OnDask(lambda: client)
            counts = []
            for _ in executor.map(str, range(60)):
                counts.append(kept())
    assert len(counts) == 60
    assert max(counts[30:]) <= max(counts[:30])


_held: list[np.ndarray[tuple[int], np.dtype[np.uint8]]] = []


def keep(item: tuple[int, float]) -> int:
    """Have the process hold so many bytes, as the C library holds freed memory, and wait."""
    held, seconds = item
    missing = held - psutil.Process().memory_info().rss
    if missing > 0:
        _held.append(np.ones(missing, np.uint8))
    time.sleep(seconds)
    return psutil.Process().memory_info().rss


@pytest.mark.slow
def test_a_worker_that_keeps_most_of_its_memory_after_an_item_gets_the_next_one() -> None:
    """By default Dask gives no item to a worker above 80 % of its limit, and would wait forever."""
    with open_executor(ExecutionSettings(workers=1, memory_limit="1GiB")) as executor:
        held = [outcome.result or 0 for outcome in executor.map(keep, [(int(0.87 * 2**30), 3.0)] * 3)]
    assert len(held) == 3
    assert all(0.82 * 2**30 < each < 0.93 * 2**30 for each in held)


def listening() -> set[str]:
    """Addresses at which this process and its children listen."""
    own = psutil.Process()
    return {
        connection.laddr.ip
        for process in (own, *own.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("dashboard", [False, True])
def test_a_local_cluster_listens_on_the_loopback_interface_only(dashboard: bool) -> None:
    before = listening()
    with open_executor(ExecutionSettings(workers=1, dashboard=dashboard)) as executor:
        (outcome,) = executor.map(str, [1])
        assert listening() - before <= {"127.0.0.1"}
    assert outcome.result == "1"


def settings_of_worker(_item: int) -> tuple[bool, object]:
    """Whether the C library took the thresholds, and the share of memory at which Dask pauses this worker."""
    from distributed import get_worker

    return workers.keep_freed_memory(), get_worker().memory_manager.memory_pause_fraction


def device_of_worker(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ.get("CUDA_VISIBLE_DEVICES", "all")


@pytest.mark.parametrize(("number", "workers_with_two_devices"), [(0, 2), (1, 1), (16, 2)])
def test_a_local_cluster_has_at_most_one_worker_for_each_cuda_device(
    number: int, workers_with_two_devices: int
) -> None:
    settings = ExecutionSettings(workers=number)
    assert worker_count(settings, ["3", "GPU-7"]) == workers_with_two_devices
    assert worker_count(settings) == (number or os.cpu_count())


def test_each_worker_of_a_local_cluster_sees_one_cuda_device() -> None:
    with open_executor(ExecutionSettings(workers=16, memory_limit="1GiB"), devices=["3", "GPU-7"]) as executor:
        outcomes = list(executor.map(device_of_worker, [2.0] * 2))
    assert sorted(outcome.result or outcome.error or "" for outcome in outcomes) == ["3", "GPU-7"]


def faults_of(cluster: LocalCluster) -> str:
    """The refusal of a cluster that someone else has started."""
    settings = ExecutionSettings(scheduler=cluster.scheduler_address)
    with open_executor(settings) as executor, pytest.raises(UserError) as refusal:
        list(executor.map(str, [1]))
    return str(refusal.value)


def test_workers_of_others_get_the_settings_of_ours_and_are_refused_by_name_if_they_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        with open_executor(ExecutionSettings(scheduler=cluster.scheduler_address)) as executor:
            (outcome,) = executor.map(settings_of_worker, [1])
        assert outcome.result == (True, False)
        own = dict(workers.software())
        monkeypatch.setattr(workers, "_version", lambda name: "1.0" if name == "numpy" else own[name])
        monkeypatch.setattr(workers, "_code_digest", lambda: "0" * 8)
        workers.software.cache_clear()
        (name,) = cluster.scheduler.workers
        try:
            refusal = faults_of(cluster)
        finally:
            workers.software.cache_clear()
    assert refusal.startswith(f"worker {name}: numpy is {own['numpy']} there and 1.0 here; code of agcarbon is ")
    assert "install the coordinator's release" in refusal


def test_a_cluster_without_workers_or_with_many_threads_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "_JOIN_SECONDS", 1.0)
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster:
        address = cluster.scheduler_address
        assert f"has no worker, and none joined within 1 s; start some with `dask worker {address}" in faults_of(
            cluster
        )
    with LocalCluster(n_workers=1, threads_per_worker=3, dashboard_address="127.0.0.1:0") as cluster:
        assert "has 3 threads, and a block needs a process of its own; start it with `--nworkers 3 --" in faults_of(
            cluster
        )


def test_an_address_without_a_scheduler_is_refused() -> None:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        open_executor(ExecutionSettings(scheduler="tcp://127.0.0.1:1")) as executor,
        pytest.raises(UserError, match="no Dask scheduler answers there"),
    ):
        list(executor.map(str, [1]))


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


def test_a_worker_that_is_absent_longer_than_dask_waits_is_not_given_up(tmp_path: Path) -> None:
    """By default Dask waits for 15 s, and a run without workers would wait forever."""
    settings = ExecutionSettings(workers=1, memory_limit="1GiB")
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "0.05s"}), open_executor(settings) as executor:
        found = by_number(executor.map(work, [("dies once", str(tmp_path), number) for number in range(2)]))
    assert [found[number].result for number in range(2)] == [0, 1]
    assert tries(tmp_path, 0) == tries(tmp_path, 1) == 2


def test_a_cluster_that_stays_without_workers_ends_the_work_with_one_sentence(tmp_path: Path) -> None:
    expected = ExpectedWorkers(1.0, "all have gone, and none", "start the same run again")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        executor = OnDask(lambda: client, expected=expected)
        outcomes = executor.map(
            work, [("is done", str(tmp_path), 0), ("hangs", str(tmp_path), 1)], on_wait=partial(cluster.scale, 0)
        )
        assert next(outcomes).error is None
        with pytest.raises(UserError, match=r"^all have gone, and none joined within 1 s; start the same run again$"):
            next(outcomes)


@pytest.mark.slow
def test_a_cluster_that_is_to_stop_ends_the_items_that_were_begun(
    tmp_path: Path, cluster: tuple[Executor, Stop]
) -> None:
    executor, stop = cluster
    found: dict[int, Any] = {}
    for outcome in executor.map(work, (("waits", str(tmp_path), number) for number in range(50))):
        found[outcome.item[2]] = outcome.result
        stop.ask()
    assert 1 <= len(found) <= 4
    assert {int(mark.name) for mark in tmp_path.iterdir()} - found.keys() == set()


@pytest.mark.slow
def test_a_scheduler_that_is_lost_ends_the_work_with_one_sentence(tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        settings = ExecutionSettings(scheduler=cluster.scheduler_address)
        with open_executor(settings) as executor:
            outcomes = executor.map(work, (("is done", str(tmp_path), number) for number in range(10**6)))
            assert next(outcomes).error is None
            cluster.close()
            with pytest.raises(UserError, match="connection to the Dask scheduler is lost"):
                list(outcomes)
