"""Damage of the stores: no run takes it for numbers, each names it with a remedy, and the remedy restores the bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from pipeline.cluster.executor import Serial
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger
from pipeline.errors import DamagedError, UserError
from pipeline.job import Job
from pipeline.run.plan import BY_RULE, Choice
from pipeline.run.run import RunReport, run
from pipeline.storage import repository
from tests.helpers.commits import transaction
from tests.helpers.copied_runs import WANTED, Undisturbed, assert_equal, undisturbed
from tests.helpers.damaged_manifests import empty_silently, make_unreadable
from tests.helpers.random_inputs import random_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("damage"), checkpoint)


@pytest.fixture
def done(whole: Undisturbed, tmp_path: Path) -> Job:
    """A job that has been run."""
    shutil.copytree(whole.folder.parent / "whole", tmp_path / "done")
    return Job.open(tmp_path / "done" / "small-run.toml")


def go(job: Job, choice: Choice = BY_RULE) -> RunReport:
    return run(job, Serial(), years=WANTED, choice=choice)


def tiles_of(job: Job) -> list[str]:
    return [planned.tile.name for planned in layout.tiles(repository.read(job.open_cube())) or ()]


@pytest.mark.parametrize(
    "path",
    [
        "climate/2011/precn",
        pytest.param("climate/2010/digest", marks=pytest.mark.slow),
        "gpp/2011/gpp",
        pytest.param("soil/tsand", marks=pytest.mark.slow),
        "crop/2011/soybean_fraction",
    ],
)
def test_a_bit_flipped_in_a_manifest_of_the_inputs_never_passes_for_numbers(
    tmp_path: Path, whole: Undisturbed, path: str
) -> None:
    job = whole.copy(tmp_path)
    product, year = path.split("/")[0], path.split("/")[1]
    empty_silently(job.run_file.stores.inputs, path)
    try:
        messages = list(go(job).failures.values())
    except (UserError, DamagedError) as error:  # where plan or masks need it
        messages = [str(error)]
    assert messages
    for message in messages:
        assert job.run_file.stores.inputs in message
        assert f"agcarbon ingest --again --product {product}" in message
        assert product == "soil" or f"--years {year}" in message
    if job.has_cube and "ledger" in (root := repository.read(job.open_cube())):
        known = Ledger(root)
        assert not any(known.recorded(place.partition("/")[0], 2011) for place in known.failures)


@pytest.mark.slow
def test_a_carried_state_that_was_changed_is_refused_and_computed_again(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)
    run(job, Serial(), years=WANTED[:1])
    with transaction(job.open_cube(), "of another program") as root:
        state = repository.array(root, "restart/2010/state")
        state[...] = np.asarray(state[...]) * np.float32(0.5)
    report = go(job)
    assert len(report.failures) == len(tiles_of(job))
    assert all("restart/2010: tile" in text and "agcarbon run --tile" in text for text in report.failures.values())
    assert not go(job, Choice(frozenset(tiles_of(job)))).failures
    assert_equal(job, whole)


@pytest.mark.slow
def test_a_damaged_mask_is_refused_and_made_again(done: Job, whole: Undisturbed) -> None:
    (tile, *_) = layout.tiles(repository.read(done.open_cube())) or ()
    empty_silently(done.run_file.stores.cube, "static/mask", done.grid.window(tile.tile))
    with pytest.raises(DamagedError, match=rf"mask of tile {tile.tile.name}: .*agcarbon run --tile {tile.tile.name}"):
        layout.read_mask(repository.read(done.open_cube()), tile.tile)
    assert not go(done, Choice(frozenset(tiles_of(done)))).failures
    assert_equal(done, whole)


@pytest.mark.parametrize("path", ["daily/2011/nee", pytest.param("restart/2011/state", marks=pytest.mark.slow)])
def test_an_array_whose_manifest_cannot_be_read_is_emptied_and_filled_again(
    done: Job, whole: Undisturbed, path: str
) -> None:
    make_unreadable(done.run_file.stores.cube, path)
    assert not go(done, Choice(frozenset(tiles_of(done)))).failures
    assert not go(done).failures
    assert_equal(done, whole)


def test_a_ledger_that_was_changed_is_refused_with_the_way_back(done: Job) -> None:
    with transaction(done.open_cube(), "of another program") as root:
        repository.array(root, "ledger/cells")[0, 0] = 1
    with pytest.raises(DamagedError, match=r"ledger: the rows of 2010 are not those .*agcarbon rollback"):
        go(done)
