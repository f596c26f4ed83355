"""Workers of a Dask cluster: the settings of their memory, and the software that they share with the coordinator."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.digests import content_digest
from pipeline.errors import UserError

_PACKAGES = ("dask", "distributed", "icechunk", "numba", "numcodecs", "numpy", "rasterio", "scipy", "torch", "zarr")
_CODE = "code of agcarbon"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
# Begins of messages by logger: a worker that ends slowly, or whose scheduler ends before it.
_NOISE = {
    "distributed.nanny": "Worker process still alive after",
    "distributed.worker": "Failed to communicate with scheduler during heartbeat",
}
_NAMED = 5  # workers that a message names; the others are counted


def prepare(dask_worker: Any = None) -> None:
    """Have a worker keep the memory that a block has freed, and take further blocks all the same."""
    keep_freed_memory()
    drop_noise()
    if dask_worker is None:
        return
    # Dask would give no further block to a worker above 80 % of its limit, and wait forever; `pipeline.run.memory`
    # checks before the run that blocks fit.
    dask_worker.memory_manager.memory_pause_fraction = False
    if dask_worker.status.name == "paused":
        dask_worker.status = type(dask_worker.status).running


def drop_noise() -> None:
    """Keep Dask's messages on the end of a cluster, which are no sign of trouble, out of a command's output."""
    for name, begin in _NOISE.items():
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Dropped) for each in logger.filters):
            logger.addFilter(_Dropped(begin))


class _Dropped(logging.Filter):
    """Drops the messages that begin with a text."""

    def __init__(self, begin: str) -> None:
        super().__init__()
        self.begin = begin

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is kept."""
        return not record.getMessage().startswith(self.begin)


def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for later; return whether it is one that can (glibc).

    By default Dask has workers return every freed page to the system at once; the network, which allocates and frees
    megabytes at every layer, then spends a third of its time in page faults.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_TRIM_THRESHOLD, 2**30) and mallopt(_M_MMAP_THRESHOLD, 2**25))


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back meanwhile; processes that are started here, also later by a thread of here, never see it.

    It reaches all processes of a terminal and is the coordinator's: workers, which inherit the mask of signals, finish
    their blocks.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_device(devices: Sequence[str], dask_worker: Any) -> None:
    """Have a worker of a local cluster, whose names are numbers, see one CUDA device; before its first use of CUDA."""
    os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(dask_worker.name)]


@cache
def software() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that decide results, and the digest of this project's code."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in _PACKAGES},
        _CODE: _code_digest(),
    }


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]  # the part after + names a build, such as one for a GPU
    except PackageNotFoundError:
        return "absent"


def _code_digest() -> str:
    root = Path(__file__).parents[2]
    files = sorted(file for top in ("model", "pipeline", "regions") for file in (root / top).rglob("*.py"))
    return content_digest(*(str(file.relative_to(root)).encode() + file.read_bytes() for file in files))[:8]


class ExpectedWorkers(NamedTuple):
    """How long to wait for a worker while a cluster has none, and the message if none joins.

    Attributes
    ----------
    seconds
        Longest wait.
    missing, remedy
        Subject of the message, and what the user can do.
    """

    seconds: float
    missing: str
    remedy: str

    @property
    def absent(self) -> UserError:
        """The error if none has joined."""
        return UserError(f"{self.missing} joined within {self.seconds:g} s; {self.remedy}")


def check_workers(client: Any, *, expected: ExpectedWorkers) -> None:
    """Raise `UserError` that names the workers which cannot work for this process, or that there are none."""
    _wait_for_workers(client, expected)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    # Errors are returned: a worker without this module cannot even load the function.
    found = client.run(software, on_error="return")
    faults = {name: "; ".join(_faults(workers[name], found.get(name))) for name in workers}
    named = [f"worker {name}: {fault}" for name, fault in faults.items() if fault]
    if named:
        more = f" | and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise UserError(" | ".join(named[:_NAMED]) + more)


def _wait_for_workers(client: Any, expected: ExpectedWorkers) -> None:
    if client.scheduler_info(n_workers=-1)["workers"]:
        return
    try:
        client.wait_for_workers(1, timeout=expected.seconds)
    except TimeoutError:
        raise expected.absent from None


def _faults(worker: Mapping[str, Any], there: Mapping[str, str] | Exception | None) -> Iterator[str]:
    if (threads := worker["nthreads"]) > 1:
        yield (
            f"has {threads} threads, and a block needs a process of its own; start it with `--nworkers {threads} "
            "--nthreads 1`"
        )
    if there is None:
        yield "it has left the cluster; run the same command again"
    elif isinstance(there, Exception):
        yield f"has other code ({type(there).__name__}: {there}); install the coordinator's release and packages there"
    elif differences := [f"{name} is {there.get(name)} there and {own} here" for name, own in software().items()
                         if there.get(name) != own]:  # fmt: skip
        yield f"{'; '.join(differences)}; install the coordinator's release and packages there, and restart it"


def killed_message(kills: int, *, local: bool) -> str:
    """Return the message of an item whose workers were killed so many times, on a cluster of ours or another."""
    more = (
        "set fewer execution.workers, a higher execution.memory_limit"
        if local
        else "start fewer workers on a machine, or give them a higher `--memory-limit`"
    )
    return (
        f"its worker was killed {kills} times, most often because memory runs out: {more} or a lower "
        "execution.batch_cells, or make a cube of smaller tiles (the region's tile_cells)"
    )
