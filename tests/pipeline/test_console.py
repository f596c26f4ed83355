"""Progress in a terminal, outside of one, and in a log file."""

from __future__ import annotations

import logging
import time
from io import StringIO
from pathlib import Path

import pytest

from pipeline import console as module
from pipeline.console import Terminal, progress_bars


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """Output outside a terminal, with a line every 50 ms."""
    file = StringIO()
    monkeypatch.setattr(module, "console", Terminal(file=file, width=200))
    monkeypatch.setattr(module, "LINE_SECONDS", 0.05)
    return file


def test_outside_a_terminal_lines_tell_steps_rate_remaining_time_and_failures(written: StringIO) -> None:
    with progress_bars() as report:
        report("tile-years", 0, 8)
        time.sleep(0.1)
        report("tile-years", 2, 8, 1)
        time.sleep(0.1)
    lines = written.getvalue().splitlines()
    assert len(lines) >= 3
    assert "tile-years: 0 of 8" in lines[0]
    assert " s remaining, 1 failed" in lines[-1]
    assert "tile-years: 2 of 8, " in lines[-1]


def test_in_a_terminal_bars_show_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    file = StringIO()
    monkeypatch.setattr(module, "console", Terminal(file=file, width=200, force_terminal=True))
    with progress_bars() as report:
        report("tile-years", 0, 8)
        time.sleep(0.1)
        report("tile-years", 2, 8)
        time.sleep(0.2)
    assert "2/8" in file.getvalue()
    assert " s remaining" in file.getvalue()
    assert "tile-years:" not in file.getvalue()


def test_the_log_file_holds_the_lines_what_modules_log_and_the_error(tmp_path: Path, written: StringIO) -> None:
    path = tmp_path / "logs" / "a.log"

    def work() -> None:
        with progress_bars(path) as report:
            report("blocks", 1, 2)
            logging.getLogger("pipeline.run").info("begun")
            logging.getLogger("elsewhere").info("not ours")
            logging.getLogger("elsewhere").warning("careful")
            time.sleep(0.1)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    text = path.read_text()
    for part in ("agcarbon ", "blocks: 1 of 2", "begun", "careful", "ended by ValueError: broken"):
        assert f" {part}" in text, part
    assert "not ours" not in text
    assert "blocks: 1 of 2" in written.getvalue()
    assert not any(isinstance(handler, module._LogFile) for handler in logging.getLogger().handlers)


def test_a_log_file_that_cannot_be_written_ends_no_work(tmp_path: Path, written: StringIO) -> None:
    (tmp_path / "logs").touch()
    with progress_bars(tmp_path / "logs" / "a.log") as report:
        report("blocks", 1, 2)
    assert "note: no log file: " in written.getvalue()
    with progress_bars(Path("/dev/full")) as report:
        report("blocks", 1, 2)
