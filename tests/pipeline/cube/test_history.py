"""History, releases, rollback and collecting: what is named stays, what is dropped is known, what is done is done."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.executor import Serial
from pipeline.cube import garbage
from pipeline.cube.garbage import Freed, Retention, collect, collect_stores
from pipeline.cube.history import check_name, commits, delete_release, make_release, releases, resolve
from pipeline.cube.history_report import changes
from pipeline.cube.ledger import Ledger, Status
from pipeline.cube.rollback import plan_rollback, roll_back
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.run.run import run
from pipeline.storage import repository as store
from tests.helpers.commits import committer_of, transaction
from tests.helpers.last_run import tile_years_of_last_run
from tests.helpers.random_inputs import YEARS, Fields, make_job, random_checkpoint, write_inputs

HALF = YEARS[:2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a job that has been run for two years, and then for two more."""
    job = make_job(tmp_path_factory.mktemp("history"), random_checkpoint())
    for years in (HALF, YEARS):
        assert not run(job, Serial(), years=years).failures
    return job.path


@pytest.fixture
def job(base: Path, tmp_path: Path) -> Job:
    """The same in a folder of its own."""
    shutil.copytree(base.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / base.name)


def arrays(root: zarr.Group) -> dict[str, np.ndarray]:
    """Every array of a store."""
    return {
        name: np.asarray(member[...]) for name, member in root.members(max_depth=None) if isinstance(member, zarr.Array)
    }


def content(job: Job, snapshot: str | None = None) -> dict[str, np.ndarray]:
    return arrays(store.read(job.open_cube(), snapshot=snapshot))


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], *, but: frozenset[str] = frozenset()) -> None:
    assert one.keys() == other.keys()
    for name in one.keys() - but:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


REMEASURED = frozenset({"ledger/seconds", "ledger/run"})  # what a second computation has of its own


def after_half(job: Job) -> str:
    """Snapshot of the cube when the first run had ended."""
    made = commits(job.open_cube())
    begun = next(i for i, commit in enumerate(made) if commit.message == "make room for 2012-2013")
    return made[begun + 1].snapshot


def files(location: str) -> dict[Path, int]:
    """Sizes of a store's files, but for its references."""
    found = (path for path in Path(location).rglob("*") if path.is_file() and "refs" not in path.parts)
    return {path: path.stat().st_size for path in found}


def test_history_is_that_of_icechunk_and_says_what_each_commit_wrote(job: Job) -> None:
    repository = job.open_cube()
    made = commits(repository)
    ancestry = list(repository.ancestry(branch="main"))
    assert [commit.snapshot for commit in made] == [info.id for info in ancestry[:-1]]
    assert [commit.parent for commit in made] == [info.id for info in ancestry[1:]]
    assert [commit.snapshot for commit in commits(repository, limit=2)] == [info.id for info in ancestry[:2]]
    begun = next(i for i, commit in enumerate(made) if commit.message == "make room for 2012-2013")
    later = Counter[str]()
    for commit in made[:begun]:
        later.update(commit.changed)
    tiles = len(Ledger(store.read(repository)).tiles)
    assert later["daily/2012"] == later["daily/2013"] == 3 * tiles
    assert not {"daily/2010", "daily/2011", "static"} & set(later)
    assert made[-1].message == "create cube"
    assert "static" in made[-1].changed


def test_changes_are_told_by_kind_with_their_years() -> None:
    changed = {"annual": 4, "daily/2011": 6, "daily/2012": 6, "daily/2014": 0, "ledger": 2, "staging/a/2011/05": 1}
    assert changes(changed) == "annual 4, daily 2011-2012, 2014 12, ledger 2, staging/a/2011/05 1"


