"""`agcarbon history`, `tag`, `rollback`, `gc`, and `export --at`: what they print, ask and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import Result
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.console import console
from pipeline.cube.history import commits
from pipeline.job import Job
from pipeline.storage import repository
from tests.helpers.filled_cube import FIRST, LAST, Filled, fill_cube


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
    lines = [line for line in said.output.splitlines() if tip(job)[:8] in line]
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
    assert f"brings back 5 tile-years: 3 of {FIRST}, 2 of {LAST}" in back.output
    assert back.exit_code == 0


def test_gc_says_what_it_would_free_and_frees_it(job: Job) -> None:
    call(job, "rollback", commits(job.open_cube())[1].snapshot, "--yes")
    there = sorted(Path(job.run_file.stores.cube).rglob("*"))
    told = call(job, "gc", "--dry-run")
    assert "would free" in told.output
    assert sorted(Path(job.run_file.stores.cube).rglob("*")) == there
    freed = call(job, "gc")
    assert freed.output == told.output.replace("would free", "freed")
    assert " 0 objects" in call(job, "gc").output
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


def test_a_release_is_exported_as_it_was(job: Job, tmp_path: Path) -> None:
    def exported(name: str, *options: str) -> rasterio.DatasetReader:
        chosen = ["--years", str(FIRST), "--variables", "nee", "-o", str(tmp_path / name), *options]
        done = CliRunner().invoke(main.app, ["export", "cog", str(job.path), *chosen])
        assert done.exit_code == 0, done.output
        (file,) = (tmp_path / name).glob("**/*.tif")
        return rasterio.open(file)

    call(job, "tag", "v1")
    before = exported("before")
    with repository.transaction(job.open_cube(), "other results") as root:
        nee = repository.array(root, "annual/nee")
        nee[...] = np.asarray(nee[...]) + 1
    np.testing.assert_array_equal(exported("released", "--at", "v1").read(1), before.read(1))
    assert not np.array_equal(exported("now").read(1), before.read(1), equal_nan=True)
    assert exported("named", "--at", "v1").tags()["AGCARBON_RELEASE"] == "v1"
    assert before.tags()["AGCARBON_RELEASE"] == "none"
