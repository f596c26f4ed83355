"""Collection: what a dry run reports is freed, and nothing that a state, a release or a reader needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pipeline import config
from pipeline.cluster.executor import Serial
from pipeline.cube import garbage
from pipeline.cube.garbage import Freed, Retention, collect, collect_stores
from pipeline.cube.history import commits, make_release, resolve
from pipeline.cube.ledger import Ledger
from pipeline.cube.rollback import plan_rollback, roll_back
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import lock
from pipeline.storage import repository as store
from tests.helpers.commits import committer_of
from tests.helpers.cube_states import after_half, assert_same, content, files
from tests.helpers.last_run import tile_years_of_last_run
from tests.helpers.random_inputs import YEARS, Fields, write_inputs

NONE = timedelta()  # of time


def test_a_process_killed_beside_the_history_leaves_nothing_in_the_way(job: Job) -> None:
    repository = job.open_cube()
    repository.create_branch("beside", after_half(job))
    make_release(committer_of(job), "v1")
    repository.create_branch("beside", after_half(job))
    collect(committer_of(job), retention=Retention(spared=NONE))
    assert repository.list_branches() == {"main"}


def test_a_collection_frees_what_its_dry_run_reports_and_nothing_else(job: Job) -> None:
    location, repository, left = job.run_file.stores.cube, job.open_cube(), store.tip(job.open_cube())
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    before, there = content(job), files(location)
    reported = collect(committer_of(job), retention=Retention(spared=NONE), dry_run=True)
    assert files(location) == there
    freed = collect(committer_of(job), retention=Retention(spared=NONE))
    gone = there.keys() - files(location).keys()
    assert freed == reported
    assert freed.objects == len(gone)
    assert freed.chunks == sum(path.parent.name == "chunks" for path in gone) > 0
    # Icechunk counts what manifests and snapshots take in memory, a little other than in their files.
    assert freed.size_bytes == pytest.approx(sum(there[path] for path in gone), rel=0.1)
    assert_same(content(job), before)
    assert collect(committer_of(job), retention=Retention(spared=NONE)) == Freed(0, 0, 0, 0)
    with pytest.raises(UserError, match="no release and no snapshot"):
        resolve(job.open_cube(), left)


def test_a_release_keeps_what_a_rollback_dropped(job: Job) -> None:
    repository = job.open_cube()
    make_release(committer_of(job), "all")
    before = content(job)
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    freed = collect(committer_of(job), retention=Retention(spared=NONE))
    assert freed.chunks == 0
    assert_same(content(job, resolve(job.open_cube(), "all")), before)


def test_what_a_dead_worker_wrote_is_freed(job: Job) -> None:
    before = content(job)
    fork = job.open_cube().writable_session("main").fork()
    layer = store.array(store.writable(fork), "annual/nee")
    layer[...] = np.random.default_rng(1).random(layer.shape)  # chunks of a constant are kept in manifests
    freed = collect(committer_of(job), retention=Retention(spared=NONE))
    assert freed.chunks == np.prod(layer.cdata_shape) > 0
    assert_same(content(job), before)
    assert not Ledger(store.read(job.open_cube())).failures


def test_forgetting_spares_the_newest_releases_and_what_may_be_being_read(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    make_release(committer_of(job), "half", at=then)
    before, at_half = content(job), content(job, then)
    now = datetime.now(UTC)
    assert garbage.expiry(repository, Retention(now)) <= min(c.written_at for c in commits(repository))  # type: ignore[operator]
    assert collect(committer_of(job), retention=Retention(now, spared=NONE)).expired == 0
    reported = collect(committer_of(job), retention=Retention(now, NONE, NONE), dry_run=True)
    assert len(commits(repository)) > 1
    freed = collect(committer_of(job), retention=Retention(now, NONE, NONE))
    assert freed.expired == reported.expired > 0
    (left,) = commits(job.open_cube())
    assert left.snapshot == store.tip(repository)
    assert_same(content(job), before)
    assert_same(content(job, resolve(job.open_cube(), "half")), at_half)
    assert run(job, Serial(), years=YEARS).totals.tile_years == 0


def test_the_state_that_was_the_newest_when_a_reader_came_is_not_forgotten(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    written = {info.id: info.written_at for info in repository.ancestry(branch="main")}
    next_one = min(at for at in written.values() if at > written[then])
    reader_came = next_one - (next_one - written[then]) / 2
    reading = datetime.now(UTC) - reader_came
    threshold = garbage.expiry(repository, Retention(datetime.now(UTC), reading))
    assert threshold is not None
    assert threshold <= written[then]
    assert then not in garbage.expirable(repository, threshold)


@pytest.mark.slow
def test_inputs_that_were_ingested_again_are_freed_when_their_states_are_forgotten(job: Job) -> None:
    write_inputs(job, Fields(gpp_factor={2013: 1.2}), years=(2013,))
    names, retention = ("cube", "inputs"), Retention(datetime.now(UTC), NONE, NONE)
    inputs = job.run_file.stores.inputs
    freed = collect_stores(job.run_file.stores.repositories, names, retention=retention, dry_run=False)
    assert freed[inputs].chunks > 0
    run(job, Serial(), years=YEARS)
    assert {year for _, year in tile_years_of_last_run(job)} == {2013}


@pytest.fixture
def living(job: Job) -> Iterator[str]:
    """A store of the job that a process writes."""
    with store.sole_writer(job.run_file.stores.cube):
        yield job.run_file.stores.cube


def test_nothing_is_freed_while_a_run_lives(job: Job, living: str) -> None:
    there = files(job.run_file.stores.inputs) | files(living)
    for names in (("inputs",), ("cube",), ("cube", "inputs")):
        with pytest.raises(UserError, match="is writing it"):
            collect_stores(job.run_file.stores.repositories, names, retention=Retention(spared=NONE), dry_run=False)
    assert files(job.run_file.stores.inputs) | files(living) == there


@pytest.mark.parametrize("deleted", [False, True], ids=["lock file there", "lock file deleted"])
def test_nothing_of_a_run_is_freed_by_a_process_that_comes_through_a_link(
    job: Job, living: str, tmp_path: Path, deleted: bool
) -> None:
    layer = store.array(store.writable(job.open_cube().writable_session("main").fork()), "annual/nee")
    layer[...] = np.random.default_rng(1).random(layer.shape)  # by a worker, and not committed yet
    there = files(living)
    (tmp_path / "link").symlink_to(living)
    linked = job.stores.model_copy(update={"cube": str(tmp_path / "link")})
    (tmp_path / "linked.toml").write_text(config.dump(job.run_file.model_copy(update={"stores": linked})))
    if deleted:
        (Path(living) / lock.FILE).unlink()
    command = [sys.executable, "-m", "pipeline.cli", "gc", str(tmp_path / "linked.toml"), "--spare-hours", "0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "is writing it" in refused.stderr
    chunks = {path: size for path, size in there.items() if path.name != lock.FILE}
    assert chunks.items() <= files(living).items()


def test_data_younger_than_an_hour_are_spared(job: Job) -> None:
    layer = store.array(store.writable(job.open_cube().writable_session("main").fork()), "annual/nee")
    layer[...] = np.random.default_rng(1).random(layer.shape)
    assert collect(committer_of(job), retention=Retention()) == Freed(0, 0, 0, 0)
    two_hours_ago = time.time() - 7200
    for path in Path(job.run_file.stores.cube, "chunks").iterdir():
        os.utime(path, (two_hours_ago, two_hours_ago))
    assert collect(committer_of(job), retention=Retention()).chunks == np.prod(layer.cdata_shape)


def test_freeing_stores_that_are_not_there_is_refused(job: Job) -> None:
    shutil.rmtree(job.run_file.stores.cube)
    with pytest.raises(UserError, match="no store here"):
        collect_stores(job.run_file.stores.repositories, ("cube",), retention=Retention(spared=NONE), dry_run=False)
    both = ("cube", "inputs")
    freed = collect_stores(job.run_file.stores.repositories, both, retention=Retention(spared=NONE), dry_run=True)
    assert set(freed) == {job.run_file.stores.inputs}
