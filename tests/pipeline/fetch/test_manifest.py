"""The manifest of an archive's folder: complete lines count, a torn one does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.fetch import manifest
from pipeline.fetch.catalogue import Checksum

SHA = Checksum("sha256", "ab" * 32)


def entry(path: str, *, size_bytes: int = 7) -> manifest.Entry:
    return manifest.entry_of(
        path, url=f"https://me:word@data.nasa.gov/{path}?key=1", size_bytes=size_bytes, checksum=SHA
    )


def test_entries_are_read_as_they_were_appended_and_the_last_one_of_a_path_counts(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) == {}
    first, second, newer = entry("2010/a.nc"), entry("2010/b.nc"), entry("2010/a.nc", size_bytes=8)
    for each in (first, second, newer):
        manifest.append(tmp_path, each)
    assert manifest.read(tmp_path) == {"2010/a.nc": newer, "2010/b.nc": second}
    assert newer.digest == SHA


def test_an_entry_holds_neither_user_name_nor_query() -> None:
    assert entry("a.nc").url == "https://data.nasa.gov/a.nc"


def test_a_torn_last_line_is_ignored_and_removed_before_the_next(tmp_path: Path) -> None:
    manifest.append(tmp_path, entry("a.nc"))
    path = tmp_path / manifest.FILE_NAME
    path.write_bytes(path.read_bytes() + b'{"path": "b')
    assert list(manifest.read(tmp_path)) == ["a.nc"]
    manifest.drop_torn_line(tmp_path)
    manifest.append(tmp_path, entry("c.nc"))
    assert list(manifest.read(tmp_path)) == ["a.nc", "c.nc"]


@pytest.mark.parametrize("line", ["{", '{"path": "a"}', "[]", "text"])
def test_a_line_that_is_not_an_entry_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    manifest.append(tmp_path, entry("a.nc"))
    path = tmp_path / manifest.FILE_NAME
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(UserError, match=r"fetched\.jsonl: line 2 is not an entry"):
        manifest.read(tmp_path)
