"""Items for executors that succeed, fail, wait, hang, or kill the process that does them."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.cluster.executor import Outcome
from pipeline.errors import UserError
from pipeline.progress import heartbeat

Work = tuple[str, str, int]  # kind of work, folder of the marks, number


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
