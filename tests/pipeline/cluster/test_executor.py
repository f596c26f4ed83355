"""The serial executor: every item ends once, in order, with a result or an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cluster.executor import Serial
from tests.helpers.cluster_work import Work, by_number, work


def test_serial_ends_every_item_and_distinguishes_fatal_errors(tmp_path: Path) -> None:
    items = [(kind, str(tmp_path), number) for number, kind in enumerate(("is done", "refuses", "fills the disk"))]
    found = by_number(Serial().map(work, items))
    assert [found[number].result for number in range(3)] == [0, None, None]
    assert [found[number].fatal for number in range(3)] == [False, False, True]
    assert found[1].error == "bad input"
    assert "No space left" in (found[2].error or "")


def test_a_bug_is_not_taken_for_a_bad_item() -> None:
    def broken(_: int) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Serial().map(broken, [1]))


def test_serial_draws_no_item_after_a_stop_is_requested(tmp_path: Path) -> None:
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
