"""Files for people and other programs, in a folder or in a bucket: each appears complete or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from pipeline.storage import s3

_MEDIA_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".json": "application/json",
    ".csv": "text/csv",
    ".png": "image/png",
    ".qml": "application/xml",
    ".xml": "application/xml",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
}


def join(location: str, *parts: str) -> str:
    """Return the location of a file below a location."""
    return "/".join((location.rstrip("/"), *parts))


def name_of(location: str) -> str:
    """Return the last part of a location."""
    return location.rstrip("/").rpartition("/")[2]


@contextmanager
def writing(location: str) -> Iterator[Path]:
    """Yield a path to write a file at, and move it to `location` when the block ends; if it raises, nothing is there.

    Raises
    ------
    UserError
        If `location` is in a bucket that refuses the file.
    """
    with TemporaryDirectory(prefix="agcarbon-") if s3.is_remote(location) else nullcontext() as staging:
        final = Path(location)
        if staging is None:
            final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(staging) / final.name if staging else final.with_name(f".{final.name}.partial")
        try:
            yield partial
            if staging:
                s3.upload(str(partial), location, media_type=_MEDIA_TYPES.get(final.suffix))
            else:
                partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def scratch(location: str) -> Iterator[Path]:
    """Yield an empty folder for drafts of a file: beside it, or among the temporary files if it goes into a bucket.

    It is removed when the block ends. A killed process leaves it, for the next one with the same `location` to empty.
    """
    if s3.is_remote(location):
        with TemporaryDirectory(prefix="agcarbon-") as folder:
            yield Path(folder)
        return
    final = Path(location)
    beside = final.with_name(f".{final.name}.drafts")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
    with writing(location) as path:
        path.write_bytes(content)


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
