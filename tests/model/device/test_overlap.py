"""Queues on CUDA streams, with a stand-in for CUDA that notes what it is asked to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from model.device.overlap import AtOnce, queues_of

Calls = list[tuple[str, ...]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    noted: Calls = []

    class Stream:
        def __init__(self, name: Any) -> None:
            self.name = str(name)

        def wait_event(self, event: Event) -> None:
            noted.append((self.name, "waits for", event.name))

        def synchronize(self) -> None:
            noted.append((self.name, "is waited for"))

    class Event:
        name = ""

        def record(self, stream: Stream) -> None:
            self.name = f"mark of {stream.name}"
            noted.append((stream.name, "is marked"))

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        noted.append((stream.name, "begins"))
        yield
        noted.append((stream.name, "ends"))

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(f"current of {device}"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(f"new of {device}"))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", within)
    return noted


def test_work_on_a_stream_waits_for_the_mark_of_the_other_and_is_marked_itself(calls: Calls) -> None:
    queues = queues_of(torch.device("cuda"))
    sent = queues.copy.run(lambda: calls.append(("copied",)))
    queues.compute.run(lambda: calls.append(("computed",)), after=sent)
    queues.synchronize()
    new, current = "new of cuda", "current of cuda"
    assert calls == [
        (new, "begins"), ("copied",), (new, "ends"), (new, "is marked"),
        (current, "waits for", "mark of new of cuda"),
        (current, "begins"), ("computed",), (current, "ends"), (current, "is marked"),
        (new, "is waited for"), (current, "is waited for"),
    ]  # fmt: skip


def test_the_cpu_does_all_work_at_once() -> None:
    queues = queues_of(torch.device("cpu"))
    assert isinstance(queues.compute, AtOnce)
    done: list[int] = []
    mark = queues.copy.run(lambda: done.append(1))
    queues.compute.run(lambda: done.append(2), after=mark)
    assert done == [1, 2]
