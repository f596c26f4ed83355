from __future__ import annotations

import hashlib
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipeline.storage import files


def _half(location: str) -> None:
    with files.writing(location) as path:
        path.write_bytes(b"half")
        raise KeyboardInterrupt


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    location = str(tmp_path / "table.csv")
    with files.writing(location) as path:
        path.write_bytes(b"the old one")
        assert files.read(location) is None
    with pytest.raises(KeyboardInterrupt):
        _half(location)
    assert files.read(location) == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_file_gets_its_folder(tmp_path: Path) -> None:
    location = files.join(str(tmp_path), "new", "table.csv")
    with files.writing(location) as path:
        path.write_bytes(b"1")
    assert (tmp_path / "new" / "table.csv").read_bytes() == b"1"


def test_only_files_of_the_ending_right_below_are_listed(tmp_path: Path) -> None:
    for name in ("b.tif", "a.tif", "a.json", "deeper/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files.listed(str(tmp_path), suffix=".tif") == [str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_scratch_folder_is_empty_and_goes_with_its_block(tmp_path: Path, error: type[BaseException] | None) -> None:
    left = tmp_path / "new" / ".map.tif.drafts"
    left.mkdir(parents=True)
    (left / "of a killed process").touch()
    with pytest.raises(error) if error else nullcontext(), files.scratch(str(tmp_path / "new" / "map.tif")) as folder:
        assert not list(folder.iterdir())
        (folder / "draft").touch()
        if error:
            raise error
    assert not list((tmp_path / "new").iterdir())


def test_two_scratch_folders_of_one_file_are_apart_and_neither_removes_the_other(tmp_path: Path) -> None:
    location = str(tmp_path / "map.tif")
    with files.scratch(location) as first:
        (first / "draft").touch()
        with files.scratch(location) as second:
            assert second != first
            assert not list(second.iterdir())
        assert (first / "draft").exists()
    assert not list(tmp_path.iterdir())


def test_blocks_in_turn_never_overlap(tmp_path: Path) -> None:
    inside, most = [], []

    def enter() -> None:
        with files.in_turn(str(tmp_path)):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert not list(tmp_path.iterdir())


def test_small_files_are_written_checked_and_removed(tmp_path: Path) -> None:
    location = files.join(str(tmp_path), "new", "record")
    files.write(location, b"content")
    assert files.stat(location).size == 7
    assert files.sha256(location) == hashlib.sha256(b"content").hexdigest()
    assert files.folders(files.parent(files.parent(location)), suffix="w") == [str(tmp_path / "new")]
    files.remove(location)
    files.remove(location)
    assert not list((tmp_path / "new").iterdir())
