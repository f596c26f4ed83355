"""`agcarbon history`, `tag`, `rollback`, `gc`, and `export --at`: what they print, ask and refuse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest
import rasterio
from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.console import console
from pipeline.cube import garbage, layout, ledger
from pipeline.cube.history import commits, releases
from pipeline.job import Job
from pipeline.storage import repository
from pipeline.storage.commit import CommitError
from pipeline.storage.retry import RetryPolicy
from tests.helpers.commits import TIMEOUT, break_calls, transaction
from tests.helpers.filled_cube import FIRST, LAST, Filled, fill_cube, write_results


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return fill_cube(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def job(base: Filled, tmp_path: Path) -> Job:
    """A cube with two commits: structure, and results."""
    shutil.copytree(base.job.path.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / base.job.path.name)


@pytest.fixture(autouse=True)
def _wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 200)


def call(job: Job, command: str, *arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main.app, [command, str(job.path), *arguments], input=answer)


def tip(job: Job) -> str:
    return repository.tip(job.open_cube())


def test_history_lists_commits_newest_first_with_releases(job: Job) -> None:
    assert call(job, "tag", "v1", "--message", "first").exit_code == 0
    said = call(job, "history")
    assert said.exit_code == 0
    *lines, last = [line for line in said.output.splitlines() if tip(job)[:8] in line]
    assert last == f"newest state: {tip(job)[:8]}, results"
    assert len(lines) == 1
    assert "results" in lines[0]
    assert "v1" in lines[0]
    assert f"daily {FIRST}-{LAST}" in lines[0]
    assert said.output.index("results") < said.output.index("structure")
    found = json.loads(call(job, "history", "--json", "--limit", "1").output)
    (newest,) = found["commits"]
    assert newest["snapshot"] == tip(job)
    assert newest["releases"] == ["v1"]
    assert newest["changed"][f"daily/{FIRST}"] > 0


def test_a_damaged_store_ends_in_one_sentence_and_not_in_a_traceback(job: Job) -> None:
    for snapshot in (Path(job.stores.cube) / "snapshots").iterdir():
        snapshot.write_bytes(b"not a snapshot")
    command = [sys.executable, "-m", "pipeline.cli", "history", str(job.path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert re.fullmatch(
        r"agcarbon: .+: the store cannot be opened: .+; restore it from a backup, or .+\n", ended.stderr
    )


def test_releases_are_listed_and_deleted(job: Job) -> None:
    call(job, "tag", "v1", "--message", "first")
    listed = json.loads(call(job, "tag", "--json").output)["releases"]
    assert [(each["name"], each["of"], each["message"]) for each in listed] == [("v1", tip(job), "first")]
    assert "first" in call(job, "tag", "--list").output
    assert call(job, "tag", "--delete", "v1").exit_code == 0
    assert json.loads(call(job, "tag", "--json").output)["releases"] == []
    assert call(job, "tag", "v2", "--list").exit_code == 2


def test_a_rollback_says_what_it_drops_and_asks(job: Job) -> None:
    before, (_, structure) = tip(job), commits(job.open_cube())
    refused = call(job, "rollback", structure.snapshot[:8], answer="n\n")
    assert refused.exit_code == 1
    assert f"drops 5 tile-years: 3 of {FIRST}, 2 of {LAST}" in refused.output
    assert tip(job) == before
    done = call(job, "rollback", structure.snapshot[:8], "--yes")
    assert done.exit_code == 0
    assert f"agcarbon rollback {job.path} {before[:8]}" in done.output.replace("\n", "")
    back = call(job, "rollback", before[:8], answer="y\n")
    assert f"restores 5 tile-years: 3 of {FIRST}, 2 of {LAST}" in back.output
    assert back.exit_code == 0


def test_gc_says_what_it_would_free_and_frees_it(job: Job) -> None:
    call(job, "rollback", commits(job.open_cube())[1].snapshot, "--yes")
    there = sorted(Path(job.run_file.stores.cube).rglob("*"))
    assert " 0 objects, 0 of them chunks; spared what is younger than 1 h" in call(job, "gc").output.replace("\n", " ")
    told = call(job, "gc", "--dry-run", "--spare-hours", "0")
    assert "would free" in told.output
    assert sorted(Path(job.run_file.stores.cube).rglob("*")) == there
    freed = call(job, "gc", "--spare-hours", "0")
    assert freed.output == told.output.replace("would free", "freed")
    assert " 0 objects" in call(job, "gc", "--spare-hours", "0").output
    assert call(job, "gc", "--keep-days", "3", "--expire-before", "2020-01-01").exit_code == 2


@pytest.mark.parametrize("command", [["rollback", "v1", "--yes"], ["tag", "v2"], ["tag", "--delete", "v1"], ["gc"]])
def test_nothing_is_moved_while_a_run_lives(job: Job, command: list[str]) -> None:
    call(job, "tag", "v1")
    before = tip(job)
    with repository.sole_writer(job.run_file.stores.cube):
        refused = call(job, command[0], *command[1:])
    assert "is writing it" in str(refused.exception)
    assert tip(job) == before
    assert job.open_cube().list_tags() == {"v1"}


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "waits", lambda self, _: iter([0.0] * self.retries))


# Each call by which a command changes the store.
CALLS = [
    (("tag", "v2"), "create_branch"),
    (("tag", "v2"), "commit"),
    (("tag", "v2"), "delete_branch"),
    (("tag", "v2"), "create_tag"),
    (("tag", "--delete", "v1"), "delete_tag"),
    (("rollback", "v1", "--yes"), "create_branch"),
    (("rollback", "v1", "--yes"), "commit"),
    (("rollback", "v1", "--yes"), "delete_branch"),
    (("rollback", "v1", "--yes"), "reset_branch"),
    (("gc", "--keep-days", "0"), "expire_snapshots"),
    (("gc", "--keep-days", "0"), "garbage_collect"),
]


def owner_of(method: str) -> type:
    return icechunk.Session if method == "commit" else icechunk.Repository


@pytest.fixture
def released(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The cube with a release of its first commit, and a third commit."""
    monkeypatch.setattr(garbage, "expiry", lambda _, retention: retention.since)  # no reader has to be spared
    call(job, "tag", "v1", "--at", commits(job.open_cube())[1].snapshot)
    with transaction(job.open_cube(), "later") as root:
        root.attrs["later"] = 1
    return job


