"""Transfer the files of NASA's archives that a region needs and that are not on the disk: plan, then fetch.

Planning asks the catalogue, compares names and sizes with the folder, and changes nothing. A file counts as complete if
the manifest lists it and its size is unchanged since, or, if it was copied there by hand, once its checksum or size has
been compared with the archive's. Tested against generated responses only: no archive could be reached from where this
was written.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path

from earthaccess import Store

from pipeline.errors import UserError
from pipeline.fetch import manifest
from pipeline.fetch.catalogue import Listing, Refused, Remote
from pipeline.fetch.download import DamagedError, LoginRefusedError, Verified, download, length_bytes, verify
from pipeline.fetch.earthdata import EarthdataCatalogue
from pipeline.fetch.manifest import Entry
from pipeline.fetch.needs import Archive
from pipeline.progress import Progress
from pipeline.storage import repository

REFUSALS = 3  # in a row, after which no further file is tried: a single one may concern a file that was removed
STAGING = ".fetching"  # folder of files that are not verified yet, in that of the archive


class State(Enum):
    """State of a file on the disk; the values are labels for people."""

    COMPLETE = "present"
    UNVERIFIED = "present, to be verified"
    CHANGED = "present with another size or checksum, to be replaced"
    MISSING = "missing, to be fetched"


@dataclass(frozen=True)
class Item:
    """A file of the archive, its place on the disk, and its state there."""

    remote: Remote
    path: Path
    state: State


@dataclass(frozen=True)
class FetchPlan:
    """Files of an archive that a region needs, and their states on the disk.

    Attributes
    ----------
    items
        The files, by name.
    other_files
        Number of other files in the catalogue's answers.
    refused
        Links and granules of the answers that are not used, with reasons.
    notes
        Sentences on files that the archive does not have, and on names that no reader would find.
    """

    archive: Archive
    items: tuple[Item, ...]
    other_files: int
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]

    def count(self, *states: State) -> int:
        """Return the number of files in these states; of all files if none is given."""
        return sum(not states or item.state in states for item in self.items)

    def size_bytes(self, *states: State) -> int:
        """Return the size of files in these states (of all if none is given), without those of unknown size."""
        chosen = (item.remote.size for item in self.items if not states or item.state in states)
        return sum(size.bytes for size in chosen if size)

    @property
    def todo(self) -> tuple[Item, ...]:
        """Files that are not known to be complete."""
        return tuple(item for item in self.items if item.state is not State.COMPLETE)


@dataclass(frozen=True)
class Fetched:
    """Result of a fetch: files transferred, their bytes, files present and now verified, and error messages by name."""

    transferred: int
    size_bytes: int
    verified: int
    failures: dict[str, str]


@dataclass(frozen=True)
class _Done:
    """A file that is complete now."""

    verified: Verified
    transferred: bool


def plan_fetch(
    archive: Archive, catalogue: EarthdataCatalogue, *, recheck: bool = False, progress: Progress
) -> FetchPlan:
    """Return the files that an archive has for a region, each compared with the folder; changes nothing.

    Parameters
    ----------
    archive
        The region's needs.
    catalogue
        Catalogue to search.
    recheck
        Verify also files that are complete by the manifest.
    progress
        Called before the first and after each search.

    Raises
    ------
    UserError
        If the catalogue does not answer, or the manifest is damaged.
    """
    answer = _Answer(archive)
    queries = archive.queries()
    progress("search", 0, len(queries))  # the first answer may take long
    for number, query in enumerate(queries, start=1):
        answer.add(catalogue.search(query))
        progress("search", number, len(queries))
    folder = _Folder(archive.folder, frozenset(answer.remotes), recheck=recheck)
    items = tuple(folder.compare(answer.remotes[name], archive) for name in sorted(answer.remotes))
    return FetchPlan(archive, items, len(answer.others), tuple(answer.refused), archive.notes(answer.remotes.keys()))


class _Answer:
    """The catalogue's answers so far; searches of neighbouring years overlap, so that a file may be listed twice."""

    def __init__(self, archive: Archive) -> None:
        self.remotes: dict[str, Remote] = {}
        self.others: set[str] = set()
        self.refused: dict[Refused, None] = {}
        self._archive = archive

    def add(self, listing: Listing) -> None:
        """Add one answer."""
        self.refused.update(dict.fromkeys(listing.refused))
        for remote in listing.remotes:
            if not self._archive.needs(remote.name):
                self.others.add(remote.name)
                continue
            # The first listing counts; an equal second one comes from the overlap of two searches.
            first = self.remotes.setdefault(remote.name, remote)
            if (first.size, first.checksum) != (remote.size, remote.checksum):
                self.refused[Refused(remote.name, "is listed twice, with different sizes or checksums")] = None


