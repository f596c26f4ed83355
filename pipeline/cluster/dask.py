"""The executor on a Dask cluster; the only module that imports `distributed`."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count, islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias
from uuid import uuid4

from pipeline.cluster.executor import Attempt, Executor, Item, Outcome, Result, Serial, attempt
from pipeline.cluster.stop import Stop
from pipeline.config import ExecutionSettings
from pipeline.errors import UserError
from pipeline.progress import on_heartbeat

if TYPE_CHECKING:
    from distributed import Client, Future

    Pending: TypeAlias = Future[Any]

Key: TypeAlias = tuple[str, int]
"""Of an item on a cluster: the name of its flight, by which Dask groups tasks, and its number."""


_BEATS = "agcarbon-beats"  # topic of the workers' signs of life
_BEAT_SECONDS = 1.0  # between two of them: an ingest beats at every file


def _attempt_on_worker(function: Callable[[Item], Result], item: Item) -> Attempt[Result]:
    """Do one item on a Dask worker, which says when it begins it and when it gets on."""
    from distributed import get_worker

    worker = get_worker()
    news = {"key": worker.get_current_task(), "worker": worker.address}
    worker.log_event(_BEATS, {**news, "begins": True})
    with on_heartbeat(lambda: worker.log_event(_BEATS, {**news, "begins": False}), seconds=_BEAT_SECONDS):
        return attempt(function, item)


@dataclass
class _Sent(Generic[Item]):
    """An item that a worker has, or will get."""

    item: Item
    future: Pending
    worker: str = ""
    heard: float = math.inf  # when the worker last gave a sign of life; infinite before it has begun
    hangs: int = 0
    begun: int = 0
    condemned: int = 0  # times that Dask took it for what kills workers


@dataclass
class _Flight(Generic[Item, Result]):
    """The items that were sent to a cluster and have not come back."""

    client: Client
    function: Callable[[Item], Result]
    stop: Stop
    silent_seconds: float
    sent: dict[Key, _Sent[Item]] = field(default_factory=dict)
    ended: SimpleQueue[Pending] = field(default_factory=SimpleQueue)
    name: str = field(default_factory=lambda: f"items-{uuid4().hex}")
    numbers: Iterator[int] = field(default_factory=count)
    anchor: Pending = field(init=False)

    def __post_init__(self) -> None:
        self.client.subscribe_topic(_BEATS, self._heard)
        # Dask's scheduler keeps some kilobytes of every group of tasks for good, and begins another once all tasks of
        # one are gone: hence all items are of one group, of which one task stays.
        self.anchor = self.client.submit(bool, key=self._new_key(), pure=False)

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        """Called in a thread of the client; our own clock counts, since the worker's may differ."""
        sent = self.sent.get(event[1]["key"])
        if sent:
            sent.worker, sent.heard = event[1]["worker"], time.monotonic()
            sent.begun += event[1]["begins"]

    @property
    def room(self) -> int:
        """Items that can be sent: one for each thread, and one even while a cluster has no worker yet."""
        with _reached():
            threads: int = sum(self.client.nthreads().values())
        return max(threads - len(self.sent), 0 if self.sent else 1)

    def send(self, items: Iterable[Item]) -> None:
        """Send items to the cluster."""
        for item in items:
            key = self._new_key()
            self.sent[key] = _Sent(item, self._submitted(key, item))

    def _new_key(self) -> Key:
        return self.name, next(self.numbers)

    def _submitted(self, key: Key, item: Item) -> Pending:
        future = self.client.submit(_attempt_on_worker, self.function, item, key=key, pure=False)
        future.add_done_callback(self.ended.put)
        return future

    def outcomes(self) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes until nothing is in flight; more may be sent between two of them."""
        while self.sent:
            yield from self._give_up()
            try:
                future = self.ended.get(timeout=_TICK_SECONDS)
            except Empty:
                continue
            outcome = self._settled(future)
            if outcome:
                yield outcome

    def _settled(self, future: Pending) -> Outcome[Item, Result] | None:
        """Return the outcome of a future that has ended, or None if that was given up or has to be done again."""
        from distributed import KilledWorker

        key = future.key
        if key not in self.sent:
            return None
        if future.status == "cancelled":
            raise UserError(_LOST)
        if future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise error.with_traceback(future.traceback())
            return self._condemned(key, deaths=error.allowed_failures + 1)
        attempt = self._fetched(future)
        if attempt is None:
            future.add_done_callback(self.ended.put)
            return None
        return self._ended(key, attempt)

    def _condemned(self, key: Key, *, deaths: int) -> Outcome[Item, Result] | None:
        """Give up an item whose workers died, unless Dask condemned it for what others did to the same workers."""
        sent = self.sent[key]
        sent.condemned += 1
        if sent.begun < deaths and sent.condemned < _SENTENCES:
            del self.sent[key]
            sent.future.release()
            again = self._new_key()
            sent.future, sent.heard = self._submitted(again, sent.item), math.inf
            self.sent[again] = sent
            return None
        message = _OF_HANGING if sent.hangs else _OF_DEATH.format(deaths)
        return self._ended(key, Attempt(error=message.format(self.silent_seconds / 60)))

    def _fetched(self, future: Pending) -> Attempt[Result] | None:
        """Return the result, or None if it was lost with its worker: Dask then does the item again."""
        if future.status != "finished":
            return None
        try:
            found: Attempt[Result] = future.result(timeout=_FETCH_SECONDS)
        except (TimeoutError, CancelledError):
            return None
        return found

    def _ended(self, key: Key, attempt: Attempt[Result]) -> Outcome[Item, Result]:
        sent = self.sent.pop(key)
        sent.future.release()
        return Outcome(sent.item, attempt.result, attempt.error, attempt.fatal)

    def _give_up(self) -> Iterator[Outcome[Item, Result]]:
        """Drop what is not to be waited for, and yield what has failed by that."""
        if self.stop.asked:
            self._drop(key for key, sent in self.sent.items() if self.stop.overdue or math.isinf(sent.heard))
        now = time.monotonic()
        hung = [key for key, sent in self.sent.items() if now - sent.heard > self.silent_seconds]
        for key in hung:
            if not self._begin_again(self.sent[key]):
                yield self._ended(key, Attempt(error=_OF_HANGING.format(self.silent_seconds / 60)))

    def _begin_again(self, sent: _Sent[Item]) -> bool:
        """Restart the worker that hangs; return whether its item is done again, which it is once."""
        sent.heard = math.inf
        with _reached():
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
            if sent.worker not in workers:  # it has died meanwhile, and its item waits for another
                return True
            sent.hangs += 1
            if sent.hangs > 1:
                sent.future.cancel()
            if not workers[sent.worker].get("nanny"):  # nothing can end what it does
                return False
            # Dask gives the items of a worker that it restarts to others.
            self.client.restart_workers([sent.worker], raise_for_error=False)
        return sent.hangs == 1

    def _drop(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self.sent.pop(key).future.cancel()


@contextmanager
def _reached() -> Iterator[None]:
    """Turn the errors of a client that no longer reaches its scheduler into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(_LOST) from error


