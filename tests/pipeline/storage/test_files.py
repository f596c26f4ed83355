from __future__ import annotations

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
