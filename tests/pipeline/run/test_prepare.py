"""Preparation of a run before its cube exists: the masks are work for the executor, too."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout
from pipeline.errors import UserError
from pipeline.inputs.view import InputsView
from pipeline.job import Job
from pipeline.run.prepare import check_memory_of_new, open_pinned_inputs, plan_run
from pipeline.run.run import run
from pipeline.storage import repository
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint


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
