"""Icechunk repositories: opening and reading them, and the lock that keeps a second writer out."""

from __future__ import annotations

import atexit
import copy
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from pipeline.digests import content_digest
from pipeline.errors import DamagedError, UserError
from pipeline.storage import lock, s3
from pipeline.storage.lease import Lease
from pipeline.storage.retry import describe, is_damage
from pipeline.storage.seal import check_seal
from pipeline.storage.versions import CREATE_OPTIONS

BRANCH = "main"
DIGEST = "digest"  # attribute of small arrays: the digest of their values
# Where a repository is created, and all that Icechunk may have written of one before its branch.
_CREATING = "creating"
_UNFINISHED = frozenset(
    {_CREATING, "config.yaml", "snapshots", "transactions", "refs", "manifests", "chunks", "overwritten"}
)

# `pipeline` sets the variable, which Icechunk reads only if it is imported after that: a notebook may import it before.
icechunk.set_logs_filter(os.environ["ICECHUNK_LOG"])
# For programs that import the package: a thread of Icechunk that drops its last Python object while Python is being
# finalized aborts the process; it is done with that in milliseconds. Commands do not finalize (`pipeline.cli.main`).
atexit.register(time.sleep, 0.1)

Array: TypeAlias = "zarr.Array[Any]"


def _storage(location: str) -> icechunk.Storage:
    if not s3.is_remote(location):
        return icechunk.local_filesystem_storage(location)
    s3.check(location)  # Icechunk itself would try for 20 seconds before it reports an unreachable server
    place, service = s3.Place.parse(location), s3.Service.of_environment()
    return icechunk.s3_storage(
        bucket=place.bucket,
        prefix=place.key,
        region=service.region,
        endpoint_url=service.endpoint,
        allow_http=service.allow_http,
        force_path_style=service.path_style,
        from_env=True,  # every process asks its own environment: credentials travel to no worker
    )


def _config() -> icechunk.RepositoryConfig:
    # A commit rewrites the manifests of the arrays it touches: one per year keeps that cost flat as years are added.
    year = icechunk.ManifestSplitDimCondition.DimensionName("year")
    by_year: Any = {icechunk.ManifestSplitCondition.AnyArray(): {year: 1}}
    config = icechunk.RepositoryConfig.default()
    config.manifest = icechunk.ManifestConfig(splitting=icechunk.ManifestSplittingConfig.from_dict(by_year))
    return config


def exists(location: str) -> bool:
    """Return whether a repository with at least one commit is at `location` (a folder, or s3://bucket/prefix).

    A process that is killed while it creates a repository leaves one without commits.

    Raises
    ------
    DamagedError
        If there is one that cannot be opened.
    """
    if not s3.is_remote(location) and not Path(location).is_dir():
        return False  # Icechunk would create the folder, and panics where it cannot
    storage = _storage(location)
    try:
        if not icechunk.Repository.exists(storage):
            if not s3.is_remote(location) and _holds_data(Path(location)):
                raise _unopenable(location, "its branch is gone, the file refs/branch.main/ref.json")
            return False
        newest = next(iter(icechunk.Repository.open(storage).ancestry(branch=BRANCH)))
    except icechunk.IcechunkError as error:
        if not is_damage(error):
            raise
        raise _unopenable(location, describe(error)) from error
    return newest.parent_id is not None


def _holds_data(folder: Path) -> bool:
    return any(folder.glob("chunks/*")) or any(folder.glob("manifests/*"))


def _unopenable(location: str, cause: str) -> DamagedError:
    config = "delete its file config.yaml, which nothing needs" if "config" in cause else ""
    remedy = config or "restore it from a backup, or move it away and make it again"
    return DamagedError(f"{location}: the store cannot be opened: {cause}; {remedy}")


def create(location: str) -> icechunk.Repository:
    """Create a repository at `location`, where none with commits may be, and return it; see `exists`.

    Hold the lock of `location`: leftovers of a creation that was killed are removed.

    Raises
    ------
    UserError
        If nothing can be written there.
    """
    try:
        if not s3.is_remote(location):
            _create_in(Path(location))
        repository = icechunk.Repository.open_or_create(_storage(location), config=_config(), **CREATE_OPTIONS)
        repository.save_config()
    except (OSError, icechunk.IcechunkError) as error:
        raise _unwritable(location, error) from None
    return repository


