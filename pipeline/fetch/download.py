"""One file from an archive to the disk: transferred by earthaccess, verified, and only then given its name.

earthaccess transfers a file under a temporary name and tries three times. It does not compare the file with the
catalogue, and takes a login page that is sent with status 200 for the file: both are checked here, before the file
appears where a reader looks. A transfer that was interrupted starts again from its first byte. Tested against generated
responses only.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from earthaccess import Store
from earthaccess.exceptions import DownloadFailure, EulaNotAccepted

from pipeline.errors import UserError
from pipeline.fetch.catalogue import Checksum, Remote
from pipeline.fetch.earthdata import STEPS, TRANSIENT

OWN_ALGORITHM = "sha256"  # for files without a checksum in the catalogue
TRANSFERS = 2  # of a file that arrives damaged: damage on the way is rare, damage in the archive stays

_STATUS = re.compile(r"Status code: (\d{3})")  # earthaccess 0.17 gives the status in the message only


@dataclass(frozen=True)
class Verified:
    """Size and checksum of a complete file, as measured."""

    size_bytes: int
    checksum: Checksum


class LoginRefusedError(UserError):
    """The archive does not accept the login: every other file would fail too."""


class DamagedError(Exception):
    """A file is not the one that the catalogue describes."""


def download(remote: Remote, path: Path, *, store: Store, staging: Path) -> Verified:
    """Transfer a file to `path`, replacing the one that is there once the new one is verified.

    Parameters
    ----------
    remote
        The file as the catalogue describes it.
    path
        Its place.
    store
        A store of earthaccess with a login; threads may share it.
    staging
        A folder on the same file system, for files that are not verified yet.

    Raises
    ------
    LoginRefusedError
        If the login is not accepted.
    UserError
        Naming the file and the fault.
    """
    for _ in range(TRANSFERS):
        arrived = _transfer(remote, store=store, staging=staging)
        try:
            verified = verify(arrived, remote)
        except DamagedError as error:
            arrived.unlink()
            fault = str(error)
        else:
            _move(arrived, path)
            return verified
    raise UserError(
        f"{remote.name}: {fault} ({_host(remote)}, {TRANSFERS} transfers); repeat the command later, and report it to "
        f"the archive if it stays so"
    )


def length_bytes(remote: Remote, *, store: Store) -> int | None:
    """Return the size of a file as the archive itself gives it, None if it does not; the file is not transferred."""
    identity = {"Accept-Encoding": "identity"}  # else the length may be that of a compressed body
    try:
        # Not HEAD: links that the archive signs for a redirect are often valid for GET alone.
        with store.auth.get_session() as session, session.get(remote.url, headers=identity, stream=True) as response:
            length = response.headers.get("Content-Length", "")
            return int(length) if response.ok and length.isdecimal() else None
    except requests.RequestException:
        return None  # the transfer that follows reports the fault


def verify(path: Path, remote: Remote, *, known: Checksum | None = None) -> Verified:
    """Return size and checksum of a file that agrees with the catalogue, and with `known` where that has no checksum.

    Raises
    ------
    DamagedError
        Naming the difference.
    """
    size_bytes = path.stat().st_size
    if remote.size and not remote.size.agrees(size_bytes):
        raise DamagedError(f"it has {size_bytes:,} bytes, but {remote.size.bytes:,} in the catalogue")
    expected = remote.checksum or known
    found = checksum_of(path, expected.algorithm if expected else OWN_ALGORITHM)
    if expected and found != expected:
        raise DamagedError(f"its {found.algorithm} is {found.value[:16]}, but {expected.value[:16]} is expected")
    return Verified(size_bytes, found)


def checksum_of(path: Path, algorithm: str) -> Checksum:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return Checksum(algorithm, hashlib.file_digest(file, algorithm).hexdigest())


def _transfer(remote: Remote, *, store: Store, staging: Path) -> Path:
    """Transfer a file into `staging` and return its path there.

    Messages of requests and earthaccess are not passed on: they may hold the signed address of a redirect.
    """
    try:
        # earthaccess names a file after the last part of its link. A fragment is not sent to the server; this one gives
        # the file a name that no pattern of a reader, such as NLDAS_FORA0125_H*.nc*, matches until it is verified.
        link = f"{remote.url}#/.{remote.name}.unverified"
        # One file a call: of several, earthaccess reports none before the last has ended.
        (arrived,) = store.get([link], staging, threads=1, show_progress=False, force=True)
    except EulaNotAccepted:
        raise LoginRefusedError(f"{_host(remote)} asks to accept its terms of use for {remote.name}; {STEPS}") from None
    except DownloadFailure as error:
        raise _refusal(remote, _STATUS.search(str(error))) from None
    except requests.RequestException as error:
        raise UserError(
            f"{remote.name}: the connection to {_host(remote)} failed ({type(error).__name__}); repeat the command "
            f"later"
        ) from None
    except OSError as error:
        raise UserError(f"{remote.name}: cannot be written below {staging.parent} ({error.strerror})") from None
    _refuse_page(arrived, remote)
    return Path(arrived)


def _refusal(remote: Remote, status: re.Match[str] | None) -> UserError:
    """Error for an answer that is no file."""
    code, host = int(status[1]) if status else 0, _host(remote)
    if code in (401, 403):
        return LoginRefusedError(f"{host} answers HTTP {code} for {remote.name}: it does not accept the login; {STEPS}")
    if code in TRANSIENT:
        return UserError(
            f"{remote.name}: {host} still answers HTTP {code} after several tries; repeat the command later"
        )
    return UserError(f"{remote.name}: {host} answers HTTP {code}; check whether the archive still has the file")


def _refuse_page(arrived: Path, remote: Remote) -> None:
    """Remove an HTML page and raise: archives send one with status 200 if the login is missing or not approved."""
    with arrived.open("rb") as file:
        start = file.read(1 << 14).lstrip().lower()
    if not start.startswith((b"<!doctype", b"<html")):
        return
    arrived.unlink()
    if b"earthdata login" in start:
        raise LoginRefusedError(f"{_host(remote)} sends the page of Earthdata Login instead of {remote.name}; {STEPS}")
    raise UserError(
        f"{remote.name}: {_host(remote)} sends an HTML page instead of the file; open its link in a browser"
    )


def _move(arrived: Path, path: Path) -> None:
    """Give a file its name once its bytes are safe on the disk: after a power cut it is complete or absent."""
    with arrived.open("rb") as file:
        os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    arrived.replace(path)


def _host(remote: Remote) -> str:
    return urlsplit(remote.url).hostname or remote.url
