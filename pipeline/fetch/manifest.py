"""Manifest of an archive's folder: a file of JSON lines in it, one for each file that was transferred and verified.

A line is appended in a single write after its file has its name: a kill loses at most that line, and the file is then
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
    """A file that was verified.

    Attributes
    ----------
    path
        Path relative to the archive's folder, with forward slashes.
    url
        Link of the file, without user name and query.
    size_bytes, algorithm, checksum
        Measured size and checksum; by the archive's own algorithm where it gives a checksum.
    fetched
        Time of verification, UTC.
    """

    path: str
    url: str
    size_bytes: int
    algorithm: str
    checksum: str
    fetched: str

    @property
    def digest(self) -> Checksum:
        """Checksum of the file."""
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
        If a line is not an entry; a last line that was cut off is ignored.
    """
    path = folder / FILE_NAME
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines[:-1], start=1):
        try:
            entry = Entry(**json.loads(line)) if line else None
        except (ValueError, TypeError):
            raise UserError(
                f"{path}: line {number} is not an entry; remove the line, and its file is verified again"
            ) from None
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
    """Append an entry; the last line must be complete."""
    with (folder / FILE_NAME).open("ab", buffering=0) as file:
        file.write(json.dumps(asdict(entry)).encode() + b"\n")
