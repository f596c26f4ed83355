"""A course: stages one by one equal a run of all, and each needs the one before it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import RANGES, Checkpoint
from model.data.sites import DataSet, site_sequences
from model.data.training_ranges import training_ranges
from model.recipe.toml import RecipeError
from model.training.course import Course, CourseData, _ranges, new_network
from tests.helpers.fp32 import fp32_settings
from tests.helpers.recipes import RECIPE


@pytest.mark.slow
def test_stages_trained_one_by_one_end_with_the_weights_and_records_of_a_single_run(
    data: DataSet, tmp_path: Path
) -> None:
    whole = Course(RECIPE, lambda: CourseData(data), tmp_path / "whole.safetensors").run()
    single = Course(RECIPE, lambda: CourseData(data), tmp_path / "single.safetensors")
    for step in RECIPE.steps:
        single.run(step)
    assert Checkpoint.load(single.output).sha256 == whole.sha256
    record = Checkpoint.load(tmp_path / "whole.safetensors").record
    assert record["origin"].startswith("synthetic")
    assert [stage["step"] for stage in record["stages"]] == [1, 2, 4]
    assert {"yield", "ra", "rh", "nee", "balance", "held_out_years"} <= set(record["scores"]["stage2"])
    assert record["stages"][1]["start_sha256"] == Checkpoint.load(single.file(1)).sha256
    assert not list(tmp_path.glob("*.progress"))
    done = Course(RECIPE, lambda: CourseData(data), tmp_path / "whole.safetensors").run()  # trains nothing again
    assert done.sha256 == whole.sha256
    with pytest.raises(RecipeError, match="another recipe"):
        Course(replace(RECIPE, batch_sites=1), lambda: CourseData(data), tmp_path / "whole.safetensors").run(1)


def test_a_stage_without_the_one_before_it_is_refused(data: DataSet, tmp_path: Path) -> None:
    course = Course(RECIPE, lambda: CourseData(data), tmp_path / "out.safetensors")
    with pytest.raises(RecipeError, match="is absent, and stage 2 starts from it; train stage 1 first"):
        course.run(2)
    with pytest.raises(RecipeError, match="no stage 3; it has 1, 2, 4"):
        course.run(3)


def test_training_records_the_ranges_of_the_site_years_that_it_was_trained_on(data: DataSet, tmp_path: Path) -> None:
    recipe = replace(RECIPE, stages=(replace(RECIPE.stage(1), epochs=1),))
    checkpoint = Course(recipe, lambda: CourseData(data), tmp_path / "one.safetensors").run()
    sequences = site_sequences(RECIPE.data, seed=RECIPE.seed)
    assert checkpoint.training_ranges == training_ranges(sequences, training_NY=data.split.training_NY)
    assert Checkpoint.load(tmp_path / "one.safetensors").training_ranges == checkpoint.training_ranges
    assert checkpoint.training_ranges != training_ranges(sequences)  # with the held-out years and sites


def test_counties_and_towers_keep_the_ranges_of_the_checkpoint_that_they_start_from(data: DataSet) -> None:
    weights, scalers = new_network(data.scalers).state_dict(), data.scalers.as_json()
    bare = Checkpoint.from_published(weights, scalers)
    ranged = Checkpoint.from_published(weights, scalers, record={RANGES: {"inputs": "of its own"}})
    for step in (3, 5):
        assert _ranges(step, data, bare) == {}
        assert _ranges(step, data, ranged) == {RANGES: {"inputs": "of its own"}}
    assert _ranges(4, data, ranged) == _ranges(1, data, None) == {RANGES: data.ranges.as_json()}


@pytest.mark.usefixtures("fp32_by_default")
def test_training_on_cuda_is_float32(data: DataSet, tmp_path: Path) -> None:
    on_cpu, on_cuda = (
        Course(RECIPE, lambda: CourseData(data), tmp_path / "out.safetensors", device=device)
        for device in ("cpu", "cuda")
    )
    on_cpu._network(None)
    assert fp32_settings()["rnn"] == "tf32"
    # Where there is no CUDA device, the network cannot be moved to it: the settings come first.
    with suppress(RuntimeError, AssertionError):
        on_cuda._network(None)
    assert set(fp32_settings().values()) == {"ieee"}
