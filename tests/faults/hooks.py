"""Faults at a step of a run: functions of the pipeline are wrapped, in the process that is to suffer alone."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr

CUBE, INPUTS = "cube/cube.icechunk", "inputs.icechunk"  # in the folder of a trial
STEPS = {
    "create": ("pipeline.storage.repository", "create"),
    "mask": ("pipeline.cube.layout", "write_mask"),
    "room": ("pipeline.cube.layout", "add_years"),
    "read": ("pipeline.inputs.view", "InputsView.read_tile_year"),
    "layer": ("pipeline.cube.layout", "on_tile"),  # between the layers of a tile-year that is being written
    "write": ("pipeline.cube.layout", "write_tile_year"),
    "restart": ("pipeline.cube.restarts", "write_restart"),
    "sum": ("pipeline.aggregate.bands", "cell_sums"),  # of a tile, in the middle of a band
    "map": ("pipeline.aggregate.layout", "write"),
    "square": ("pipeline.export.clip", "Clip.cut"),  # of the maps that are drafted together
    "file": ("pipeline.export.maps", "finish"),
    "catalog": ("pipeline.export.geotiffs", "write_catalog"),
    "merge": ("icechunk", "Session.merge"),
    "record": ("pipeline.cube.ledger", "record"),
    "commit": ("icechunk", "Session.commit"),
    "prune": ("pipeline.cube.ledger", "forget_restarts"),
    "collect": ("icechunk", "Repository.garbage_collect"),
    "release": ("icechunk", "Repository.create_tag"),
    "delete a release": ("icechunk", "Repository.delete_tag"),
    "move the branch": ("icechunk", "Repository.reset_branch"),
}
IN_WORKERS = ("read", "layer", "write", "restart", "sum", "map", "square", "file")
CHANGES = ("commit", "release", "delete a release", "move the branch")  # calls by which a command changes a store
FOREIGN = "foreign.json"  # names the store and the snapshot of a commit that another program made


@dataclass(frozen=True)
class Hook:
    """What happens at which call of which step.

    Attributes
    ----------
    step, when
        A name of `STEPS`, and `before` or `after` it; after a commit, its acknowledgement is what is lost.
    nth
        The call of a process, from 1, at which it happens first.
    times
        How often in all processes together, in the calls that follow.
    action
        A name of `ACTIONS`.
    """

    step: str
    when: str
    nth: int
    times: int
    action: str


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_group() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt() -> None:
    os.killpg(os.getpgrp(), signal.SIGINT)  # as a terminal's Ctrl-C: to all processes of the foreground


def _hang() -> None:
    time.sleep(3600)


def _take_memory() -> None:
    held = [np.ones(2**25) for _ in range(32)]  # 8 GiB, every page of it touched
    time.sleep(60)
    held.clear()


def _fail_reading() -> None:
    raise OSError(errno.EIO, "injected: input/output error")


def _fill_disk() -> None:
    raise OSError(errno.ENOSPC, "injected: no space left on device")


def _reset_connection() -> None:
    raise icechunk.IcechunkError("injected: error sending request: connection reset by peer")


def _commit_past_the_lock(location: str) -> None:
    """Commit as another program would that knows nothing of the lock."""
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(location))
    session = repository.writable_session("main")
    zarr.open_group(session.store, mode="a").attrs["note"] = "of another program"
    snapshot = session.commit("foreign")
    Path(FOREIGN).write_text(json.dumps({"location": str(Path(location).resolve()), "snapshot": snapshot}))


ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _kill,
    "kill group": _kill_group,
    "SIGTERM": _terminate,
    "SIGINT": _interrupt,
    "hang": _hang,
    "take memory": _take_memory,
    "EIO": _fail_reading,
    "ENOSPC": _fill_disk,
    "connection reset": _reset_connection,
    "foreign commit to the cube": lambda: _commit_past_the_lock(CUBE),
    "foreign commit to the inputs": lambda: _commit_past_the_lock(INPUTS),
}


def install(hook: Hook, trace: Path) -> None:
    """Wrap the step in this process and those that it forks; each time it happens leaves a file in `trace`."""
    calls = 0

    def happens() -> bool:
        nonlocal calls
        calls += 1
        return calls >= hook.nth and _claim(trace, hook.times)

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            now = happens()
            if now and hook.when == "before":
                ACTIONS[hook.action]()
            result = function(*args, **kwargs)
            if now and hook.when == "after":
                ACTIONS[hook.action]()
            return result

        return wrapped

    _replace(hook.step, wrap)


def count_calls(into: Counter[str]) -> None:
    """Count the calls of every step in this process."""

    def counted(step: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                into[step] += 1
                return function(*args, **kwargs)

            return wrapped

        return wrap

    for step in STEPS:
        _replace(step, counted(step))


def _replace(step: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    module, path = STEPS[step]
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    setattr(owner, name, wrap(getattr(owner, name)))


def _claim(trace: Path, times: int) -> bool:
    """Take one of the times that are left, whichever process of the trial asks; a killed one keeps what it took."""
    for turn in range(times):
        try:
            os.close(os.open(trace / f"happened-{turn}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        return True
    return False


def happened(trace: Path) -> int:
    """Return how often a hook with this trace did what it should."""
    return len(list(trace.glob("happened-*")))
