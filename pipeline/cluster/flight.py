"""The items that are on a Dask cluster, from their submission to their outcomes.

Each item is one Dask task. `InFlight` hears the workers' heartbeats, restarts workers that hang, and resubmits items
whose workers were killed by another item.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast
from uuid import uuid4

from pipeline.cluster.executor import Attempt, Item, Outcome, Result, attempt
from pipeline.cluster.stop import Stop
from pipeline.cluster.workers import ExpectedWorkers, killed_message
from pipeline.errors import UserError
from pipeline.progress import on_heartbeat

if TYPE_CHECKING:
    from distributed import Client, Future

    Pending: TypeAlias = Future[Any]

Key: TypeAlias = tuple[str, int]
"""Dask's key of a task: a name, by which Dask groups tasks, and a number."""

MAX_RESUBMITS = 2  # times that an item is submitted anew because another item may have killed its workers
TICK_SECONDS = 0.5  # longest wait for an outcome before heartbeats and stop requests are looked at again
LOOK_SECONDS = 5.0  # shortest time between two looks at whether the cluster has a worker
FETCH_SECONDS = 60  # to bring a result, a few kilobytes, from its worker
HEARTBEAT_SECONDS = 1.0  # shortest time between two heartbeats that a worker sends: an ingest beats at every file
_HEARTBEATS = "agcarbon-heartbeats"  # Dask's topic for them

_CONNECTION_LOST = (
    "the connection to the Dask scheduler is lost, and the blocks in flight with it; committed results stay; start "
    "the same run again"
)


def _attempt_on_worker(function: Callable[[Item], Result], item: Item) -> Attempt[Result]:
    """Do one item on a Dask worker, which reports when it begins and at every heartbeat."""
    from distributed import get_worker

    worker = get_worker()
    report = {"key": worker.get_current_task(), "worker": worker.address}
    worker.log_event(_HEARTBEATS, {**report, "begins": True})
    with on_heartbeat(lambda: worker.log_event(_HEARTBEATS, {**report, "begins": False}), seconds=HEARTBEAT_SECONDS):
        return attempt(function, item)


@dataclass
class _Sent(Generic[Item]):
    """An item on the cluster.

    Attributes
    ----------
    item, future
        The item and the Dask task that computes it.
    worker
        Address of the worker that began it last.
    heartbeat
        Time of that worker's last heartbeat by this process's clock; infinite while no worker has begun the item.
    begun
        Number of times that a worker began it.
    hangs
        Number of times that its worker hung.
    killed
        Number of times that Dask gave it up because its workers were killed.
    """

    item: Item
    future: Pending
    worker: str = ""
    heartbeat: float = math.inf
    begun: int = 0
    hangs: int = 0
    killed: int = 0


