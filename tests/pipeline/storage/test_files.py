from __future__ import annotations

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
