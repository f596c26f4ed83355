"""Child processes of a process that has imported everything: a fork instead of seconds of imports.

The parent must have no threads; neither PyTorch nor Icechunk has started any before it is first used.
"""

from __future__ import annotations

import multiprocessing.forkserver
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STUCK = 9999  # in place of an exit code: did not end in its time, and was killed


@dataclass(frozen=True)
class Child:
    """A running child, the leader of a process group of its own."""

    pid: int

    def signal(self, number: int, *, group: bool) -> bool:
        """Send a signal to it, or to all of its group; say whether it was still there."""
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
        (os.killpg if group else os.kill)(self.pid, number)
        return True

    def wait(self, seconds: float) -> int:
        """Return its exit code, -N for signal N, and end what is left of its group."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._sweep()
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self._sweep()
        os.waitpid(self.pid, 0)
        return STUCK

    def _sweep(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def start(work: Callable[[], None], *, log: Path | None = None) -> Child:
    """Fork a child that does `work`, as the leader of a new group, with its output in `log`."""
    assert len(os.listdir("/proc/self/task")) == 1, "a process with threads can't be forked safely"  # noqa: PTH208
    pid = os.fork()
    if pid:
        with suppress(PermissionError, ProcessLookupError):  # the child does the same; whoever is first
            os.setpgid(pid, pid)
        return Child(pid)
    os.setpgid(0, 0)
    os._exit(_do(work, log))


def _do(work: Callable[[], None], log: Path | None) -> int:
    if log is not None:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    code = 0
    try:
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        traceback.print_exc()
        code = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 (the child ends here, and says why)
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def agcarbon(arguments: Sequence[str]) -> None:
    """Do what the command line does."""
    from pipeline.cli.main import main

    sys.argv = ["agcarbon", *arguments]
    main()


def agcarbon_in(folder: Path, arguments: Sequence[str]) -> None:
    """Do what the command line does in a folder."""
    os.chdir(folder)
    agcarbon(arguments)


def fork_workers() -> None:
    """Have Dask's workers be forked from this process as it is now, with all that is wrapped in it.

    Production spawns them. What differs is the seconds that a new interpreter takes to import everything.
    """
    import dask

    def forked(_path: str, _args: object, descriptors: Sequence[int]) -> int:
        pid = os.fork()
        if not pid:
            multiprocessing.forkserver.main(*descriptors, [])  # type: ignore[attr-defined]
            os._exit(0)
        return pid

    multiprocessing.resource_tracker.ensure_running()
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    spawn = multiprocessing.util.spawnv_passfds  # type: ignore[attr-defined]
    multiprocessing.util.spawnv_passfds = forked  # type: ignore[attr-defined]
    multiprocessing.forkserver.ensure_running()
    multiprocessing.util.spawnv_passfds = spawn  # type: ignore[attr-defined]
