"""The history of a store: its commits and their changes, its releases (tags), and names for its states.

A release is a tag of Icechunk: it never moves, and the state that it names is never collected. It names a commit of its
own beside the history, with the same arrays as the released state, and with the release's name, time and message as
attribute `release`, so that a copy of the store records which release it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import icechunk
import zarr

from pipeline.errors import UserError
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer
from pipeline.storage.retry import is_absent
from regions import did_you_mean

RELEASE, ROLLBACK = "release", "rollback"  # attributes of the root, and keys of metadata
_SHORT, _ID = 8, 20  # characters of a snapshot: shown, and in total
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LEAST_PREFIX = 4


def short(snapshot: str) -> str:
    """Return the first characters of a snapshot, enough to distinguish it from others."""
    return snapshot[:_SHORT]


@dataclass(frozen=True)
class Commit:
    """A state of the store and how it came about.

    Attributes
    ----------
    metadata
        Record of the program that made it, as JSON values.
    changed
        Chunks written by group (`daily/2012`, `annual`); 0 where only arrays were created or removed.
    releases
        Names of the releases of this state.
    """

    snapshot: str
    parent: str | None
    written_at: datetime
    message: str
    metadata: Mapping[str, Any]
    changed: Mapping[str, int]
    releases: tuple[str, ...]

    @property
    def dropped(self) -> str | None:
        """The newest state before a rollback, for a commit that is one; else None."""
        return self.metadata.get(ROLLBACK)


@dataclass(frozen=True)
class Release:
    """A tag: its name, its snapshot, the state `of` which that is a copy, time and message."""

    name: str
    snapshot: str
    of: str
    written_at: datetime
    message: str


def commits(repository: icechunk.Repository, *, limit: int | None = None) -> tuple[Commit, ...]:
    """Return the newest commits of the store, newest first, without the empty one that every store begins with."""
    tags: dict[str, list[str]] = {}
    for release in releases(repository):
        for snapshot in {release.snapshot, release.of}:
            tags.setdefault(snapshot, []).append(release.name)
    made = (info for info in repository.ancestry(branch=store.BRANCH) if info.parent_id)
    return tuple(
        Commit(
            snapshot=info.id,
            parent=info.parent_id,
            written_at=info.written_at,
            message=info.message,
            metadata=info.metadata,
            changed=changed_groups(repository, info),
            releases=tuple(tags.get(info.id, ())),
        )
        for info in islice(made, limit)
    )


def changed_groups(repository: icechunk.Repository, info: icechunk.SnapshotInfo) -> dict[str, int]:
    """Return the chunks that a commit wrote, by group; 0 for a group of which only the structure changed."""
    assert info.parent_id is not None
    diff = repository.diff(from_snapshot_id=info.parent_id, to_snapshot_id=info.id)
    count: Counter[str] = Counter()
    for group in (*diff.new_groups, *diff.updated_groups, *diff.deleted_groups):
        count[group.strip("/")] += 0
    for array in (*diff.new_arrays, *diff.updated_arrays, *diff.deleted_arrays):
        count[_group_of(array)] += 0
    for array, chunks in diff.updated_chunks.items():
        count[_group_of(array)] += len(chunks)
    return {group or "root": number for group, number in sorted(count.items())}


def _group_of(array: str) -> str:
    return array.strip("/").rpartition("/")[0]


def releases(repository: icechunk.Repository) -> tuple[Release, ...]:
    """Return the releases, oldest first. A tag made by another program is a release of the state that it names."""

    def of_tag(name: str) -> Release:
        snapshot = repository.lookup_tag(name)
        info = repository.lookup_snapshot(snapshot)
        made: Mapping[str, str] = info.metadata.get(RELEASE) or {}
        return Release(name, snapshot, made.get("of", snapshot), info.written_at, made.get("message", ""))

    return tuple(sorted(map(of_tag, repository.list_tags()), key=lambda release: (release.written_at, release.name)))


def resolve(repository: icechunk.Repository, name: str) -> str:
    """Return the snapshot of a release, or the one that a name is or begins.

    States that a rollback dropped are found too, until they are collected.

    Raises
    ------
    UserError
        If there is none, or more than one.
    """
    if name in repository.list_tags():
        return repository.lookup_tag(name)
    wanted = name.upper()
    found = {info.id for info in known_states(repository) if len(name) >= _LEAST_PREFIX and info.id.startswith(wanted)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise UserError(
            f"{name}: {len(found)} snapshots begin with it ({', '.join(sorted(found))}); give more characters"
        )
    near = did_you_mean(name, repository.list_tags())
    raise UserError(
        f"{name}: no release and no snapshot of this store has that name; `agcarbon history` lists them{near}"
    )


def released_state(repository: icechunk.Repository, snapshot: str) -> str:
    """Return the state of which a snapshot is a release; a snapshot that is none is the state itself."""
    return next((release.of for release in releases(repository) if release.snapshot == snapshot), snapshot)


def known_states(repository: icechunk.Repository) -> Iterator[icechunk.SnapshotInfo]:
    """Yield the states of the history, of releases, and those dropped by rollbacks, without the empty one."""
    seen: set[str] = set()
    ends = [store.tip(repository), *map(repository.lookup_tag, repository.list_tags())]
    while ends:
        for info in _ancestry(repository, ends.pop()):
            if info.id in seen:
                break
            seen.add(info.id)
            if dropped := info.metadata.get(ROLLBACK):
                ends.append(dropped)
            if info.parent_id:
                yield info


def _ancestry(repository: icechunk.Repository, snapshot: str) -> Iterator[icechunk.SnapshotInfo]:
    """Yield a state and its ancestors; nothing if it was collected."""
    try:
        yield from repository.ancestry(snapshot_id=snapshot)
    except icechunk.IcechunkError as error:
        if not is_absent(error):
            raise


def check_name(name: str) -> None:
    """Raise `UserError` unless this can name a release: a file name on every system, and unlike a snapshot."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"release {name!r}: a name has 1 to 64 letters, digits, dots, dashes or underscores, and begins with a "
            "letter or digit"
        )
    if len(name) == _ID and name.isalnum() and name.isupper():
        raise UserError(f"release {name!r}: this looks like a snapshot; give another name")


