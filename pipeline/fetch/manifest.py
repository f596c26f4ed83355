"""What was fetched into an archive's folder: a file of JSON lines beside it, one per file that arrived whole.

A line is added after its file got its name, in a single write: a kill loses at most that line, and the file is then
verified again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Checksum

FILE_NAME = "fetched.jsonl"


@dataclass(frozen=True)
class Entry:
    """A file that arrived whole.

    Attributes
    ----------
    path
        Place below the archive's folder, with forward slashes.
    url
        Where it came from, without user name and query.
    size_bytes, algorithm, checksum
        What it was verified to have; the archive's own checksum where that gives one.
    fetched
        When, UTC.
    """

    path: str
    url: str
    size_bytes: int
    algorithm: str
    checksum: str
    fetched: str

    @property
    def digest(self) -> Checksum:
        """Its checksum."""
        return Checksum(self.algorithm, self.checksum)


def entry_of(path: str, *, url: str, size_bytes: int, checksum: Checksum) -> Entry:
    """Return the entry of a file verified now."""
    parts = urlsplit(url)
    bare = urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    return Entry(path, bare, size_bytes, checksum.algorithm, checksum.value, now)


def read(folder: Path) -> dict[str, Entry]:
    """Return the entries of an archive's folder by path; a later line replaces an earlier one.

    Raises
    ------
    UserError
        If a line is not an entry; a last line that was cut off is none yet.
    """
    path = folder / FILE_NAME
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = Entry(**json.loads(line)) if line else None
        except (ValueError, TypeError):
            raise UserError(f"{path}: line {number} is no entry; remove it, its file is then verified again") from None
        if entry:
            entries[entry.path] = entry
    return entries


def drop_torn_line(folder: Path) -> None:
    """Remove a last line that was cut off."""
    path = folder / FILE_NAME
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)


def append(folder: Path, entry: Entry) -> None:
    """Add an entry after whole lines."""
    with (folder / FILE_NAME).open("ab", buffering=0) as file:
        file.write(json.dumps(asdict(entry)).encode() + b"\n")
