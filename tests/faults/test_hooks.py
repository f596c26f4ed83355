"""Faults happen where, when and as often as they were drawn."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.cube import layout
from pipeline.storage import repository as store
from tests.faults import hooks, kinds
from tests.faults.hooks import STEPS, Hook
from tests.faults.scenarios import RUN, Scenario, Undisturbed


@pytest.fixture
def scenarios() -> dict[str, Scenario]:
    calls = Counter(dict.fromkeys(STEPS, 9))
    nothing = Undisturbed({}, {})
    return {
        name: Scenario(name, Path(), RUN, (RUN,), True, nothing, calls, seconds=2.0, written=10_000)
        for name in (*kinds.EVERYWHERE, "damage")
    }


def test_every_step_is_a_function_that_calls_can_be_counted_of(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[str] = Counter()
    monkeypatch.setattr(hooks, "STEPS", {"layer": STEPS["layer"]})
    monkeypatch.setattr(layout, "on_tile", lambda: "written")
    hooks.count_calls(counted)
    assert layout.on_tile() == "written"  # type: ignore[call-arg]
    assert counted == {"layer": 1}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_a_function_of_the_pipeline(step: str) -> None:
    module, path = STEPS[step]
    owner: object = importlib.import_module(module)
    for name in path.split("."):
        owner = getattr(owner, name)
    assert callable(owner)


def _struck(hook: Hook, trace: Path, monkeypatch: pytest.MonkeyPatch, *, calls: int) -> list[bool]:
    """Say of each of some calls, as in a process of their own, whether the fault happened."""
    monkeypatch.setattr(layout, "on_tile", lambda: None)
    hooks.install(hook, trace)
    struck = []
    for _ in range(calls):
        before = hooks.happened(trace)
        with suppress(OSError):
            layout.on_tile()  # type: ignore[call-arg]
        struck.append(hooks.happened(trace) > before)
    return struck


def test_a_fault_happens_from_its_call_on_as_often_as_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Hook("layer", "before", nth=2, times=2, action="EIO")
    assert _struck(hook, tmp_path, monkeypatch, calls=5) == [False, True, True, False, False]


def test_the_times_are_shared_by_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = Hook("layer", "after", nth=2, times=1, action="EIO")
    processes = [_struck(hook, tmp_path, monkeypatch, calls=2) for _ in range(3)]
    assert processes == [[False, True], [False, False], [False, False]]


def test_the_same_seed_and_number_draw_the_same_fault_and_all_kinds_come(scenarios: dict[str, Scenario]) -> None:
    drawn = [kinds.draw(7, trial, scenarios) for trial in range(100)]
    assert drawn == [kinds.draw(7, trial, scenarios) for trial in range(100)]
    assert drawn != [kinds.draw(8, trial, scenarios) for trial in range(100)]
    assert sum(kind.weight for kind in kinds.KINDS) == 100
    assert len({fault.kind for fault in drawn}) == len({kind.draw for kind in kinds.KINDS})
    assert {fault.scenario for fault in drawn} == scenarios.keys()


def test_all_faults_may_strike_one_scenario(scenarios: dict[str, Scenario]) -> None:
    drawn = [kinds.draw(3, trial, scenarios, command="aggregate") for trial in range(100)]
    assert {fault.scenario for fault in drawn} == {"aggregate"}
    assert {"SIGKILL at any time", "SIGKILL of a worker", "SIGTERM at a step"} <= {fault.kind for fault in drawn}


def test_every_hundred_faults_strike_each_committing_command_in_each_way(scenarios: dict[str, Scenario]) -> None:
    ways = {"SIGKILL at a commit", "lost reply to a commit", "commit that fails and then does not", "foreign commit"}
    drawn = {(fault.kind, fault.scenario) for fault in (kinds.draw(3, trial, scenarios) for trial in range(100))}
    assert {(way, command) for way in ways for command in kinds.COMMANDS} <= drawn


def test_a_foreign_commit_is_made_past_the_lock_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    repository = store.create(hooks.CUBE)
    before = store.tip(repository)
    hooks.ACTIONS["foreign commit to the cube"]()
    named = json.loads(Path(hooks.FOREIGN).read_text())
    assert named["snapshot"] == store.tip(repository) != before
    assert Path(named["location"]) == tmp_path / hooks.CUBE
