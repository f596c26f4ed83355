"""Commits, releases and the names of states."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cube.garbage import Retention, collect
from pipeline.cube.history import check_name, commits, delete_release, make_release, releases, resolve
from pipeline.cube.ledger import Ledger
from pipeline.cube.rollback import plan_rollback, roll_back
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.storage import repository as store
from tests.helpers.commits import committer_of
from tests.helpers.cube_states import after_half, assert_same, content


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
