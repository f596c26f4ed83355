"""A cluster without workers: only the time since they were last seen, or an item ended, counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from distributed import Client

from pipeline.cluster import flight
from pipeline.cluster.executor import Attempt
from pipeline.cluster.flight import InFlight
from pipeline.cluster.stop import Stop
from pipeline.cluster.workers import ExpectedWorkers
from pipeline.errors import UserError

EXPECTED = ExpectedWorkers(60.0, "all have gone, and none", "start the same run again")
HOUR = 3600.0


class Done:
    """A task of Dask that has ended with the name of its item."""

    status = "finished"

    def __init__(self, key: Any, item: str) -> None:
        self.key, self.item = key, item

    def add_done_callback(self, _called: Callable[[Any], None]) -> None:
        """It is put among those that ended by the test."""

    def result(self, timeout: float) -> Attempt[str]:
        assert timeout > 0
        return Attempt(self.item)

    def release(self) -> None:
        pass


class Cluster:
    """The methods of Dask's client that `InFlight` uses, on workers that come and go."""

    def __init__(self) -> None:
        self.workers: dict[str, int] = {}

    def subscribe_topic(self, _name: str, _called: Callable[[Any], None]) -> None:
        pass

    def submit(self, *given: Any, key: Any, pure: bool) -> Done:
        assert not pure
        return Done(key, str(given[-1]))

    def nthreads(self) -> dict[str, int]:
        return self.workers


def test_only_the_time_since_a_worker_or_an_outcome_was_last_seen_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waits = [0.0], list[float]()
    monkeypatch.setattr(flight, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(flight, "TICK_SECONDS", 0.001)
    cluster, steps = Cluster(), list[Callable[[], None]]()

    def on_wait() -> None:
        waits.append(clock[0])
        clock[0] += 20
        if steps:
            steps.pop(0)()

    flown = InFlight[str, str](cast("Client", cluster), str, Stop(), math.inf, EXPECTED, on_wait)
    flown.send(["first", "second"])
    first, _ = (sent.future for sent in flown.sent.values())
    outcomes = flown.outcomes()

    # Nothing was asked for an hour, and there is no worker for 40 s: then one comes, and leaves again.
    clock[0] = HOUR
    steps += [
        lambda: None,
        lambda: cluster.workers.update(one=1),
        lambda: cluster.workers.clear(),
        lambda: None,
        lambda: flown.ended.put(first),
    ]
    assert next(outcomes).result == "first"
    assert waits == [HOUR + 20 * number for number in range(5)]

    # Another hour after that: more than 60 s without a worker end the work.
    clock[0] = 2 * HOUR
    waits.clear()
    with pytest.raises(UserError, match=r"^all have gone, and none joined within 60 s; start the same run again$"):
        next(outcomes)
    assert waits == [2 * HOUR + 20 * number for number in range(4)]
