"""One file from an archive to the disk: resumed where it stopped, verified, and only then given its name.

A file on its way lies beside its place as `.NAME.part`, which no reader's pattern takes for a granule. Tested against
generated responses only.

References
----------
RFC 9110, HTTP Semantics, sections 10.2.3 (Retry-After), 13.1.5 (If-Range) and 14 (Range Requests).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import requests

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Checksum, Remote

APPLICATION = "NASA GESDISC DATA ARCHIVE"
STEPS = (
    "register at https://urs.earthdata.nasa.gov/users/new; there, under Applications > Authorized Apps, approve "
    f'"{APPLICATION}" (NLDAS-2); then set EARTHDATA_TOKEN (Generate Token in the profile), or EARTHDATA_USERNAME and '
    "EARTHDATA_PASSWORD, or write `machine urs.earthdata.nasa.gov login NAME password WORD` into ~/.netrc (chmod 600)"
)
TIMEOUT_S = (30, 120)  # to connect; between two bytes
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others a little later."""
CHUNK_BYTES = 1 << 14
OWN_ALGORITHM = "sha256"  # of files for which the archive gives no checksum

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How often, and after which pauses [s], a transfer is tried again."""

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 60.0
    longest_asked_s: float = 600.0

    def pause_s(self, attempt: int, asked_s: float | None) -> float:
        """Return the pause after an attempt (from 0): what the server asked for, or doubling; both up to a cap."""
        if asked_s is not None:
            return min(asked_s, self.longest_asked_s)
        # Spread, so that parallel transfers do not come back all at once.
        return float(min(self.first_s * 2**attempt, self.longest_s) * random.uniform(0.75, 1.0))


@dataclass(frozen=True)
class Verified:
    """A whole file: its size and the checksum that it was found to have."""

    size_bytes: int
    checksum: Checksum


class LoginRefusedError(UserError):
    """The archive does not accept the login: every other file would fail too."""


class StoppedError(Exception):
    """The user, or a fault that concerns all files, ended the transfer; what is there serves the next one."""


class _TransientError(Exception):
    """A fault that may pass; `asked_s` is the pause that the server asked for."""

    def __init__(self, what: str, asked_s: float | None = None) -> None:
        super().__init__(what)
        self.asked_s = asked_s


class DamagedError(_TransientError):
    """A file is not the one that the catalogue describes."""


class Downloader:
    """Transfers files over sessions that `open_session` gives, one per thread; setting `stop` ends all transfers.

    As a context manager it closes the sessions.
    """

    def __init__(self, open_session: Callable[[], requests.Session], *, patience: Patience | None = None) -> None:
        self.stop = threading.Event()
        self._open_session = open_session
        self._patience = patience or Patience()
        self._of_thread = threading.local()
        self._opened: list[requests.Session] = []

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._opened:
            session.close()

    def download(self, remote: Remote, path: Path) -> Verified:
        """Bring a file to `path`, replacing what is there once the new one is whole.

        Raises
        ------
        LoginRefusedError
            If the login is not accepted.
        UserError
            Naming the file and the fault that lasted.
        StoppedError
            If `stop` is set meanwhile.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Part(path)
        verified = self._patiently(remote, lambda: self._attempt(remote, part))
        part.finish()
        return verified

    def length_bytes(self, remote: Remote) -> int | None:
        """Return the size that the archive itself tells, without the file; raises as `download` does."""

        def ask() -> int | None:
            with self._get(remote, {}) as response:
                return _total_bytes(response)

        return self._patiently(remote, ask)

    def _patiently(self, remote: Remote, attempt: Callable[[], Result]) -> Result:
        """Try until it succeeds, a fault is final, or patience ends; a damaged file is asked for twice, not more."""
        damaged = 0
        for number in range(self._patience.attempts):
            try:
                return attempt()
            except _TransientError as error:
                fault = error
            damaged += isinstance(fault, DamagedError)
            if damaged > 1 or number + 1 == self._patience.attempts:
                break
            if self.stop.wait(self._patience.pause_s(number, fault.asked_s)):
                raise StoppedError
        raise UserError(f"{remote.name}: {fault} ({_host(remote.url)}, {number + 1} attempts); run it again later")

    def _attempt(self, remote: Remote, part: Part) -> Verified:
        with self._get(remote, part.headers(resumable=remote.checksum is not None)) as response:
            if response.status_code != 416:  # which answers for a part that lacks nothing
                self._receive(response, part)
            total = _total_bytes(response)
        if part.size_bytes > (total or part.size_bytes):
            part.discard()
            raise _TransientError("more was there than the archive has")
        if total is not None and part.size_bytes < total:
            raise _TransientError(f"the transfer ended at {part.size_bytes:,} of {total:,} bytes")
        try:
            return verify(part.path, remote)
        except DamagedError:
            part.discard()
            raise

    def _receive(self, response: requests.Response, part: Part) -> None:
        """Append the body to the part, or begin it anew where the server sends the whole."""
        chunks = response.iter_content(CHUNK_BYTES)
        first = next(chunks, b"")
        resumed = response.status_code == 206
        if resumed and _first_byte(response) != part.size_bytes:
            part.discard()
            raise _TransientError("the server sent another part than asked for")
        if not resumed:
            _refuse_page(response, first)
            part.begin(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        with part.path.open("ab") as file:
            file.write(first)
            for chunk in chunks:
                if self.stop.is_set():
                    raise StoppedError
                file.write(chunk)

    @contextmanager
    def _get(self, remote: Remote, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Give the response of an accepted request; addresses of redirects are signed, so that none is ever told."""
        if self.stop.is_set():
            raise StoppedError
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = self._open_session()
            self._opened.append(self._of_thread.session)
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            with self._of_thread.session.get(remote.url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
                _check_status(response, remote)
                yield response
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise _TransientError(f"the connection failed ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise UserError(f"{remote.name}: {type(error).__name__} at {_host(remote.url)}; look at its link") from None


class Part:
    """A file on its way to `place`, with what tells whether the archive still has the same one."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.path = place.with_name(f".{place.name}.part")
        self._tag = place.with_name(f".{place.name}.part.tag")

    @property
    def size_bytes(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self, *, resumable: bool) -> dict[str, str]:
        """Return the headers that ask for the rest; `resumable`: a checksum would tell a mixture of two versions."""
        if not self.size_bytes:
            return {}
        whole_range = {"Range": f"bytes={self.size_bytes}-"}
        if self._tag.exists():
            return {**whole_range, "If-Range": self._tag.read_text()}
        return whole_range if resumable else {}

    def begin(self, etag: str | None, modified: str | None) -> None:
        """Empty it, and keep the version that the archive sends from now on."""
        self.discard()
        # A weak tag does not promise equal bytes.
        if tag := etag if etag and not etag.startswith("W/") else modified:
            self._tag.write_text(tag)

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def finish(self) -> None:
        """Move it to its place, once it is safe on the disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self._place)
        self._tag.unlink(missing_ok=True)


def verify(path: Path, remote: Remote, *, known: Checksum | None = None) -> Verified:
    """Return size and checksum of a file that agrees with the catalogue, and with `known` where that has no checksum.

    Raises
    ------
    DamagedError
        Naming what differs.
    """
    size_bytes = path.stat().st_size
    if remote.size and not remote.size.agrees(size_bytes):
        raise DamagedError(f"it has {size_bytes:,} bytes, the catalogue says {remote.size.bytes:,}")
    wanted = remote.checksum or known
    found = checksum_of(path, wanted.algorithm if wanted else OWN_ALGORITHM)
    if wanted and found != wanted:
        raise DamagedError(f"its {found.algorithm} is {found.value[:16]}, not {wanted.value[:16]} as it was given")
    return Verified(size_bytes, found)


def checksum_of(path: Path, algorithm: str) -> Checksum:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return Checksum(algorithm, hashlib.file_digest(file, algorithm).hexdigest())


def _check_status(response: requests.Response, remote: Remote) -> None:
    status, host = response.status_code, _host(remote.url)
    if status in (401, 403):
        raise LoginRefusedError(f"{host} answers {status} for {remote.name}: it does not accept the login; {STEPS}")
    if status in TRANSIENT:
        raise _TransientError(f"HTTP {status}", _asked_s(response.headers.get("Retry-After", "")))
    if status not in (200, 206, 416):
        raise UserError(f"{remote.name}: {host} answers HTTP {status}; look whether the archive still has it")


def _refuse_page(response: requests.Response, first: bytes) -> None:
    """Raise for an HTML page: with status 200 archives send one for a login that lacks or is not approved."""
    start = first[:512].lstrip().lower()
    if "text/html" not in response.headers.get("Content-Type", "") and not start.startswith((b"<!doctype", b"<html")):
        return
    host = _host(response.url)
    if host.startswith("urs.") or b"earthdata login" in first.lower():
        raise LoginRefusedError(f"{host} sends the page of Earthdata Login instead of a file; {STEPS}")
    raise UserError(f"{host} sends an HTML page (DOCTYPE) instead of a file; look at it in a browser")


def _total_bytes(response: requests.Response) -> int | None:
    """Size of the whole file, where the response tells it."""
    if response.status_code in (206, 416):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def _first_byte(response: requests.Response) -> int | None:
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else None


def _asked_s(retry_after: str) -> float | None:
    """Pause of a `Retry-After`: seconds, or a date."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    date = email.utils.parsedate_tz(retry_after)
    if date is None:
        return None
    return max(email.utils.mktime_tz(date) - dt.datetime.now(dt.UTC).timestamp(), 0.0)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
