"""Whether a scheduler answers, before long work begins."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest

from pipeline.cluster.reach import check_scheduler
from pipeline.cluster.workers import drop_noise
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings


def test_an_address_where_something_listens_is_taken_and_another_refused(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        file.write_text(json.dumps({"address": address}))
        for scheduler in (address, address.removeprefix("tcp://"), str(file)):
            check_scheduler(ExecutionSettings(scheduler=scheduler))
    for scheduler in (address, str(file)):
        with pytest.raises(UserError, match="no Dask scheduler answers at tcp:"):
            check_scheduler(ExecutionSettings(scheduler=scheduler))


@pytest.mark.parametrize("text", [None, "no JSON", "{}", "[]"])
def test_a_missing_or_foreign_scheduler_file_is_refused_with_the_remedy(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="start a scheduler with `dask scheduler --scheduler-file"):
        check_scheduler(ExecutionSettings(scheduler=str(file)))


def test_slurm_without_sbatch_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no `sbatch`"):
        check_scheduler(ExecutionSettings(scheduler="slurm"))
    check_scheduler(ExecutionSettings(scheduler="local"))


def test_messages_on_the_end_of_a_cluster_are_dropped_and_others_kept(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        drop_noise()
    nanny, worker = logging.getLogger("distributed.nanny"), logging.getLogger("distributed.worker")
    assert len(nanny.filters) == 1
    lost = "Failed to communicate with scheduler during heartbeat."
    for logger, message in ((nanny, "Worker process still alive after 4.0 seconds, killing"), (worker, lost)):
        logger.addHandler(caplog.handler)
        logger.error(message)
        logger.error("killed")
        logger.removeHandler(caplog.handler)
    assert {record.getMessage() for record in caplog.records} == {"killed"}
