"""Bring what a region needs of NASA's archives to the disk: plan against what is there, then transfer what lacks.

Planning asks the catalogue, compares names and sizes, and changes nothing. A file is whole if the manifest says so and
its size is still the one of then, or, copied there by hand, once its checksum or size was found to be right. Tested
against generated responses only: the archives could not be reached from where this was written.
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

from pipeline.errors import UserError
from pipeline.fetch import manifest
from pipeline.fetch.catalogue import Catalogue, Listing, Refused, Remote
from pipeline.fetch.download import DamagedError, Downloader, LoginRefusedError, Part, Verified, verify
from pipeline.fetch.manifest import Entry
from pipeline.fetch.needs import Archive
from pipeline.storage import repository

Report = Callable[[str, int, int], None]

REFUSALS = 3  # in a row, after which no further file is tried: one alone may be a file that is gone


class State(Enum):
    """What is there of a file."""

    WHOLE = "there"
    UNVERIFIED = "there, to be verified"
    PARTIAL = "begun"
    CHANGED = "there with another size or checksum, to be replaced"
    MISSING = "missing"


@dataclass(frozen=True)
class Item:
    """A file of the archive, its place on the disk, and what is there."""

    remote: Remote
    path: Path
    state: State


@dataclass(frozen=True)
class FetchPlan:
    """What to bring of an archive.

    Attributes
    ----------
    items
        Files that the region needs, by name.
    other_files
        Files of the answer that it does not need.
    refused
        Links and granules of the answer that are not used, and why.
    notes
        What lacks in the archive, and names that no reader would find.
    """

    archive: Archive
    items: tuple[Item, ...]
    other_files: int
    refused: tuple[Refused, ...]
    notes: tuple[str, ...]

    def count(self, *states: State) -> int:
        """Return the number of files in some states; of all without any."""
        return sum(not states or item.state in states for item in self.items)

    def size_bytes(self, *states: State) -> int:
        """Return the bytes of files in some states, as far as the catalogue tells; of all without any."""
        chosen = (item.remote.size for item in self.items if not states or item.state in states)
        return sum(size.bytes for size in chosen if size)

    @property
    def todo(self) -> tuple[Item, ...]:
        """Files that are not known to be whole."""
        return tuple(item for item in self.items if item.state is not State.WHOLE)


@dataclass(frozen=True)
class Fetched:
    """What was done: files transferred, their bytes, files that were there and are verified now, faults by name."""

    transferred: int
    size_bytes: int
    verified: int
    failures: dict[str, str]


@dataclass(frozen=True)
class _Done:
    """A file that is whole now."""

    verified: Verified
    transferred: bool


def plan_fetch(archive: Archive, catalogue: Catalogue, *, recheck: bool = False, progress: Report) -> FetchPlan:
    """Ask the catalogue what the archive has, and compare it with the folder; changes nothing.

    Parameters
    ----------
    archive
        What the region needs.
    catalogue
        Whom to ask.
    recheck
        Verify also files that the manifest knows to be whole.
    progress
        Called after each search.

    Raises
    ------
    UserError
        If the catalogue does not answer, or the manifest is damaged.
    """
    answer = _Answer(archive)
    queries = archive.queries()
    for number, query in enumerate(queries, start=1):
        answer.add(catalogue.search(query))
        progress("search", number, len(queries))
    folder = _Folder(archive.folder, frozenset(answer.remotes), recheck=recheck)
    items = tuple(folder.compare(answer.remotes[name], archive) for name in sorted(answer.remotes))
    return FetchPlan(archive, items, len(answer.others), tuple(answer.refused), archive.notes(answer.remotes.keys()))


class _Answer:
    """What the catalogue answered so far; searches of neighbouring years overlap, so that a file may come twice."""

    def __init__(self, archive: Archive) -> None:
        self.remotes: dict[str, Remote] = {}
        self.others: set[str] = set()
        self.refused: dict[Refused, None] = {}
        self._archive = archive

    def add(self, listing: Listing) -> None:
        """Take in one answer."""
        self.refused.update(dict.fromkeys(listing.refused))
        for remote in listing.remotes:
            if not self._archive.needs(remote.name):
                self.others.add(remote.name)
                continue
            first = self.remotes.setdefault(remote.name, remote)
            if (first.size, first.checksum) != (remote.size, remote.checksum):
                self.refused[Refused(remote.name, "is listed again, with another size or checksum")] = None


class _Folder:
    """What is there below an archive's folder, by file name, at whatever depth."""

    def __init__(self, folder: Path, names: frozenset[str], *, recheck: bool) -> None:
        self._folder, self._recheck = folder, recheck
        self._entries = manifest.read(folder)
        self._there: dict[str, list[Path]] = {}
        for parent, _, files in os.walk(folder):
            for name in names.intersection(files):
                self._there.setdefault(name, []).append(Path(parent, name))

    def compare(self, remote: Remote, archive: Archive) -> Item:
        """Return the file's place, which is where one of its name lies already if any does, and what is there."""
        there = sorted(self._there.get(remote.name, ()))
        right = (path for path in there if remote.size is None or remote.size.agrees(path.stat().st_size))
        path = next(right, there[0] if there else self._folder / archive.place(remote))
        return Item(remote, path, self._state(remote, path))

    def _state(self, remote: Remote, path: Path) -> State:
        if not path.is_file():
            return State.PARTIAL if Part(path).size_bytes else State.MISSING
        size_bytes, entry = path.stat().st_size, self._entries.get(path.relative_to(self._folder).as_posix())
        if remote.size and not remote.size.agrees(size_bytes):
            return State.CHANGED
        if entry is None or entry.size_bytes != size_bytes or self._recheck:
            return State.UNVERIFIED
        if remote.checksum is None or remote.checksum == entry.digest:
            return State.WHOLE
        return State.CHANGED if remote.checksum.algorithm == entry.algorithm else State.UNVERIFIED


