"""CPU time is counted once, in the innermost phase."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import measuring
from benchmarks.measuring import Phases


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    return now


class Work:
    def __init__(self, clock: list[float]) -> None:
        self.clock = clock

    def outer(self) -> float:
        self.clock[0] += 1
        return self.inner

    @property
    def inner(self) -> float:
        self.clock[0] += 10
        return self.clock[0]


def test_an_inner_phase_is_taken_from_the_outer_one(clock: list[float]) -> None:
    phases, work = Phases(), Work(clock)
    with phases.watching({"out": ((Work, "outer"),), "in": ((Work, "inner"),)}), phases.phase("beside"):
        clock[0] += 100
        assert work.outer() == 111
    assert phases.seconds == {"beside": 100, "out": 1, "in": 10}


def test_functions_are_as_before_afterwards(clock: list[float]) -> None:
    before = dict(vars(Work))
    with Phases().watching({"in": ((Work, "outer"), (Work, "inner"))}):
        Work(clock).outer()
    assert dict(vars(Work)) == before


def test_a_call_is_timed_by_the_processor(clock: list[float]) -> None:
    assert measuring.cpu_seconds(Work(clock).outer) == 11


def test_results_name_their_command_and_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["somewhere/bench.py", "--rounds", "3", "--write", str(file)])
    measuring.write_results(file, {"ratio": 4.0})
    assert json.loads(file.read_text()) == {"command": "python -m benchmarks.bench --rounds 3", "ratio": 4.0}
