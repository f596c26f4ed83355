"""Icechunk repositories: opening, clean sessions, commits, and the lock that keeps a second writer out."""

from __future__ import annotations

import copy
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.errors import UserError

BRANCH = "main"

Array: TypeAlias = "zarr.Array[Any]"


def _storage(location: str) -> icechunk.Storage:
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        return icechunk.s3_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    return icechunk.local_filesystem_storage(location)


def _config() -> icechunk.RepositoryConfig:
    # A commit rewrites the manifests of the arrays it touches: one per year keeps that cost flat as years are added.
    year = icechunk.ManifestSplitDimCondition.DimensionName("year")
    by_year: Any = {icechunk.ManifestSplitCondition.AnyArray(): {year: 1}}
    config = icechunk.RepositoryConfig.default()
    config.manifest = icechunk.ManifestConfig(splitting=icechunk.ManifestSplittingConfig.from_dict(by_year))
    return config


def exists(location: str) -> bool:
    """Say whether a repository with at least one commit is at `location` (a folder, or s3://bucket/prefix).

    One without commits is what a process leaves that was killed while it created the repository.
    """
    storage = _storage(location)
    if not icechunk.Repository.exists(storage):
        return False
    newest = next(iter(icechunk.Repository.open(storage).ancestry(branch=BRANCH)))
    return newest.parent_id is not None


def create(location: str) -> icechunk.Repository:
    """Return an empty repository at `location`, where none with commits may be; see `exists`."""
    if not location.startswith("s3://"):
        Path(location).parent.mkdir(parents=True, exist_ok=True)
    repository = icechunk.Repository.open_or_create(_storage(location), config=_config())
    repository.save_config()
    return repository


def open_existing(location: str, *, made_by: str) -> icechunk.Repository:
    """Open a repository; raises `UserError` naming the command `made_by` which it should have been made."""
    if not exists(location):
        raise UserError(f"{location}: no store here; make it with `{made_by}`")
    return icechunk.Repository.open(_storage(location), config=_config())


def tip(repository: icechunk.Repository) -> str:
    """Identifier of the newest snapshot."""
    return str(repository.lookup_branch(BRANCH))


def read(repository: icechunk.Repository, *, snapshot: str | None = None) -> zarr.Group:
    """Return the root group as it was at `snapshot`, or as it is now, read-only."""
    session = repository.readonly_session(snapshot_id=snapshot) if snapshot else repository.readonly_session(BRANCH)
    return zarr.open_group(session.store, mode="r")


def writable(session: icechunk.Session) -> zarr.Group:
    """Return the root group of a session (or of a worker's fork of one), for writing."""
    return zarr.open_group(session.store, mode="a")


def array(group: zarr.Group, path: str) -> Array:
    """Return the array at `path` under `group`; `KeyError` if there is none."""
    found = group[path]
    assert isinstance(found, zarr.Array), path
    return found


def subgroup(group: zarr.Group, path: str) -> zarr.Group:
    """Return the group at `path` under `group`; `KeyError` if there is none."""
    found = group[path]
    assert isinstance(found, zarr.Group), path
    return found


def values(group: zarr.Group, path: str) -> NDArray[Any]:
    """Read a whole array."""
    return np.asarray(array(group, path)[...])


def attribute(group: zarr.Group, name: str) -> Any:
    """Return a copy of a JSON attribute, or None."""
    return copy.deepcopy(group.attrs.asdict().get(name))


@contextmanager
def transaction(repository: icechunk.Repository, message: str, **metadata: Any) -> Iterator[zarr.Group]:
    """Give the root group for writing, and commit all that was written in it, or nothing if the block raises."""
    session = repository.writable_session(BRANCH)
    yield writable(session)
    if session.has_uncommitted_changes:
        session.commit(message, metadata=metadata)


@contextmanager
def sole_writer(location: str) -> Iterator[None]:
    """Hold the store for one writing process.

    The operating system drops the lock with the process that holds it, however that ends, so none is ever left behind.
    Stores on S3 need none: there a commit is a compare-and-swap on the branch.

    Raises
    ------
    UserError
        If another process holds it.
    """
    if location.startswith("s3://"):
        yield
        return
    path = Path(f"{location.rstrip('/')}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{location}: process {file.read().strip()} is writing it; wait, or stop that process"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
