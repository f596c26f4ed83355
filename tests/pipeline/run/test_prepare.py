"""Preparation of a run before its cube exists: the masks are work for the executor, too."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.dask import worker_memory
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout
from pipeline.errors import UserError
from pipeline.inputs.view import InputsView
from pipeline.job import Job
from pipeline.run.groups import ALONE, MOST_BATCHES, Packing
from pipeline.run.prepare import block_size, check_memory_of_new, open_pinned_inputs, packing_of, plan_run
from pipeline.run.run import run
from pipeline.storage import repository
from tests.helpers.random_inputs import YEARS, Setting, make_job, random_checkpoint


class Elsewhere(Serial):
    """An executor to which function and items travel, and the last item comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Any] = []

    def map(self, function: Callable[..., Any], items: Iterable[Any], **options: Any) -> Iterator[Outcome[Any, Any]]:
        self.items += items
        return super().map(pickle.loads(pickle.dumps(function)), reversed(self.items), **options)  # noqa: S301


def test_masks_that_are_not_stored_are_made_by_the_executor_and_are_those_of_the_cube(tmp_path: Path) -> None:
    job, executor = make_job(tmp_path, random_checkpoint()), Elsewhere()
    view = open_pinned_inputs(job)
    before = plan_run(job, view, years=YEARS, executor=executor)
    assert executor.items == list(job.domain.tiles)
    assert before.tiles == plan_run(job, view, years=YEARS).tiles
    run(job, Serial(), years=YEARS[:1])
    assert before.tiles == layout.tiles(repository.read(job.open_cube()))
    plan_run(job, view, years=YEARS, executor=executor)
    assert len(executor.items) == len(job.domain.tiles), "stored masks are not made again"


def test_masks_are_counted_by_the_executor_where_a_full_tile_would_not_fit(tmp_path: Path) -> None:
    made = make_job(tmp_path, random_checkpoint())
    execution = made.run_file.execution.model_copy(update={"memory_limit": "400MiB"})
    job, executor = Job(made.path, made.run_file.model_copy(update={"execution": execution}), made.region), Elsewhere()
    with pytest.raises(UserError, match=r"\d+ of them modelled, need \d+MiB"):
        check_memory_of_new(job, open_pinned_inputs(job), executor)
    assert executor.items == list(job.domain.tiles)


def test_a_mask_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path, random_checkpoint())

    def broken(_view: InputsView, _tile: object) -> None:
        raise repository.DamagedError("array soil is damaged")

    monkeypatch.setattr(InputsView, "soil_defined", broken)
    with pytest.raises(UserError, match=rf"mask of tile {job.domain.tiles[0].name}: .*array soil is damaged"):
        plan_run(job, open_pinned_inputs(job), years=YEARS)


def on_cuda_elsewhere(folder: Path, memory_limit: str) -> Job:
    """A job of 11 tiles whose workers have CUDA devices and so much memory each."""
    made = make_job(folder, random_checkpoint(), setting=Setting(tile_cells=3))
    made.path.write_text(made.path.read_text().replace("[model]", '[model]\nyear_step = "pytorch"'))
    settings = {"scheduler": "tcp://elsewhere:1", "device": "cuda", "batch_cells": 0, "memory_limit": memory_limit}
    execution = made.run_file.execution.model_copy(update=settings)
    return Job.open(made.path).with_execution(execution)


@pytest.mark.slow
def test_groups_of_tiles_are_as_large_as_a_worker_of_a_cuda_device_can_hold(tmp_path: Path) -> None:
    cells, batches = 13_000, list[int]()
    for limit in ("16GiB", "1400MiB", "1200MiB", "1000MiB", "900MiB", ""):
        job = on_cuda_elsewhere(tmp_path, limit)
        packing, size = packing_of(job, cells=cells), block_size(job, cells=cells)
        batches.append(packing.batches if packing.batch_cells else 0)
        assert size.tiles == (len(job.domain.tiles) if packing.batch_cells else 1)
        assert size.cells == (packing.room(cells) if packing.batch_cells else cells)
        if bytes_ := worker_memory(job.execution):
            assert size.fits(bytes_) == (limit != "900MiB")
            more = replace(size, cells=Packing(8192, packing.batches + 1).most_cells(cells, 11), tiles=11)
            assert batches[-1] == MOST_BATCHES or not more.fits(bytes_)
    assert batches == [MOST_BATCHES, 3, 2, 0, 0, MOST_BATCHES]


def test_tiles_of_a_run_on_cpus_are_alone(tmp_path: Path) -> None:
    job = make_job(tmp_path, random_checkpoint(), setting=Setting(tile_cells=3))
    assert packing_of(job, cells=9) == ALONE
    assert (block_size(job, cells=9).cells, block_size(job, cells=9).tiles) == (9, 1)
