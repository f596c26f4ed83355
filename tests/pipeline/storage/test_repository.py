"""Repositories: there or not, read as they were, locked by one process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.storage import repository as store
from tests.helpers.commits import transaction
from tests.helpers.missing_chunks import remove_a_chunk


def test_a_repository_without_a_commit_is_none_yet_and_can_be_created_again(tmp_path: Path) -> None:
    location = str(tmp_path / "a")
    assert not store.exists(location)
    store.create(location)
    assert not store.exists(location)
    with transaction(store.create(location), "structure") as root:
        root.attrs["x"] = 1
    assert store.exists(location)


@pytest.mark.parametrize("kept", [("config.yaml",), ("config.yaml", "snapshots"), ("snapshots", "transactions"), ()])
def test_a_creation_that_was_killed_is_made_good_by_the_next_one(tmp_path: Path, kept: tuple[str, ...]) -> None:
    """Icechunk writes configuration and snapshot before the branch, and creates repositories in empty folders only."""
    location = tmp_path / "a"
    store.create(str(location))
    for entry in location.iterdir():
        if entry.name not in kept:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    assert not store.exists(str(location))
    with transaction(store.create(str(location)), "one") as root:
        root.attrs["x"] = 1
    assert store.exists(str(location))


@pytest.mark.parametrize("other", ["notes.txt", "chunks/04RF15Y88WC2B1PSXR9G"])
def test_a_folder_with_other_files_or_data_without_a_branch_is_refused_and_kept(tmp_path: Path, other: str) -> None:
    location = tmp_path / "a"
    store.create(str(location))
    shutil.rmtree(location / "refs")
    (location / other).parent.mkdir(exist_ok=True)
    (location / other).write_text("mine")
    before = sorted(location.rglob("*"))
    with pytest.raises(UserError, match="nothing can be written there"):
        store.create(str(location))
    assert sorted(location.rglob("*")) == before


def test_a_reader_of_a_snapshot_does_not_see_later_commits(tmp_path: Path) -> None:
    repository = store.create(str(tmp_path / "a"))
    with transaction(repository, "one") as root:
        root.attrs["x"] = 1
    pinned = store.tip(repository)
    with transaction(repository, "two") as root:
        root.attrs["x"] = 2
    assert store.attribute(store.read(repository, snapshot=pinned), "x") == 1
    assert store.attribute(store.read(repository), "x") == 2


def test_an_absent_store_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here; make it with `agcarbon ingest`"):
        store.open_existing(str(tmp_path / "none"), made_by="agcarbon ingest")


def test_the_lock_keeps_another_process_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    location = str(tmp_path / "a")
    hold = (
        "from pipeline.storage import repository as store\nimport time\n"
        f"with store.sole_writer({location!r}):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"process {process.pid} is writing"), store.sole_writer(location):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with store.sole_writer(location):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A user who is nobody, in a folder that only its owner may write: root may write everywhere."""
    tmp_path.chmod(0o555)
    asking = f"""
import os, sys
from pipeline.storage import repository as store
os.chdir({str(tmp_path)!r})
if os.getuid() == 0:
    os.setuid(65534)
for ask in (store.create, lambda location: store.sole_writer(location).__enter__()):
    try:
        ask("cube")
    except store.UserError as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", asking], capture_output=True, text=True, check=True).stdout
    tmp_path.chmod(0o755)
    assert said.count("cube: nothing can be written there (") == 2, said
    assert said.count("ermission denied") == 2
    assert said.count("make it writable, or name another place") == 2


def sharded(location: str) -> tuple[icechunk.Repository, np.ndarray]:
    """A repository with one array of four shards of random numbers."""
    repository, numbers = store.create(location), np.random.default_rng(1).random((8, 64, 64))
    with transaction(repository, "numbers") as root:
        layer = root.create_array("a", shape=(8, 64, 64), chunks=(4, 16, 16), shards=(8, 32, 32), dtype="float64")
        layer[...] = numbers
    return repository, numbers


def test_a_missing_shard_is_replaced_which_a_plain_write_cannot(tmp_path: Path) -> None:
    location = str(tmp_path / "a")
    _, numbers = sharded(location)
    remove_a_chunk(location, "a")
    whole = tuple(slice(None) for _ in range(3))
    with pytest.raises(icechunk.IcechunkError), transaction(opened(location), "plain") as root:
        store.array(root, "a")[whole] = numbers
    with transaction(opened(location), "replaced") as root:
        store.replace(root, "a", whole, numbers + 1)
    np.testing.assert_array_equal(store.values(store.read(opened(location)), "a"), numbers + 1)


def test_replacing_a_shard_leaves_the_others(tmp_path: Path) -> None:
    repository, numbers = sharded(str(tmp_path / "a"))
    window = (slice(None), slice(32, 64), slice(0, 32))
    with transaction(repository, "one") as root:
        store.replace(root, "a", window, numbers[window] * 2)
    expected = numbers.copy()
    expected[window] *= 2
    np.testing.assert_array_equal(store.values(store.read(repository), "a"), expected)


def test_a_part_of_a_shard_cannot_be_replaced(tmp_path: Path) -> None:
    repository, numbers = sharded(str(tmp_path / "a"))
    for window in ((slice(0, 4), slice(None), slice(None)), (slice(None), slice(16, 32), slice(None))):
        with pytest.raises(AssertionError), transaction(repository, "part") as root:
            store.replace(root, "a", window, numbers[window])
    np.testing.assert_array_equal(store.values(store.read(repository), "a"), numbers)


def test_values_that_end_within_a_shard_leave_nothing_of_what_it_held(tmp_path: Path) -> None:
    repository, numbers = sharded(str(tmp_path / "a"))
    remove_a_chunk(str(tmp_path / "a"), "a")
    window = (slice(None), slice(0, 32), slice(0, 20))
    with transaction(opened(str(tmp_path / "a")), "part") as root:
        store.replace(root, "a", window, numbers[window] * 2, in_part=True)
    found = store.part(store.read(opened(str(tmp_path / "a"))), "a", (slice(None), slice(0, 32), slice(0, 32)))
    np.testing.assert_array_equal(found[:, :, :20], numbers[window] * 2)
    fill = store.array(store.read(repository), "a").fill_value
    np.testing.assert_array_equal(found[:, :, 20:], np.full_like(found[:, :, 20:], fill))


def opened(location: str) -> icechunk.Repository:
    return store.open_existing(location, made_by="test")