_TICK_SECONDS = 0.5
_SENTENCES = 3
_FETCH_SECONDS = 60  # to bring a result, a few kilobytes, from its worker
_LOST = (
    "the connection to the Dask scheduler is lost, and with it the blocks in flight; what is committed stays; start "
    "the same run again"
)
_OF_DEATH = (
    "its worker died each of {} times, which is most often for want of memory: give fewer workers or a higher "
    "execution.memory_limit, lower execution.batch_cells, or make a cube of smaller tiles (tile_cells of the region)"
)
_OF_HANGING = (
    "its worker got no further for {:g} minutes, and nor did the next one; look at the storage, or raise "
    "execution.block_minutes if a tile-year may take so long"
)


class OnDask:
    """On the workers of a Dask cluster, one item in flight for each worker thread.

    A worker that dies, or gives no sign of life, has its items done again elsewhere.

    Parameters
    ----------
    connect
        Returns a client; called with the first item, so that a run with nothing to do starts no cluster.
    stop
        Ends the work early: items that no worker has begun are dropped at once, others after its time of grace.
    silent_seconds
        A worker that gives no sign of life for so long hangs.
    """

    def __init__(
        self, connect: Callable[[], Client], *, stop: Stop | None = None, silent_seconds: float = math.inf
    ) -> None:
        self._connect = cache(connect)
        self.stop = stop or Stop()
        self._silent_seconds = silent_seconds

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes as they end."""
        waiting = iter(items)
        first = list(islice(waiting, 1))
        if not first or self.stop.asked:
            return
        flight = _Flight[Item, Result](self._connect(), function, self.stop, self._silent_seconds)
        flight.send(first)
        flight.send(islice(waiting, flight.room))
        for outcome in flight.outcomes():
            yield outcome
            if not self.stop.asked:
                flight.send(islice(waiting, flight.room))


_MALLOC = "distributed.nanny.pre-spawn-environ.MALLOC_"
_CLUSTER = {
    # A block may keep the interpreter for seconds inside NumPy or PyTorch; that is no sign of trouble.
    "distributed.admin.tick.limit": "60s",
    # Dask has workers return every freed page at once; the network, which frees and takes megabytes at every layer,
    # then spends a third of its time in page faults.
    f"{_MALLOC}TRIM_THRESHOLD_": str(2**30),
    f"{_MALLOC}MMAP_THRESHOLD_": str(2**25),
    # So a worker keeps what a block has freed. Dask would give one that holds four fifths of its limit no other block
    # and wait, for ever, until it holds less; whether a block fits is known before the run.
    "distributed.worker.memory.pause": False,
}


@contextmanager
def open_executor(settings: ExecutionSettings, stop: Stop | None = None) -> Iterator[Executor]:
    """Give the executor that the run file asks for, and close its cluster, if one was started, at the end."""
    with ExitStack() as stack:
        if settings.scheduler == "serial":
            yield Serial(stop)
        else:
            silent = 60 * settings.block_minutes or math.inf
            yield OnDask(lambda: _client(settings, stack), stop=stop, silent_seconds=silent)


def worker_memory(settings: ExecutionSettings) -> int | None:
    """Return the bytes of a worker at which it is killed; None if only a scheduler elsewhere knows them."""
    from dask.system import CPU_COUNT
    from distributed.worker_memory import parse_memory_limit

    if settings.scheduler not in ("local", "serial") and not settings.memory_limit:
        return None
    threads, wanted = CPU_COUNT if settings.scheduler == "serial" else 1, settings.memory_limit or "auto"
    try:
        found: int | None = parse_memory_limit(wanted, threads, logger=logging.getLogger(__name__))
    except ValueError:
        raise UserError(f"execution.memory_limit = {settings.memory_limit!r} is no size; give it as 4GiB") from None
    return found


def _client(settings: ExecutionSettings, stack: ExitStack) -> Client:
    import dask
    from distributed import Client, LocalCluster

    if settings.scheduler != "local":
        remote: Client = stack.enter_context(Client(settings.scheduler))
        return remote
    stack.enter_context(dask.config.set(_CLUSTER))
    cluster = LocalCluster(
        n_workers=settings.workers or os.cpu_count() or 1,
        threads_per_worker=1,
        memory_limit=settings.memory_limit or "auto",
        dashboard_address=":8787" if settings.dashboard else ":0",
    )
    client: Client = stack.enter_context(Client(stack.enter_context(cluster)))
    client.register_worker_callbacks(_leave_interrupts_to_the_coordinator)
    return client


def _leave_interrupts_to_the_coordinator() -> None:
    """Ctrl-C reaches all processes of the terminal; workers finish what they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