class _Folder:
    """Files below an archive's folder, by name and at any depth: users keep downloads in folders of their own."""

    def __init__(self, folder: Path, names: frozenset[str], *, recheck: bool) -> None:
        self._folder, self._recheck = folder, recheck
        self._entries = manifest.read(folder)
        self._present: dict[str, list[Path]] = {}
        for parent, _, files in os.walk(folder):
            for name in names.intersection(files):
                self._present.setdefault(name, []).append(Path(parent, name))

    def compare(self, remote: Remote, archive: Archive) -> Item:
        """Return the file with its state and its place: that of a present file of the name, else the archive's own."""
        present = sorted(self._present.get(remote.name, ()))
        fitting = (path for path in present if remote.size is None or remote.size.agrees(path.stat().st_size))
        # A wrong file is replaced where it lies: beside a second one of its name, readers would find both.
        path = next(fitting, present[0] if present else self._folder / archive.place(remote))
        return Item(remote, path, self._state(remote, path))

    def _state(self, remote: Remote, path: Path) -> State:
        if not path.is_file():
            return State.MISSING
        # By size, which costs nothing: planning reads no file. Checksums are compared by `fetch`.
        size_bytes, entry = path.stat().st_size, self._entries.get(path.relative_to(self._folder).as_posix())
        if remote.size and not remote.size.agrees(size_bytes):
            return State.CHANGED
        if entry is None or entry.size_bytes != size_bytes or self._recheck:
            return State.UNVERIFIED
        if remote.checksum is None or remote.checksum == entry.digest:
            return State.COMPLETE
        # Checksums of different algorithms cannot be compared: the file has to be read again.
        return State.CHANGED if remote.checksum.algorithm == entry.algorithm else State.UNVERIFIED


def fetch(plan: FetchPlan, store: Store, *, parallel: int, progress: Progress) -> Fetched:
    """Transfer and verify the files that are not known to be complete; a second call continues where this one ended.

    Parameters
    ----------
    plan
        Files to fetch.
    store
        A store of earthaccess with a login.
    parallel
        Files at a time.
    progress
        Called after each file.

    Raises
    ------
    LoginRefusedError
        If the archive does not accept the login.
    UserError
        If the disk is too small, or another process fetches into the folder. Faults of single files are returned.
    """
    folder = plan.archive.folder
    folder.mkdir(parents=True, exist_ok=True)
    # Two processes would empty each other's staging folder and mix lines of the manifest.
    with repository.sole_writer(str(folder)), _staging(folder) as staging:
        _check_space(plan)
        manifest.drop_torn_line(folder)
        return _fetch_all(plan, _Worker(store, folder, staging, manifest.read(folder)), parallel, progress)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Give an empty folder for files that are not verified yet; a killed process leaves its own with partial files."""
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_space(plan: FetchPlan) -> None:
    # Files to be verified are present already, and usually right.
    needed_bytes = plan.size_bytes(State.MISSING, State.CHANGED)
    free_bytes = shutil.disk_usage(plan.archive.folder).free
    if needed_bytes > free_bytes:
        raise UserError(
            f"{plan.archive.folder}: {needed_bytes / 1e9:.1f} GB are to be fetched, but only {free_bytes / 1e9:.1f} GB "
            f"are free; free some space, or fetch fewer years (--years)"
        )


@dataclass(frozen=True)
class _Worker:
    """Completes one file; called in threads."""

    store: Store
    folder: Path
    staging: Path
    entries: dict[str, Entry]

    def complete(self, item: Item) -> _Done:
        """Verify the file that is present, or transfer it."""
        if item.state is State.UNVERIFIED and (verified := self._verified(item)):
            return _Done(verified, transferred=False)
        return _Done(download(item.remote, item.path, store=self.store, staging=self.staging), transferred=True)

    def record(self, item: Item, verified: Verified) -> None:
        """Add the file to the manifest."""
        entry = manifest.entry_of(
            self.path_of(item), url=item.remote.url, size_bytes=verified.size_bytes, checksum=verified.checksum
        )
        manifest.append(self.folder, entry)

    def path_of(self, item: Item) -> str:
        """Return the file's path in the manifest."""
        return item.path.relative_to(self.folder).as_posix()

    def _verified(self, item: Item) -> Verified | None:
        """Size and checksum of the file that is present, or None if it is not the archive's."""
        remote, entry = item.remote, self.entries.get(self.path_of(item))
        try:
            verified = verify(item.path, remote, known=entry.digest if entry else None)
        except DamagedError:
            return None
        # A rounded size without a checksum proves too little: a file that was cut short by 10 % would pass.
        certain = remote.checksum or entry or (remote.size and remote.size.exact)
        if not certain and length_bytes(remote, store=self.store) != verified.size_bytes:
            return None
        return verified


def _fetch_all(plan: FetchPlan, worker: _Worker, parallel: int, progress: Progress) -> Fetched:
    done: list[_Done] = []
    failures: dict[str, str] = {}
    todo, refusals = plan.todo, 0
    # Leaving the block waits for the transfers under way, also after Ctrl-C; no others are started then.
    with ThreadPoolExecutor(parallel) as pool:
        for number, (item, future) in enumerate(_as_done(pool, worker.complete, todo, parallel), start=1):
            try:
                done.append(future.result())
            except UserError as error:
                failures[item.remote.name] = str(error)
                refusals = refusals + 1 if isinstance(error, LoginRefusedError) else 0
                if refusals == min(REFUSALS, len(todo)):
                    raise
            else:
                # By this thread alone, after the file has its name: a kill in between costs one verification.
                worker.record(item, done[-1].verified)
                refusals = 0
            progress("fetch", number, len(todo), len(failures))
    sizes_bytes = [one.verified.size_bytes for one in done if one.transferred]
    return Fetched(len(sizes_bytes), sum(sizes_bytes), len(done) - len(sizes_bytes), failures)


def _as_done(
    pool: ThreadPoolExecutor, complete: Callable[[Item], _Done], items: Sequence[Item], parallel: int
) -> Iterator[tuple[Item, Future[_Done]]]:
    """Yield files as they end; the pool never holds more of them than it works on, so that it can end soon."""
    waiting = iter(items)
    running = {pool.submit(complete, item): item for item in islice(waiting, parallel)}
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future
            running.update({pool.submit(complete, item): item for item in islice(waiting, 1)})