def _create_in(folder: Path) -> None:
    """Create a repository in a folder in which nothing is but its lock; an existing one is left as it is.

    Icechunk creates in empty folders only: it is given one inside, from which its files move up, the branch last.
    """
    _make_folder(folder)
    _remove_unfinished(folder)
    if icechunk.Repository.exists(_storage(str(folder))):
        return
    if others := {entry.name for entry in folder.iterdir()} - {lock.FILE}:
        raise FileExistsError(f"the folder holds other files, such as {min(others)}")
    inner = folder / _CREATING
    icechunk.Repository.create(_storage(str(inner)), config=_config(), **CREATE_OPTIONS)
    for entry in sorted(inner.iterdir(), key=lambda entry: entry.name == "refs"):
        entry.rename(folder / entry.name)
    inner.rmdir()


def _make_folder(path: Path) -> None:
    """Make a folder, or raise `OSError` if it can hold nothing, before Icechunk finds out and panics."""
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError("Permission denied")


def _remove_unfinished(folder: Path) -> None:
    """Remove the files of a creation that was killed before it made the branch: Icechunk creates in empty folders only.

    Nothing else is removed: no file of another kind, and no store that has lost its branch but holds data.
    """
    if icechunk.Repository.exists(_storage(str(folder))):
        return
    entries = list(folder.iterdir())
    names = {entry.name for entry in entries} - {lock.FILE}
    if _holds_data(folder) or not names <= _UNFINISHED:
        return
    for entry in (folder / name for name in names):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _unwritable(location: str, error: Exception) -> UserError:
    cause = describe(error) if isinstance(error, icechunk.IcechunkError) else str(error)
    return UserError(f"{location}: nothing can be written there ({cause}); make it writable, or name another place")


def open_existing(location: str, *, made_by: str) -> icechunk.Repository:
    """Open a repository; raises `UserError` if there is none, naming the command `made_by` which it is created."""
    if not exists(location):
        raise UserError(f"{location}: no store here; make it with `{made_by}`")
    return icechunk.Repository.open(_storage(location), config=_config())


def tip(repository: icechunk.Repository) -> str:
    """Identifier of the newest snapshot."""
    return str(repository.lookup_branch(BRANCH))


def read(repository: icechunk.Repository, *, snapshot: str | None = None) -> zarr.Group:
    """Return the root group as it was at `snapshot`, or as it is now, read-only; raises `DamagedError`."""
    session = repository.readonly_session(snapshot_id=snapshot) if snapshot else repository.readonly_session(BRANCH)
    check_seal(session, next(iter(repository.ancestry(snapshot_id=session.snapshot_id))))
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


def part(group: zarr.Group, path: str, selection: Any) -> NDArray[Any]:
    """Read a part of an array; raises `DamagedError` if a chunk of it, or the manifest, was altered or is gone.

    A manifest has no checksum: where a damaged one leads to no chunk, the part reads as empty, without an error.
    """
    found = array(group, path)
    with _naming(found):
        return np.asarray(found[selection])


@contextmanager
def _naming(found: Array) -> Iterator[None]:
    """Raise `DamagedError` with the name of an array for errors of its codecs and manifests."""
    try:
        yield
    except icechunk.IcechunkError as error:
        if not is_damage(error):
            raise
        raise DamagedError(f"array {found.path} cannot be read: {describe(error)}") from error
    except (RuntimeError, ValueError) as error:  # from the codecs: a wrong checksum, a truncated stream
        raise DamagedError(f"array {found.path} is damaged where it is stored: {error}") from error


def values(group: zarr.Group, path: str) -> NDArray[Any]:
    """Read an entire array; raises as `part`, also if its values are not those that its attribute `digest` is of."""
    found, expected = part(group, path, ...), attribute(array(group, path), DIGEST)
    if expected is not None and expected != content_digest(found):
        raise DamagedError(f"array {array(group, path).path} holds other values than were written")
    return found


