"""The executor on a Dask cluster, which is opened with the first item."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.cluster.clients import LOCAL_WORKERS, expected_workers, open_client
from pipeline.cluster.executor import Executor, Item, Outcome, Result, Serial, do_nothing
from pipeline.cluster.flight import InFlight, scheduler_reached
from pipeline.cluster.stop import Stop
from pipeline.cluster.workers import ExpectedWorkers, check_workers
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings

if TYPE_CHECKING:
    from distributed import Client


class OnDask:
    """The workers of a Dask cluster, with one item in flight for each of their threads.

    Items of a worker that was killed or hangs are done again on others.

    Parameters
    ----------
    connect
        Returns a client; called with the first item, so that a run with nothing to do starts no cluster.
    stop
        Request to end the work early: items that no worker has begun are dropped at once, the others after its grace
        period.
    hang_seconds
        A worker without a heartbeat for so long is taken to hang.
    expected
        How long the cluster may be without a worker.

    Attributes
    ----------
    check
        Raises `UserError` if the workers cannot do the work; called before each `map`.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        *,
        stop: Stop | None = None,
        hang_seconds: float = math.inf,
        expected: ExpectedWorkers = LOCAL_WORKERS,
    ) -> None:
        self._connect = cache(connect)
        self.stop = stop or Stop()
        self._hang_seconds, self._expected = hang_seconds, expected
        self.check: Callable[[Client], None] = lambda _: None

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        on_wait: Callable[[], None] = do_nothing,
    ) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes as items end; see `Executor.map`."""
        waiting = iter(items)
        first = list(islice(waiting, 1))
        if not first or self.stop.asked:
            return
        client = self._connect()
        with scheduler_reached():
            self.check(client)  # each time: workers may have joined since
        flight = InFlight[Item, Result](client, function, self.stop, self._hang_seconds, self._expected, on_wait)
        flight.send(first)
        flight.send(islice(waiting, flight.room))
        for outcome in flight.outcomes():
            yield outcome
            if not self.stop.asked:
                flight.send(islice(waiting, flight.room))


@contextmanager
def open_executor(
    settings: ExecutionSettings, stop: Stop | None = None, *, devices: Sequence[str] = ()
) -> Iterator[Executor]:
    """Give the executor that the run file names; its cluster, if one was started, is closed at the end.

    Parameters
    ----------
    settings, stop
        Section of the run file, and the request to end early.
    devices
        CUDA devices of this machine, for each of which a local cluster has one worker that sees no other; none: work
        on CPUs.
    """
    with ExitStack() as stack:
        if settings.scheduler == "serial":
            yield Serial(stop)
        else:
            hang_seconds = 60 * settings.block_minutes or math.inf
            workers = worker_count(settings, devices)
            connect = partial(open_client, settings, stack, workers=workers, devices=devices)
            expected = expected_workers(settings)
            executor = OnDask(connect, stop=stop, hang_seconds=hang_seconds, expected=expected)
            if settings.remote:
                executor.check = partial(check_workers, expected=expected)
            yield executor


def worker_count(settings: ExecutionSettings, devices: Sequence[str] = ()) -> int:
    """Return the workers of a local cluster: as set, or one for each core; no more than CUDA devices, if given.

    Those of Slurm are the workers of all jobs.
    """
    if settings.scheduler == "slurm":
        return settings.slurm.jobs * settings.slurm.workers
    return min(settings.workers or len(devices), len(devices)) or settings.workers or os.cpu_count() or 1


def worker_memory(settings: ExecutionSettings) -> int | None:
    """Return the bytes of memory at which a worker is killed; None if only a remote scheduler knows."""
    from dask.system import CPU_COUNT
    from distributed.worker_memory import parse_memory_limit

    if settings.scheduler == "slurm":
        return _bytes_of_job(settings.slurm.memory) // settings.slurm.workers
    if settings.remote and not settings.memory_limit:
        return None
    # Dask gives a worker the machine's memory in proportion to its share of the cores; a serial run has all of it.
    threads, limit = CPU_COUNT if settings.scheduler == "serial" else 1, settings.memory_limit or "auto"
    try:
        found: int | None = parse_memory_limit(limit, threads, logger=logging.getLogger(__name__))
    except ValueError:
        raise UserError(f"execution.memory_limit = {settings.memory_limit!r} is not a size; write it as 4GiB") from None
    return found


def _bytes_of_job(memory: str) -> int:
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(memory))
    except ValueError:
        raise UserError(f"execution.slurm.memory = {memory!r} is not a size; write it as 64GiB") from None
