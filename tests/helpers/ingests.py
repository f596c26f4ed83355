"""Ingests of small archives, their stores, and an executor that is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cluster.executor import Executor, Outcome, Serial
from pipeline.config import RunFile
from pipeline.ingest.climate import MonthWork
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.report import IngestReport
from pipeline.ingest.run import ingest
from pipeline.inputs.layout import CLIMATE, tile_digests
from pipeline.storage import repository


def do(run_file: RunFile, *, executor: Executor | None = None, **wanted: Any) -> IngestReport:
    return ingest(plan_ingest(run_file, **wanted), executor=executor or Serial())


def failure_of(run_file: RunFile, **wanted: Any) -> str:
    (failure,) = do(run_file, **wanted).failures
    return failure


def root_of(run_file: RunFile) -> zarr.Group:
    return repository.read(repository.open_existing(run_file.stores.inputs, made_by="test"))


def snapshot(run_file: RunFile) -> str:
    return repository.tip(repository.open_existing(run_file.stores.inputs, made_by="test"))


def digests(run_file: RunFile, group: str) -> dict[str, str]:
    return tile_digests(root_of(run_file), group)


def values_of(run_file: RunFile, year: int) -> NDArray[np.float32]:
    group = repository.subgroup(root_of(run_file), f"climate/{year}")
    return np.stack([repository.values(group, variable.name) for variable in CLIMATE])


class Counting(Serial):
    """Executor that records its items, and ends like a killed process after `last` of them."""

    def __init__(self, last: int = 10_000) -> None:
        super().__init__()
        self.done: list[Any] = []
        self.last = last

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        for outcome in super().map(function, items):
            if len(self.done) == self.last:
                raise KeyboardInterrupt
            self.done.append(outcome.item)
            yield outcome

    @property
    def months(self) -> list[int]:
        return [item.month.month for item in self.done if isinstance(item, MonthWork)]
