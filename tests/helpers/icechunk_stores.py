"""A small store, as the installed release of Icechunk writes it, packed into one file.

`python -m tests.helpers.icechunk_stores FILE.zip` writes it. Those in `tests/pipeline/storage/stores/`, named by the
release that wrote them, are read by the tests under every other release.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import icechunk
import numpy as np

from pipeline.storage import repository as store

VALUES = np.arange(2 * 1024, dtype="f4").reshape(2, 1024)  # more than Icechunk keeps inside a manifest
TAG, METADATA, ATTRIBUTES = "first", {"years": [2011, 2012]}, {"region": {"name": "test"}}


def write(location: Path) -> icechunk.Repository:
    """Write one sharded array of two years, an attribute and a tag."""
    repository = store.create(str(location))
    session = repository.writable_session(store.BRANCH)
    root = store.writable(session)
    root.attrs.update(ATTRIBUTES)
    array = root.create_array(
        "daily/gpp", shape=VALUES.shape, chunks=(1, 256), shards=(1, 1024), dtype="f4", dimension_names=("year", "x")
    )
    array[...] = VALUES
    repository.create_tag(TAG, session.commit("two years", metadata=METADATA))
    return repository


if __name__ == "__main__":
    target = Path(sys.argv[1])
    with TemporaryDirectory() as folder:
        write(Path(folder) / "store")
        shutil.make_archive(str(target.with_suffix("")), "zip", folder, "store")