def test_a_release_stays_as_it_was_whatever_comes(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    made = make_release(committer_of(job), "v1.0", at=then[:8].lower(), message="two years")
    before = content(job, made.snapshot)
    assert_same(before, content(job, then))
    assert made.of == then
    root = store.read(repository, snapshot=resolve(repository, "v1.0"))
    assert root.attrs["release"]["name"] == "v1.0"
    assert root.attrs["release"]["message"] == "two years"
    assert "release" not in store.read(repository).attrs
    roll_back(committer_of(job), plan_rollback(repository, "v1.0"))
    assert "release" not in store.read(repository).attrs
    collect(committer_of(job), retention=Retention(datetime.now(UTC), timedelta()))
    assert_same(content(job, resolve(job.open_cube(), "v1.0")), before)
    (found,) = releases(repository)
    assert (found.name, found.of, found.message) == ("v1.0", then, "two years")


def test_releases_stand_beside_the_states_that_they_name(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    make_release(committer_of(job), "half", at=then)
    make_release(committer_of(job), "whole")
    repository.create_tag("foreign", then)
    named = {commit.snapshot: commit.releases for commit in commits(repository)}
    assert set(named[then]) == {"half", "foreign"}
    assert named[store.tip(repository)] == ("whole",)
    assert {release.name for release in releases(repository)} == {"foreign", "half", "whole"}


def test_a_release_s_name_is_used_once(job: Job) -> None:
    repository = job.open_cube()
    make_release(committer_of(job), "v1")
    with pytest.raises(UserError, match="release v1 exists"):
        make_release(committer_of(job), "v1")
    delete_release(committer_of(job), "v1")
    with pytest.raises(UserError, match="a release that was deleted"):
        make_release(committer_of(job), "v1")
    with pytest.raises(UserError, match="does not exist; existing releases: none"):
        delete_release(committer_of(job), "v1")
    assert repository.list_branches() == {"main"}


@given(st.text(max_size=70))
def test_a_release_s_name_is_a_file_s_name_and_no_snapshot_s(name: str) -> None:
    try:
        check_name(name)
    except UserError:
        return
    assert Path(name).name == name
    assert name.isascii()
    assert name[0].isalnum()
    assert len(name) <= 64


@pytest.mark.parametrize("name", ["", ".", "..", "-v", "../x", "a/b", "a b", "v1\n", "1CECHNKREP0F1RSTCMT0", "x" * 65])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UserError):
        check_name(name)


def test_a_state_is_found_by_the_beginning_of_its_name_if_that_is_one_s_alone(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    assert resolve(repository, then) == resolve(repository, then[:6]) == then
    for name in ("v9", "0000000", "1CEC", then[:2]):  # 1CEC begins the name of the empty state
        with pytest.raises(UserError, match="no release and no snapshot"):
            resolve(repository, name)


def test_a_run_after_a_rollback_computes_exactly_what_was_dropped(job: Job) -> None:
    before, repository, then = content(job), job.open_cube(), after_half(job)
    at_half, tiles = content(job, then), len(Ledger(store.read(repository)).tiles)
    wanted = plan_rollback(repository, then)
    assert wanted.drops == {2012: tiles, 2013: tiles}
    assert wanted.restores == {}
    roll_back(committer_of(job), wanted)
    assert_same(content(job), at_half)
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    missing = {key for key, state in plan.states.items() if state.status is Status.MISSING}
    assert missing == {(planned.tile.name, year) for planned in plan.tiles for year in (2012, 2013)}
    assert plan.count(Status.DONE) == 2 * tiles
    run(job, Serial(), years=YEARS)
    assert tile_years_of_last_run(job) == missing
    assert_same(content(job), before, but=REMEASURED)


def test_what_a_rollback_left_is_recorded_and_can_be_gone_back_to(job: Job) -> None:
    before, repository, left = content(job), job.open_cube(), store.tip(job.open_cube())
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    newest = commits(repository)[0]
    assert newest.dropped == left
    assert newest.message.startswith("roll back to ")
    assert newest.metadata["host"]
    forward = plan_rollback(repository, left[:8])
    assert forward.drops == {}
    assert set(forward.restores) == {2012, 2013}
    roll_back(committer_of(job), forward)
    assert_same(content(job), before)
    assert run(job, Serial(), years=YEARS).totals.tile_years == 0


@pytest.mark.slow
def test_a_result_that_was_computed_again_from_other_inputs_is_dropped_and_its_first_one_brought_back(job: Job) -> None:
    before, tip = content(job), store.tip(job.open_cube())
    write_inputs(job, Fields(gpp_factor={2013: 1.2}), years=(2013,))
    computed = run(job, Serial(), years=YEARS).totals.tile_years
    repository = job.open_cube()
    wanted = plan_rollback(repository, tip)
    assert wanted.drops == wanted.restores == {2013: computed}
    roll_back(committer_of(job), wanted)
    assert_same(content(job), before)
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    assert plan.count(Status.STALE) == computed


def test_a_rollback_of_a_cube_that_changed_meanwhile_is_refused_and_changes_nothing(job: Job) -> None:
    repository = job.open_cube()
    wanted = plan_rollback(repository, after_half(job))
    with transaction(job.open_cube(), "meanwhile") as root:
        root.attrs["new"] = 1
    tip = store.tip(repository)
    with pytest.raises(UserError, match="the cube has changed"):
        roll_back(committer_of(job), wanted)
    assert store.tip(repository) == tip
    with pytest.raises(UserError, match="is in that state"):
        plan_rollback(repository, tip)


def test_a_process_killed_beside_the_history_leaves_nothing_in_the_way(job: Job) -> None:
    repository = job.open_cube()
    repository.create_branch("beside", after_half(job))
    make_release(committer_of(job), "v1")
    repository.create_branch("beside", after_half(job))
    collect(committer_of(job), retention=Retention())
    assert repository.list_branches() == {"main"}


def test_what_is_told_to_be_freed_is_freed_and_nothing_else(job: Job) -> None:
    location, repository, left = job.run_file.stores.cube, job.open_cube(), store.tip(job.open_cube())
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    before, there = content(job), files(location)
    told = collect(committer_of(job), retention=Retention(), dry_run=True)
    assert files(location) == there
    freed = collect(committer_of(job), retention=Retention())
    gone = there.keys() - files(location).keys()
    assert freed == told
    assert freed.objects == len(gone)
    assert freed.chunks == sum(path.parent.name == "chunks" for path in gone) > 0
    # Icechunk counts what manifests and snapshots take in memory, a little other than in their files.
    assert freed.size_bytes == pytest.approx(sum(there[path] for path in gone), rel=0.1)
    assert_same(content(job), before)
    assert collect(committer_of(job), retention=Retention()) == Freed(0, 0, 0, 0)
    with pytest.raises(UserError, match="no release and no snapshot"):
        resolve(job.open_cube(), left)


def test_a_release_keeps_what_a_rollback_dropped(job: Job) -> None:
    repository = job.open_cube()
    make_release(committer_of(job), "all")
    before = content(job)
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    freed = collect(committer_of(job), retention=Retention())
    assert freed.chunks == 0
    assert_same(content(job, resolve(job.open_cube(), "all")), before)


def test_what_a_dead_worker_wrote_is_freed(job: Job) -> None:
    before = content(job)
    fork = job.open_cube().writable_session("main").fork()
    layer = store.array(store.writable(fork), "annual/nee")
    layer[...] = np.random.default_rng(1).random(layer.shape)  # chunks of a constant are kept in manifests
    freed = collect(committer_of(job), retention=Retention())
    assert freed.chunks == np.prod(layer.cdata_shape) > 0
    assert_same(content(job), before)
    assert not Ledger(store.read(job.open_cube())).failures


def test_forgetting_spares_the_newest_releases_and_what_may_be_being_read(job: Job) -> None:
    repository, then = job.open_cube(), after_half(job)
    make_release(committer_of(job), "half", at=then)
    before, at_half = content(job), content(job, then)
    now = datetime.now(UTC)
    assert garbage.expiry(repository, Retention(now)) <= min(c.written_at for c in commits(repository))  # type: ignore[operator]
    assert collect(committer_of(job), retention=Retention(now)).expired == 0
    told = collect(committer_of(job), retention=Retention(now, timedelta()), dry_run=True)
    assert len(commits(repository)) > 1
    freed = collect(committer_of(job), retention=Retention(now, timedelta()))
    assert freed.expired == told.expired > 0
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
    names, retention = ("cube", "inputs"), Retention(datetime.now(UTC), timedelta())
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
            collect_stores(job.run_file.stores.repositories, names, retention=Retention(), dry_run=False)
    assert files(job.run_file.stores.inputs) | files(living) == there


def test_freeing_stores_that_are_not_there_is_refused(job: Job) -> None:
    shutil.rmtree(job.run_file.stores.cube)
    with pytest.raises(UserError, match="no store here"):
        collect_stores(job.run_file.stores.repositories, ("cube",), retention=Retention(), dry_run=False)
    assert set(
        collect_stores(job.run_file.stores.repositories, ("cube", "inputs"), retention=Retention(), dry_run=True)
    ) == {job.run_file.stores.inputs}
