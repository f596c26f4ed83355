"""Files for people and other programs, in a folder or in a bucket: each appears complete or not at all."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from pipeline.storage import lock, s3
from pipeline.storage.lease import HeldError, Lease

_WAIT_SECONDS, _MOST_WAITS = 1.0, 600

_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".json": "application/json",
    ".csv": "text/csv",
    ".nc": "application/netcdf",
    ".png": "image/png",
    ".qml": "application/xml",
    ".xml": "application/xml",
    ".vrt": "application/xml",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
}


def join(location: str, *parts: str) -> str:
    """Return the location of a file below a location."""
    return "/".join((location.rstrip("/"), *parts))


def name_of(location: str) -> str:
    """Return the last part of a location."""
    return location.rstrip("/").rpartition("/")[2]


def parent(location: str) -> str:
    """Return the folder or prefix that a location lies in."""
    return location.rstrip("/").rpartition("/")[0] or "."


@contextmanager
def writing(location: str) -> Iterator[Path]:
    """Yield a path to write a file at, and move it to `location` when the block ends; if it raises, nothing is there.

    Raises
    ------
    UserError
        If `location` is in a bucket that refuses the file.
    """
    with scratch(location) as folder:
        draft = folder / name_of(location)
        yield draft
        if s3.is_remote(location):
            s3.upload(str(draft), location, media_type=_MEDIA_TYPES.get(draft.suffix))
        else:
            draft.replace(location)


@contextmanager
def scratch(location: str) -> Iterator[Path]:
    """Yield an empty folder for drafts of a file: beside it, or among the temporary files if it goes into a bucket.

    It belongs to this block alone, and is removed when the block ends. A killed process leaves it, for the next one
    with the same `location` to remove.
    """
    if s3.is_remote(location):
        with TemporaryDirectory(prefix="agcarbon-") as folder:
            yield Path(folder)
        return
    final = Path(location)
    with lock.own_folder(final.parent, final.name) as beside:
        yield beside


@contextmanager
def in_turn(location: str) -> Iterator[None]:
    """Wait until no other process is in this block with the same folder or prefix."""
    if not s3.is_remote(location):
        with lock.in_turn(Path(location)):
            yield
        return
    lease = _awaited(f"{location.rstrip('/')}/{lock.FILE}", what=location)
    try:
        yield
    finally:
        lease.release()


def _awaited(location: str, *, what: str) -> Lease:
    """Return a lease once its holder gives it back; after `_MOST_WAITS` raise the `UserError` that names the holder."""
    for _ in range(_MOST_WAITS):
        with suppress(HeldError):
            return Lease(location, what=what)
        time.sleep(_WAIT_SECONDS)
    return Lease(location, what=what)


def read(location: str) -> bytes | None:
    """Return a file's content, or None if there is none."""
    if s3.is_remote(location):
        found = s3.get(location)
        return found.content if found else None
    path = Path(location)
    return path.read_bytes() if path.exists() else None


def remove(location: str) -> None:
    """Remove a file, if there is one."""
    if s3.is_remote(location):
        s3.delete(location)
    else:
        Path(location).unlink(missing_ok=True)


def write(location: str, content: bytes) -> None:
    """Write a file of this content; it appears complete or not at all."""
    if s3.is_remote(location):
        s3.put(location, content)
        return
    final = Path(location)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Stat:
    """Size of a file [bytes], and in a bucket the tag that identifies its content."""

    size: int
    tag: str | None = None


def stat(location: str) -> Stat:
    """Return size and tag of a file."""
    return Stat(*s3.head(location)) if s3.is_remote(location) else Stat(Path(location).stat().st_size)


def sha256(location: str) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    if not s3.is_remote(location):
        with Path(location).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for chunk in s3.chunks(location):
        digest.update(chunk)
    return digest.hexdigest()


def folders(location: str, *, suffix: str) -> list[str]:
    """Return the locations of the folders right below a location whose names end in `suffix`, in order."""
    if s3.is_remote(location):
        return [found for found in s3.prefixes(location) if found.endswith(suffix)]
    return [str(path) for path in sorted(Path(location).glob(f"*{suffix}")) if path.is_dir()]


def listed(location: str, *, suffix: str) -> list[str]:
    """Return the locations of the files right below a location, in order."""
    if s3.is_remote(location):
        return [found for found in s3.listed(location) if found.endswith(suffix)]
    return [str(path) for path in sorted(Path(location).glob(f"*{suffix}"))]


def readable_by_gdal(location: str) -> Any:
    """Return the environment in which rasterio opens what is at `location`."""
    import rasterio
    from rasterio.session import AWSSession

    if not s3.is_remote(location):
        return rasterio.Env()
    service = s3.Service.of_environment()
    host = urlsplit(service.endpoint).netloc if service.endpoint else None
    return rasterio.Env(
        AWSSession(region_name=service.region, endpoint_url=host),
        AWS_HTTPS="NO" if service.allow_http else "YES",
        AWS_VIRTUAL_HOSTING="FALSE" if service.path_style else "TRUE",
        CPL_VSIL_CURL_NON_CACHED="/vsis3/",  # else a file that was absent before it was written stays absent
        GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR",  # else it searches for side files, which do not exist
    )