def damaged_small_arrays(root: zarr.Group) -> dict[str, str]:
    """Return the arrays with a digest of their own that cannot be read or hold other values, each with the reason."""
    damaged = {}
    for path, node in root.members(max_depth=None):
        if isinstance(node, zarr.Array) and DIGEST in node.attrs:
            try:
                values(root, path)
            except DamagedError as error:
                damaged[path] = str(error)
    return damaged


def write_values(group: zarr.Group, path: str, new: NDArray[Any]) -> None:
    """Write an entire small array, such as a coordinate, and its digest, with which `values` compares."""
    found = array(group, path)
    stored = new.astype(found.dtype)
    found[...] = stored
    found.attrs[DIGEST] = content_digest(stored)


def replace(
    group: zarr.Group, path: str, selection: tuple[slice | int, ...], new: NDArray[Any], *, in_part: bool = False
) -> None:
    """Write entire shards (or chunks, of an array without shards); what they held is deleted and not read.

    To write into a shard zarr first reads it, which fails where it is missing or damaged: nothing could repair it.

    Parameters
    ----------
    group, path
        The array.
    selection
        Slices and indices, one for each dimension.
    new
        Values.
    in_part
        The values may end within a shard: the rest of it is then empty.
    """
    found = array(group, path)
    sizes = found.shards or found.chunks
    wanted = (each if isinstance(each, slice) else slice(each, each + 1) for each in selection)
    spans = [range(length)[each] for length, each in zip(found.shape, wanted, strict=True)]
    for span, size, length in zip(spans, sizes, found.shape, strict=True):
        assert span.start % size == 0, path
        assert in_part or span.stop % size == 0 or span.stop == length, path
    places = (range(span.start // size, -(-span.stop // size)) for span, size in zip(spans, sizes, strict=True))
    for place in product(*places):
        sync((found.store_path / found.metadata.encode_chunk_key(place)).delete())
    found[selection] = new


def has_intact_manifests(group: zarr.Group, path: str) -> bool:
    """Return whether all manifests of an array can be read: if one cannot, no commit can write into the array."""

    async def read_all() -> None:
        async for _ in session.chunk_coordinates(f"/{found.path}"):
            pass

    found = array(group, path)
    store: Any = found.store
    session = store.session
    try:
        sync(read_all())
    except icechunk.IcechunkError as error:
        if not is_damage(error):
            raise
        return False
    return True


def empty(group: zarr.Group, path: str) -> None:
    """Make an array anew, with the same metadata and no chunk."""
    found = array(group, path)
    key, prototype = f"{found.path}/zarr.json", default_buffer_prototype()
    document = sync(found.store.get(key, prototype))
    assert document is not None
    sync(found.store.delete_dir(found.path))
    sync(found.store.set(key, document))


def attribute(node: zarr.Group | Array, name: str) -> Any:
    """Return a copy of a JSON attribute of a group or array, or None."""
    return copy.deepcopy(node.attrs.asdict().get(name))


@contextmanager
def sole_writer(location: str) -> Iterator[Callable[[], None]]:
    """Lock the store for this process; yield a function that raises `UserError` once the lock is lost.

    In a folder, which is made, the operating system holds the lock; see `pipeline.storage.lock`. In an object store it
    is a lease, which outlasts a killed process for a while; see `pipeline.storage.lease`.

    Raises
    ------
    UserError
        If another process holds it, or nothing can be written there.
    """
    with ExitStack() as held:
        yield held.enter_context(_leased(location)) if s3.is_remote(location) else _lock(location, held)


@contextmanager
def _leased(location: str) -> Iterator[Callable[[], None]]:
    s3.check(location)
    lease = Lease(f"{location.rstrip('/')}.lock", what=location)
    try:
        yield lease.verify
    finally:
        lease.release()


def _lock(location: str, held: ExitStack) -> Callable[[], None]:
    """Lock a folder until `held` is left."""
    try:
        _make_folder(Path(location))
        return held.enter_context(lock.locked(Path(location)))
    except OSError as error:
        raise _unwritable(location, error) from None
