"""States of a cube that was run for two years and then for two more, and all that they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from pipeline.cube.history import commits
from pipeline.job import Job
from pipeline.storage import repository as store


def arrays(root: zarr.Group) -> dict[str, np.ndarray]:
    """Every array of a store."""
    return {
        name: np.asarray(member[...]) for name, member in root.members(max_depth=None) if isinstance(member, zarr.Array)
    }


def content(job: Job, snapshot: str | None = None) -> dict[str, np.ndarray]:
    return arrays(store.read(job.open_cube(), snapshot=snapshot))


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], *, but: frozenset[str] = frozenset()) -> None:
    assert one.keys() == other.keys()
    for name in one.keys() - but:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


REMEASURED = frozenset({"ledger/seconds", "ledger/cpu_seconds", "ledger/run"})  # of a computation, not of its results


def after_half(job: Job) -> str:
    """Snapshot of the cube when the first run had ended."""
    made = commits(job.open_cube())
    begun = next(i for i, commit in enumerate(made) if commit.message == "make room for 2012-2013")
    return made[begun + 1].snapshot


def files(location: str) -> dict[Path, int]:
    """Sizes of a store's files, but for its references."""
    found = (path for path in Path(location).rglob("*") if path.is_file() and "refs" not in path.parts)
    return {path: path.stat().st_size for path in found}
