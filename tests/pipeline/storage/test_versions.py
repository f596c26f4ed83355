"""One format for all releases of Icechunk: its version in every file, and stores that other releases wrote."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.storage import repository as store
from pipeline.storage.versions import FORMAT
from tests.helpers import icechunk_stores as small

STORES = sorted((Path(__file__).parent / "stores").glob("icechunk-*.zip"))
# Each metadata file begins with 12 bytes of a magic number, 24 that name the writer, and one with the format's version:
# https://icechunk.io/en/latest/reference/spec/
MAGIC, VERSION = b"ICE\xf0\x9f\xa7\x8aCHUNK", 36


def test_a_new_store_has_format_1_in_each_of_its_files(tmp_path: Path) -> None:
    small.write(tmp_path / "store")
    assert FORMAT == 1
    assert not (tmp_path / "store" / "repo").exists()  # the file that format 2 adds
    for kind in ("snapshots", "manifests", "transactions"):
        files = [path.read_bytes() for path in (tmp_path / "store" / kind).iterdir()]
        assert files
        assert all(file.startswith(MAGIC) and file[VERSION] == FORMAT for file in files)


@pytest.mark.parametrize("packed", STORES, ids=lambda path: path.stem)
def test_a_store_of_another_release_is_read_and_written_on(packed: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(packed, tmp_path)
    repository = store.open_existing(str(tmp_path / "store"), made_by="agcarbon ingest")
    newest = repository.lookup_snapshot(store.tip(repository))
    assert (newest.message, newest.metadata) == ("two years", small.METADATA)
    assert repository.lookup_tag(small.TAG) == newest.id
    root = store.read(repository)
    assert root.attrs.asdict() == small.ATTRIBUTES
    np.testing.assert_array_equal(store.values(root, "daily/gpp"), small.VALUES)

    session = repository.writable_session(store.BRANCH)
    store.array(store.writable(session), "daily/gpp")[1] = 0.0
    session.commit("one year again")
    after = store.values(store.read(store.open_existing(str(tmp_path / "store"), made_by="agcarbon")), "daily/gpp")
    np.testing.assert_array_equal(after, [small.VALUES[0], np.zeros(1024)])


def test_both_supported_releases_have_a_store_to_be_read() -> None:
    assert {path.stem for path in STORES} == {"icechunk-1.1", "icechunk-2.3"}


def test_no_other_module_tests_a_version() -> None:
    packages = Path(__file__).parents[3]
    tests = re.compile(r"version_info|hexversion|\b(?:icechunk|zarr)\.__version__")
    found = {
        str(path.relative_to(packages))
        for package in ("pipeline", "model", "regions")
        for path in (packages / package).rglob("*.py")
        if tests.search(path.read_text())
    }
    assert found == {"pipeline/storage/versions.py"}