def outcome(job: Job) -> dict[str, object]:
    """Everything of a cube that commands change, but for the identifiers and times of new snapshots."""
    cube = job.open_cube()
    return {
        "history": [(commit.message, commit.changed, commit.releases) for commit in commits(cube)],
        "branches": cube.list_branches(),
        "releases": [release.name for release in releases(cube)],
        "attributes": repository.read(cube).attrs.asdict(),
    }


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(("command", "method"), CALLS)
def test_a_command_does_the_same_after_an_error_that_passes_and_a_lost_reply(
    released: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], method: str
) -> None:
    plain = Job.open(shutil.copytree(released.path.parent, tmp_path / "plain") / released.path.name)
    assert call(plain, *command).exit_code == 0
    with monkeypatch.context() as patch:
        seen = break_calls(patch, owner_of(method), method, TIMEOUT, "lost")
        done = call(released, *command)
    assert done.exit_code == 0, done.output
    assert seen[:2] == [str(TIMEOUT), "lost"]
    assert outcome(released) == outcome(plain)


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(("command", "method"), {command: (command, method) for command, method in CALLS}.values())
def test_an_error_that_stays_ends_a_command_in_one_sentence_and_the_cube_stays_readable(
    released: Job, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], method: str
) -> None:
    before = tip(released)
    with monkeypatch.context() as patch:
        break_calls(patch, owner_of(method), method, *[TIMEOUT] * 99)
        refused = call(released, *command)
    assert isinstance(refused.exception, CommitError)
    assert "the storage failed, and what was committed before is kept: " in str(refused.exception)
    assert tip(released) == before
    assert call(released, *command).exit_code == 0  # the next time it finds nothing in its way


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(
    ("command", "method"), [call for call in CALLS if call[1] in ("reset_branch", "expire_snapshots")]
)
def test_a_command_that_finds_another_writer_s_commit_leaves_it_as_it_is(
    released: Job, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], method: str
) -> None:
    """The other one commits, past the lock, in the very moment of the change."""
    real = getattr(icechunk.Repository, method)

    def meanwhile(*args: object, **kwargs: object) -> object:
        with transaction(released.open_cube(), "somebody else's") as root:
            root.attrs["theirs"] = 1
        if method != "reset_branch":  # which compares by itself
            raise TIMEOUT
        return real(*args, **kwargs)

    monkeypatch.setattr(icechunk.Repository, method, meanwhile)
    refused = call(released, *command)
    assert "someone else has committed to this store in the meantime" in str(refused.exception)
    assert "somebody else's" in str(refused.exception)
    assert [commit.message for commit in commits(released.open_cube())][:2] == ["somebody else's", "later"]


@pytest.mark.slow
def test_a_release_is_exported_as_it_was(job: Job, tmp_path: Path) -> None:
    def exported(name: str, *options: str) -> rasterio.DatasetReader:
        chosen = ["--years", str(FIRST), "--variables", "nee", "-o", str(tmp_path / name), *options]
        done = CliRunner().invoke(main.app, ["export", "cog", str(job.path), *chosen])
        assert done.exit_code == 0, done.output
        (file,) = (tmp_path / name).glob("**/*.tif")
        return rasterio.open(file)

    call(job, "tag", "v1")
    before = exported("before")
    tile = job.domain.tiles[0]
    mask = layout.read_mask(repository.read(job.open_cube()), tile).mask
    with transaction(job.open_cube(), "other results") as root:
        row = write_results(root, tile, FIRST, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    np.testing.assert_array_equal(exported("released", "--at", "v1").read(1), before.read(1))
    assert not np.array_equal(exported("now").read(1), before.read(1), equal_nan=True)
    assert exported("named", "--at", "v1").tags()["AGCARBON_RELEASE"] == "v1"
    assert before.tags()["AGCARBON_RELEASE"] == "none"
