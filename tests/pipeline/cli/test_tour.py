"""The demo: a stop ends it after the step that is under way, and nothing later begins."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import tour
from pipeline.cluster.executor import Executor


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_while_it_ingests_begins_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def ingest(*_: Any, executor: Executor, **__: Any) -> str:
        os.kill(os.getpid(), number)
        assert executor.stop.asked
        return "a report"

    begun: list[str] = []
    monkeypatch.setattr(tour, "_archives", lambda _folder: None)
    monkeypatch.setattr(tour, "plan_ingest", lambda *_, **__: None)
    monkeypatch.setattr(tour, "ingest", ingest)
    monkeypatch.setattr(tour, "run", lambda *_, **__: begun.append("run"))
    with pytest.raises(typer.Exit) as ended:
        tour.take_tour(tmp_path)
    assert (ended.value.exit_code, begun) == (130, [])
