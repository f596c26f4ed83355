"""Freeing data that no state of a store holds: of interrupted runs, of states rolled back, of expired history.

Nothing of the newest state is touched, and nothing of a release. Data that workers have written and the coordinator has
not committed yet look like garbage, and a commit would succeed without them: hence the lock of the store, which every
writer holds as long as it may still commit. Where a lock can fail, age protects them as well: data younger than an hour
are spared, in an object store, whose lease a process that was cut off may outlive unknowingly, those of a day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import icechunk

from pipeline.errors import UserError
from pipeline.storage import repository as store
from pipeline.storage import s3 as objects
from pipeline.storage.commit import Committer
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy

# A run may still read the state that it pinned, which was the newest one within this time.
READING = timedelta(days=1)
SPARED = timedelta(hours=1)
_LEASED = timedelta(days=1)


@dataclass(frozen=True)
class Retention:
    """History to keep.

    Attributes
    ----------
    since
        States written before this are expired, except releases and the newest; None keeps all.
    reading
        States that were the newest one within this time are kept.
    spared
        Data younger than this are not freed; in an object store, younger than a day at least.
    """

    since: datetime | None = None
    reading: timedelta = READING
    spared: timedelta = SPARED

    def age(self, location: str) -> timedelta:
        """Age from which data in a store are freed."""
        return max(self.spared, _LEASED) if objects.is_remote(location) else self.spared


@dataclass(frozen=True)
class Freed:
    """Numbers of states expired and of objects freed, or to be freed, and their size [bytes]."""

    expired: int
    chunks: int
    objects: int  # chunks among them
    size_bytes: int


def collect_stores(
    stores: Mapping[str, str],
    names: Sequence[str],
    *,
    retention: Retention,
    dry_run: bool,
    policy: RetryPolicy = BY_DEFAULT,
) -> dict[str, Freed]:
    """Free the garbage of the named stores, or report how much would be freed; by location.

    Parameters
    ----------
    stores
        Locations by name, `cube` and `inputs`: all are locked, since a run holds the one and reads the other.
    names
        Names of the stores to collect.
    retention
        History to keep.
    dry_run
        Free nothing.
    policy
        Retries of transient errors.

    Raises
    ------
    UserError
        If a run or an ingest writes either store, or none of those named exists.
    """
    existing = {name: location for name, location in stores.items() if store.exists(location)}
    chosen = [existing[name] for name in names if name in existing]
    if not chosen:
        raise UserError(f"{', '.join(stores[name] for name in names)}: no store here, nothing to free")
    with ExitStack() as held:
        checks = [held.enter_context(store.sole_writer(location)) for location in existing.values()]

        def still_held() -> None:
            for check in checks:
                check()

        freed = {}
        for location in chosen:
            repository = store.open_existing(location, made_by="agcarbon")
            committer = Committer(repository, location, policy, still_held)
            freed[location] = collect(committer, retention=retention, dry_run=dry_run)
        return freed


def collect(committer: Committer, *, retention: Retention, dry_run: bool = False) -> Freed:
    """Free the data that no state of the store holds, or report how much would be freed.

    A dry run counts objects and bytes that are garbage already: what only the states to be expired hold is known once
    they are expired.
    """
    repository = committer.repository
    threshold = committer.carry_out(lambda: expiry(repository, retention))
    expired = committer.carry_out(lambda: expirable(repository, threshold)) if threshold else set()
    if not dry_run:
        committer.drop_beside()
        if threshold and expired:
            committer.carry_out(lambda: repository.expire_snapshots(threshold))
    age = retention.age(committer.place)
    found = committer.carry_out(lambda: repository.garbage_collect(datetime.now(UTC) - age, dry_run=dry_run))
    others = found.manifests_deleted + found.snapshots_deleted
    others += found.transaction_logs_deleted + found.attributes_deleted
    return Freed(len(expired), found.chunks_deleted, found.chunks_deleted + others, found.bytes_deleted)


def expiry(repository: icechunk.Repository, retention: Retention) -> datetime | None:
    """Return the time before which states expire: the requested one, or earlier if a reader may need them."""
    if not retention.since:
        return None
    then = datetime.now(UTC) - retention.reading
    newest_then = next((i.written_at for i in repository.ancestry(branch=store.BRANCH) if i.written_at <= then), then)
    return min(retention.since, newest_then)


def expirable(repository: icechunk.Repository, threshold: datetime) -> set[str]:
    """Return the snapshots older than the threshold, except releases, the newest and the empty one."""
    tags = list(repository.list_tags())
    ends = {store.tip(repository), *map(repository.lookup_tag, tags)}
    reached = [*repository.ancestry(branch=store.BRANCH), *(i for tag in tags for i in repository.ancestry(tag=tag))]
    return {i.id for i in reached if i.parent_id and i.written_at < threshold and i.id not in ends}
