from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.cube.layout import on_tile, rounded
from pipeline.errors import UserError
from pipeline.storage import repository as store


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    repository = store.create(str(tmp_path / "a"))
    with store.transaction(repository, "one") as root:
        root.attrs["x"] = 1
    before = store.tip(repository)

    def fail() -> None:
        with store.transaction(repository, "two") as root:
            root.attrs["x"] = 2
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail()
    assert store.tip(repository) == before
    assert store.attribute(store.read(repository), "x") == 1


def test_a_repository_without_a_commit_is_none_yet_and_can_be_created_again(tmp_path: Path) -> None:
    location = str(tmp_path / "a")
    assert not store.exists(location)
    store.create(location)
    assert not store.exists(location)
    with store.transaction(store.create(location), "structure") as root:
        root.attrs["x"] = 1
    assert store.exists(location)


def test_a_reader_of_a_snapshot_does_not_see_later_commits(tmp_path: Path) -> None:
    repository = store.create(str(tmp_path / "a"))
    with store.transaction(repository, "one") as root:
        root.attrs["x"] = 1
    pinned = store.tip(repository)
    with store.transaction(repository, "two") as root:
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


@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(-1000, 1000, width=32)))
def test_rounding_errs_by_at_most_half_a_step_and_keeps_what_is_rounded(values: np.ndarray) -> None:
    once = rounded(values)
    normal = np.abs(values) > np.finfo(np.float32).tiny
    assert (np.abs(once - values)[normal] <= np.abs(values[normal]) * 4.9e-4).all()
    np.testing.assert_array_equal(rounded(once), once)


def test_rounding_keeps_missing_values_and_leaves_its_input_alone() -> None:
    values = np.array([np.nan, 1.0001, -3.33333], np.float32)
    copy = values.copy()
    assert np.isnan(rounded(values)[0])
    np.testing.assert_array_equal(values, copy)


def test_values_of_cells_come_back_from_their_tile() -> None:
    mask = np.random.default_rng(0).random((6, 6)) < 0.5
    values = np.arange(3 * mask.sum(), dtype=np.float32).reshape(3, -1)
    tile = on_tile(values, mask, fill=np.nan)
    np.testing.assert_array_equal(tile[:, mask], values)
    assert np.isnan(tile[:, ~mask]).all()
