"""Heartbeats reach the listener of the block that they come from."""

from __future__ import annotations

import time

import pytest

from pipeline.progress import Work, Works, heartbeat, on_heartbeat


def test_heartbeats_reach_only_the_listener_of_their_block() -> None:
    heard: list[str] = []
    heartbeat()
    with on_heartbeat(lambda: heard.append("outer")):
        heartbeat()
        with on_heartbeat(lambda: heard.append("inner")):
            heartbeat()
        heartbeat()
    heartbeat()
    assert heard == ["outer", "inner", "outer"]


def test_a_listener_is_called_at_most_once_in_its_interval() -> None:
    heard: list[str] = []
    with on_heartbeat(lambda: heard.append("beat"), seconds=3600):
        for _ in range(5):
            heartbeat()
    assert heard == ["beat"]


def test_remaining_time_counts_down_between_reports_and_never_below_zero() -> None:
    work = Work("blocks", began=100.0)
    work.report(10, 40, 0, now=200.0)  # 10 s a step, 30 steps left
    assert [work.pace(now) for now in (200.0, 260.0, 900.0)] == [
        f"6.0/min, {left} remaining" for left in ("5 min 0 s", "4 min 0 s", "0 s")
    ]


def test_a_work_without_a_step_has_neither_rate_nor_remaining_time() -> None:
    work = Work("blocks", began=100.0)
    work.report(0, 40, 2, now=200.0)
    assert work.sentence(300.0) == "blocks: 0 of 40, 2 failed"


def test_lines_come_while_no_step_ends_and_an_ended_work_is_named_once() -> None:
    lines: list[str] = []
    with Works(lines.append, seconds=0.05) as works:
        time.sleep(0.2)
        quiet = len(lines)
        works.report("months", 0, 12)
        time.sleep(0.2)
        stuck = len(lines)
        works.report("months", 12, 12)
        works.report("blocks", 1, 2)
        time.sleep(0.2)
        works.report("blocks", 2, 2)
    assert quiet >= 2
    assert all(line.endswith("since the start, no new step ended") for line in lines[:quiet])
    assert stuck - quiet >= 2
    assert "months: 0 of 12" in lines[stuck - 1]
    assert sum("months: 12 of 12" in line for line in lines) == 1
    assert lines[-1].startswith("blocks: 2 of 2, ")


def test_a_work_begins_when_it_is_reported_or_when_the_one_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    works = Works(lambda _: None, seconds=30)
    for at, name, done in ((10, "first", 1), (20, "first", 2), (30, "second", 1), (40, "third", 0), (50, "third", 1)):
        now[0] = at
        work = works.report(name, done, 2)
    assert (works.report("first", 2, 2).began, works.report("second", 1, 2).began, work.began) == (0.0, 20.0, 40.0)
    assert works.report("third", 0, 5).done == 0  # the same work on something else begins anew