def fetch(plan: FetchPlan, downloader: Downloader, *, parallel: int, progress: Report) -> Fetched:
    """Transfer what is not known to be whole; a second call, after whatever end, goes on where this one stopped.

    Parameters
    ----------
    plan
        What to bring.
    downloader
        With sessions that may download.
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
    with repository.sole_writer(str(folder / "fetched")):
        _check_space(plan)
        manifest.drop_torn_line(folder)
        return _fetch_all(plan, _Worker(downloader, folder, manifest.read(folder)), parallel, progress)


def _check_space(plan: FetchPlan) -> None:
    wanted_bytes = plan.size_bytes(State.MISSING, State.PARTIAL, State.CHANGED)
    free_bytes = shutil.disk_usage(plan.archive.folder).free
    if wanted_bytes > free_bytes:
        raise UserError(
            f"{plan.archive.folder}: {wanted_bytes / 1e9:.1f} GB are to come and {free_bytes / 1e9:.1f} GB are free; "
            f"make room, or fetch fewer years (--years)"
        )


@dataclass(frozen=True)
class _Worker:
    """Brings one file; called in threads."""

    downloader: Downloader
    folder: Path
    entries: dict[str, Entry]

    def bring(self, item: Item) -> _Done:
        """Verify the file that is there, or transfer it."""
        if item.state is State.UNVERIFIED and (verified := self._verified(item)):
            return _Done(verified, transferred=False)
        return _Done(self.downloader.download(item.remote, item.path), transferred=True)

    def record(self, item: Item, verified: Verified) -> None:
        """Write the file into the manifest."""
        entry = manifest.entry_of(
            self.path_of(item), url=item.remote.url, size_bytes=verified.size_bytes, checksum=verified.checksum
        )
        manifest.append(self.folder, entry)

    def path_of(self, item: Item) -> str:
        """Return the file's place as the manifest names it."""
        return item.path.relative_to(self.folder).as_posix()

    def _verified(self, item: Item) -> Verified | None:
        """What the file that is there is found to be, or None if it is not the archive's."""
        remote, entry = item.remote, self.entries.get(self.path_of(item))
        try:
            verified = verify(item.path, remote, known=entry.digest if entry else None)
        except DamagedError:
            return None
        certain = remote.checksum or entry or (remote.size and remote.size.exact)
        if not certain and self.downloader.length_bytes(remote) != verified.size_bytes:
            return None
        return verified


def _fetch_all(plan: FetchPlan, worker: _Worker, parallel: int, progress: Report) -> Fetched:
    total, transferred, size_bytes, verified, refusals = len(plan.todo), 0, 0, 0, 0
    failures: dict[str, str] = {}
    with ThreadPoolExecutor(parallel) as pool, _stopping(worker.downloader):
        for number, (item, future) in enumerate(_as_done(pool, worker.bring, plan.todo, parallel), start=1):
            try:
                done = future.result()
            except UserError as error:
                failures[item.remote.name] = str(error)
                refusals = refusals + 1 if isinstance(error, LoginRefusedError) else 0
                if refusals == min(REFUSALS, total):
                    raise
            else:
                worker.record(item, done.verified)
                transferred, verified = transferred + done.transferred, verified + (not done.transferred)
                size_bytes, refusals = size_bytes + done.transferred * done.verified.size_bytes, 0
            progress("fetch", number, total)
    return Fetched(transferred, size_bytes, verified, failures)


@contextmanager
def _stopping(downloader: Downloader) -> Iterator[None]:
    """End the transfers under way when the block raises, as it does on Ctrl-C; the pool then waits for them."""
    try:
        yield
    except BaseException:
        downloader.stop.set()
        raise


def _as_done(
    pool: ThreadPoolExecutor, bring: Callable[[Item], _Done], items: Sequence[Item], parallel: int
) -> Iterator[tuple[Item, Future[_Done]]]:
    """Yield files as they end; no more are handed to the pool than it works on, so that an end comes soon."""
    waiting = iter(items)
    running = {pool.submit(bring, item): item for item in islice(waiting, parallel)}
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future
            running.update({pool.submit(bring, item): item for item in islice(waiting, 1)})
