"""A simulated device whose queues do their work at another time than it was given, as CUDA streams do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from model.device.overlap import Queues


@dataclass(frozen=True)
class LateMark:
    """The end of one piece of work."""

    queue: LateQueue
    number: int

    def synchronize(self) -> None:
        while self.queue.done <= self.number:
            self.queue.step()


@dataclass
class LateQueue:
    """Work that waits until somebody waits for it, or until `idle` does some at a moment of its own."""

    idle: Callable[[], None]
    work: list[tuple[Callable[[], None], LateMark | None]] = field(default_factory=list)
    done: int = 0

    def run(self, work: Callable[[], None], *, after: LateMark | None = None) -> LateMark:
        self.work.append((work, after))
        self.idle()
        return LateMark(self, len(self.work) - 1)

    def step(self) -> None:
        """Do the next piece of work, and before it all that it waits for."""
        work, after = self.work[self.done]
        if after:
            after.synchronize()
        self.done += 1  # also of work that fails
        work()

    def synchronize(self) -> None:
        while self.done < len(self.work):
            self.step()


def late_queues(seed: int | None = None) -> Queues[LateMark]:
    """Return queues that work as late as they may, or, with a seed, at random moments."""
    rng = random.Random(seed)

    def idle() -> None:
        if seed is None:
            return
        for queue in (compute, copy):
            while queue.done < len(queue.work) and rng.random() < 0.5:
                queue.step()

    compute, copy = LateQueue(idle), LateQueue(idle)
    return Queues(compute, copy)
