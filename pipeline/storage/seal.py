"""Two checks of a commit that Icechunk does not make: of the metadata that it reads, and of the chunks that it writes.

Snapshots and manifests carry no checksum. The metadata of groups and arrays - shapes, codecs, attributes, the digests
among them - are part of a snapshot; a digest of them all, the seal, is put into the metadata of its commit. What a
manifest leads to is compared where it is read, with digests of the values.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import icechunk
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from pipeline.digests import content_digest
from pipeline.errors import DamagedError

SEAL = "seal"  # key of a commit's metadata

_DOCUMENT = "zarr.json"
_AT_ONCE = 64  # requests


def seal_of(session: icechunk.Session) -> str:
    """Return the digest of the paths and metadata of all groups and arrays of a session."""
    documents = sorted(sync(_documents(session.store)))
    return content_digest(*(each for path, document in documents for each in (path.encode(), document)))


def check_seal(session: icechunk.Session, commit: icechunk.SnapshotInfo) -> None:
    """Raise `DamagedError` if the session's snapshot has other groups, arrays or attributes than were committed.

    Commits of other programs have no seal.
    """
    if commit.metadata.get(SEAL) not in (None, seal_of(session)):
        raise DamagedError(
            f"snapshot {commit.id} holds other groups, arrays or attributes than were committed; restore the store "
            "from a backup, or move it away and make it again"
        )


async def _documents(store: icechunk.IcechunkStore) -> list[tuple[str, bytes]]:
    return [each async for each in _below(store, "")]


async def _below(store: icechunk.IcechunkStore, path: str) -> AsyncIterator[tuple[str, bytes]]:
    """Yield path and metadata of a group or array, and of all in it."""
    prefix = f"{path}/" if path else ""
    found = await store.get(f"{prefix}{_DOCUMENT}", default_buffer_prototype())
    if found is None:  # a folder of chunks
        return
    document = found.to_bytes()
    yield path, document
    if json.loads(document)["node_type"] == "group":
        async for name in store.list_dir(path):
            if name != _DOCUMENT:
                async for each in _below(store, f"{prefix}{name}"):
                    yield each


def check_chunks(session: icechunk.Session) -> None:
    """Raise `icechunk.IcechunkError` if a chunk that the session has written is no longer in the store.

    Another program that took it for garbage may have freed it; the commit would succeed nevertheless.
    """
    keys = [
        "/".join([path.strip("/"), "c", *map(str, place)])
        for path, places in session.status().updated_chunks.items()
        for place in places
    ]
    for first in range(0, len(keys), _AT_ONCE):
        sync(_first_bytes(session.store, keys[first : first + _AT_ONCE]))


async def _first_bytes(store: icechunk.IcechunkStore, keys: list[str]) -> None:
    prototype, first = default_buffer_prototype(), RangeByteRequest(0, 1)
    await asyncio.gather(*(store.get(key, prototype, first) for key in keys))