def make_release(committer: Committer, name: str, *, at: str | None = None, message: str = "") -> Release:
    """Make a release of a state of the store, of the newest if `at` names none, and return it.

    Raises
    ------
    UserError
        If the name is invalid, taken, or that of a deleted release, or if there is no such state.
    """
    check_name(name)
    repository = committer.repository
    of = committer.carry_out(lambda: _state_to_release(repository, name, at))
    made = {"name": name, "of": of, "message": message, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    text = f"release {name}: {message}" if message else f"release {name}"
    snapshot = commit_attributes(committer, of, text, {RELEASE: made, ROLLBACK: None})
    written_at = committer.carry_out(lambda: repository.lookup_snapshot(snapshot).written_at)
    # The last step, so that a refusal before it leaves no release.
    committer.create_tag(name, snapshot)
    return Release(name, snapshot, of, written_at, message)


def _state_to_release(repository: icechunk.Repository, name: str, at: str | None) -> str:
    if name in repository.list_tags():
        raise UserError(f"release {name} exists, and releases never change; give another name")
    return resolve(repository, at) if at else store.tip(repository)


def delete_release(committer: Committer, name: str) -> None:
    """Delete a release, whose name can then never be used again; raises `UserError` if there is none."""
    existing = committer.carry_out(committer.repository.list_tags)
    if name not in existing:
        near = did_you_mean(name, existing)
        raise UserError(
            f"release {name} does not exist; existing releases: {', '.join(sorted(existing)) or 'none'}{near}"
        )
    committer.delete_tag(name)


def commit_attributes(committer: Committer, parent: str, message: str, attributes: Mapping[str, Any]) -> str:
    """Return a new state that equals `parent` but for attributes of its root (None removes one), on no branch.

    The attributes are the commit's metadata too.
    """

    def write(root: zarr.Group) -> None:
        kept = {name: value for name, value in root.attrs.asdict().items() if name not in attributes}
        root.attrs.put(kept | {name: value for name, value in attributes.items() if value is not None})

    return committer.commit_beside(parent, message, write, **attributes)