@dataclass
class InFlight(Generic[Item, Result]):
    """The items of one `map` that are on the cluster.

    Futures that end are put into `ended` by a thread of the client; all else happens in the caller's thread.

    Attributes
    ----------
    client, function, stop
        The cluster, the work on one item, and the request to end early.
    hang_seconds
        A worker without a heartbeat for so long is taken to hang.
    expected
        How long the cluster may be without a worker.
    on_wait
        Called whenever nothing ended within a tick.
    sent
        Items without an outcome, by the key of their task.
    ended
        Futures that have ended and were not looked at yet; some of items that were given up before.
    looked, deserted
        When the number of workers was last asked for; and since when there is none, infinite while there is one.
    """

    client: Client
    function: Callable[[Item], Result]
    stop: Stop
    hang_seconds: float
    expected: ExpectedWorkers
    on_wait: Callable[[], None]
    sent: dict[Key, _Sent[Item]] = field(default_factory=dict)
    ended: SimpleQueue[Pending] = field(default_factory=SimpleQueue)
    name: str = field(default_factory=lambda: f"items-{uuid4().hex}")
    numbers: Iterator[int] = field(default_factory=count)
    anchor: Pending = field(init=False)
    looked: float = -math.inf
    deserted: float = math.inf

    def __post_init__(self) -> None:
        self.client.subscribe_topic(_HEARTBEATS, self._note_heartbeat)
        # Dask's scheduler keeps some kilobytes of every group of tasks for good, and starts a new group once all tasks
        # of the last one are gone. Hence all items belong to one group, held open by one task that is never released.
        self.anchor = self.client.submit(bool, key=self._new_key(), pure=False)

    def _note_heartbeat(self, event: tuple[float, dict[str, Any]]) -> None:
        """Note a heartbeat; called in a thread of the client."""
        _worker_time, report = event
        if sent := self.sent.get(report["key"]):
            # The time is ours, since a worker's clock may differ.
            sent.worker, sent.heartbeat = report["worker"], time.monotonic()
            sent.begun += report["begins"]

    @property
    def room(self) -> int:
        """Number of items that can be sent now: one for each idle thread."""
        with scheduler_reached():
            threads: int = sum(self.client.nthreads().values())
        # One even while the cluster has no worker: with nothing in flight, `outcomes` would end with items left over.
        return max(threads - len(self.sent), 0 if self.sent else 1)

    def send(self, items: Iterable[Item]) -> None:
        """Send items to the cluster."""
        for item in items:
            key = self._new_key()
            self.sent[key] = _Sent(item, self._submit(key, item))

    def _new_key(self) -> Key:
        return self.name, next(self.numbers)

    def _submit(self, key: Key, item: Item) -> Pending:
        future = self.client.submit(_attempt_on_worker, self.function, item, key=key, pure=False)
        future.add_done_callback(self.ended.put)
        return future

    def outcomes(self) -> Iterator[Outcome[Item, Result]]:
        """Yield outcomes until nothing is in flight; more items may be sent between two of them."""
        while self.sent:
            if self.stop.asked:
                self._drop_for_stop()
            yield from self._failed_by_hanging()
            if outcome := self._next_outcome():
                self.deserted = math.inf
                yield outcome
            else:
                self._look_for_workers()
                self.on_wait()

    def _look_for_workers(self) -> None:
        """Raise `UserError` if the cluster has had no worker for too long: its items would never end."""
        now = time.monotonic()
        if now - self.looked < min(LOOK_SECONDS, self.expected.seconds):
            return
        self.looked = now
        with scheduler_reached():
            self.deserted = math.inf if self.client.nthreads() else min(self.deserted, now)
        if now - self.deserted > self.expected.seconds:
            raise self.expected.absent

    def _next_outcome(self) -> Outcome[Item, Result] | None:
        """Return the outcome of the next future that ends; None after a tick, or if the future gives no outcome."""
        try:
            future = self.ended.get(timeout=TICK_SECONDS)
        except Empty:
            return None
        return self._outcome_of(future) if future.key in self.sent else None

    def _outcome_of(self, future: Pending) -> Outcome[Item, Result] | None:
        """Return the outcome of a future that has ended, or None if its item is computed again."""
        from distributed import KilledWorker

        key = cast("Key", future.key)
        if future.status == "cancelled":  # not by us: an item that we cancel is no longer in `sent`
            raise UserError(_CONNECTION_LOST)
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return self._killed(key, kills=error.allowed_failures + 1)
            raise error.with_traceback(future.traceback())
        attempt = _fetched(future)
        if attempt is None:
            # The result was lost with its worker, and Dask computes the item again: the same future ends once more.
            future.add_done_callback(self.ended.put)
            return None
        return self._end(key, attempt)

    def _killed(self, key: Key, *, kills: int) -> Outcome[Item, Result] | None:
        """Fail an item whose workers were killed, or resubmit it if another item may have killed them.

        Dask counts the death of a worker against all tasks that it had, also those that it had not begun. An item that
        was begun less often than its workers were killed may be innocent.
        """
        sent = self.sent[key]
        sent.killed += 1
        if sent.begun < kills and sent.killed <= MAX_RESUBMITS:
            self._resubmit(key)
            return None
        message = self._hang_message if sent.hangs else killed_message(kills, local=self.client.cluster is not None)
        return self._end(key, Attempt(error=message))

    def _resubmit(self, key: Key) -> None:
        """Submit an item as a new task, against which Dask counts no death yet."""
        sent = self.sent.pop(key)
        sent.future.release()
        again = self._new_key()
        sent.future, sent.heartbeat = self._submit(again, sent.item), math.inf
        self.sent[again] = sent

    def _end(self, key: Key, attempt: Attempt[Result]) -> Outcome[Item, Result]:
        sent = self.sent.pop(key)
        sent.future.release()
        return Outcome(attempt.result, attempt.error, attempt.fatal, item=sent.item)

    def _drop_for_stop(self) -> None:
        """Drop the items that no worker has begun, and after the grace period all items."""
        dropped = [key for key, sent in self.sent.items() if self.stop.overdue or math.isinf(sent.heartbeat)]
        for key in dropped:
            self.sent.pop(key).future.cancel()

    def _failed_by_hanging(self) -> Iterator[Outcome[Item, Result]]:
        """Restart the workers that hang, and yield the outcomes of items that are not computed again after that."""
        now = time.monotonic()
        hanging = [key for key, sent in self.sent.items() if now - sent.heartbeat > self.hang_seconds]
        for key in hanging:
            if not self._restart_worker(self.sent[key]):
                yield self._end(key, Attempt(error=self._hang_message))

    def _restart_worker(self, sent: _Sent[Item]) -> bool:
        """Restart the worker that hangs at an item; return whether the item is computed again, which happens once."""
        sent.heartbeat = math.inf
        with scheduler_reached():
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
            if sent.worker not in workers:  # killed meanwhile: Dask has given its items to others
                return True
            sent.hangs += 1
            if sent.hangs > 1:
                sent.future.cancel()
            if not workers[sent.worker].get("nanny"):  # a worker without a nanny process cannot be restarted
                return False
            # Dask gives the items of a worker that it restarts to other workers.
            self.client.restart_workers([sent.worker], raise_for_error=False)
        return sent.hangs == 1

    @property
    def _hang_message(self) -> str:
        return (
            f"its worker made no progress for {self.hang_seconds / 60:g} minutes, nor did a second one; check the "
            "storage, or raise execution.block_minutes if a tile-year may take that long"
        )


def _fetched(future: Pending) -> Attempt[Any] | None:
    """Return the result of a future that has ended, or None if it was lost with its worker."""
    if future.status != "finished":
        return None
    try:
        found: Attempt[Any] = future.result(timeout=FETCH_SECONDS)
    except (TimeoutError, CancelledError):
        return None
    return found


@contextmanager
def scheduler_reached() -> Iterator[None]:
    """Turn the errors of a client that no longer reaches its scheduler into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(_CONNECTION_LOST) from error
