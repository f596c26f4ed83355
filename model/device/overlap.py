"""Batches in overlap: while one is computed, the next is sent to the device and the one before is fetched.

Work on a device waits in two queues, which the host fills: one for the network, one for copies. Each batch has one of
two slots of memory in turn. No work of a batch may begin before the slot's last batch has left it: that holds by the
order in which `overlap` fills the queues and waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any, Generic, Protocol, TypeVar

import torch

from model.device.slots import SLOTS


class Mark(Protocol):
    """A moment in a queue."""

    def synchronize(self) -> None:
        """Wait until all work before it is done."""


M = TypeVar("M", bound=Mark)


class Queue(Protocol[M]):
    """Work that a device does in the order in which it was given."""

    def run(self, work: Callable[[], None], *, after: M | None = None) -> M:
        """Append work that begins after a mark of another queue; return the mark of its end."""

    def synchronize(self) -> None:
        """Wait until all work is done."""


@dataclass(frozen=True)
class Queues(Generic[M]):
    """The queues of a device."""

    compute: Queue[M]
    copy: Queue[M]

    def synchronize(self) -> None:
        """Wait until all work is done."""
        self.copy.synchronize()
        self.compute.synchronize()


class AtOnce:
    """The queue of the CPU, its own mark: all work is done when it is given."""

    def run(self, work: Callable[[], None], *, after: AtOnce | None = None) -> AtOnce:  # noqa: ARG002 (it is over)
        """Do the work."""
        work()
        return self

    def synchronize(self) -> None:
        """Return: nothing waits."""


class CudaQueue:
    """A stream of a CUDA device."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream

    def run(self, work: Callable[[], None], *, after: torch.cuda.Event | None = None) -> torch.cuda.Event:
        """Append work; see `Queue`."""
        if after is not None:
            self._stream.wait_event(after)
        with torch.cuda.stream(self._stream):
            work()
        mark = torch.cuda.Event()  # type: ignore[no-untyped-call]
        mark.record(self._stream)
        return mark

    def synchronize(self) -> None:
        """Wait until all work is done."""
        self._stream.synchronize()


def queues_of(device: torch.device) -> Queues[Any]:
    """Return the queues of a device; on the CPU, these wait for nothing."""
    if device.type != "cuda":
        return Queues(AtOnce(), AtOnce())
    # The network runs where PyTorch made its weights.
    return Queues(CudaQueue(torch.cuda.current_stream(device)), CudaQueue(torch.cuda.Stream(device)))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Place:
    """A batch, and the slot (0 or 1) that holds its arrays."""

    batch: slice
    slot: int


class Stages(Protocol):
    """The steps of a batch. `fill` and `collect` work on the host, the others in a queue."""

    def fill(self, place: Place) -> None:
        """Copy the inputs into the slot's memory on the host."""

    def upload(self, place: Place) -> None:
        """Copy the inputs to the device."""

    def compute(self, place: Place) -> None:
        """Compute the outputs on the device."""

    def download(self, place: Place) -> None:
        """Copy the outputs into the slot's memory on the host."""

    def collect(self, place: Place) -> None:
        """Take the outputs from there."""


def overlap(batches: Iterable[slice], stages: Stages, queues: Queues[M]) -> None:
    """Run all batches; at the end, or after an error, nothing is left in the queues."""
    try:
        _overlap(batches, stages, queues)
    finally:
        queues.synchronize()


def _overlap(batches: Iterable[slice], stages: Stages, queues: Queues[M]) -> None:
    def sent(place: Place) -> M:
        stages.fill(place)
        return queues.copy.run(partial(stages.upload, place))

    def collected(place: Place, mark: M) -> None:
        mark.synchronize()
        stages.collect(place)

    # Drawn one by one: the batches may be those of an iterator that observes the run.
    places = (Place(batch, slot) for batch, slot in zip(batches, cycle(range(SLOTS)), strict=False))
    place = next(places, None)
    arriving = sent(place) if place else None
    leaving: tuple[Place, M] | None = None
    while place:
        computed = queues.compute.run(partial(stages.compute, place), after=arriving)
        # The slot of the batch before becomes free here, and only then takes the next one.
        if leaving:
            collected(*leaving)
        following = next(places, None)
        # Sent first: the download waits for this batch, and all that stands behind it in the queue with it.
        arriving = sent(following) if following else None
        leaving = place, queues.copy.run(partial(stages.download, place), after=computed)
        place = following
    if leaving:
        collected(*leaving)
