"""Which files of the archives make a product-year, and whether they are those that were ingested.

A fingerprint covers names, sizes and times of files and the settings they are read with; it decides whether a
product-year is read again. What a run depends on are digests of content, which are another thing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from pipeline.errors import UserError
from pipeline.grid import Tile
from pipeline.sources.nldas2 import HourIndex, NldasSettings
from pipeline.sources.slope import SlopeSettings

READERS_VERSION = 1  # raised when a reader gives other values for the same files: all is then read again


@dataclass(frozen=True)
class FileSet:
    """Files of a product-year."""

    count: int
    size_bytes: int
    fingerprint: str


def file_set(paths: Iterable[Path], *, root: Path, settings: BaseModel) -> FileSet:
    """Return number, size and fingerprint of files below `root`; of a folder among them, of all files in it."""
    found = sorted(file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())
    stats = ((str(file.relative_to(root)), file.stat()) for file in found)
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    content = json.dumps([READERS_VERSION, settings.model_dump(mode="json"), facts])
    fingerprint = hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
    return FileSet(len(facts), sum(size for _, size, _ in facts), fingerprint)


def climate_archive(folder: Path, *, settings: NldasSettings) -> FileSet:
    """Return all granules below `folder`, of whatever years: telling these takes opening every file."""
    return file_set(folder.rglob(settings.pattern), root=folder, settings=settings)


def hours_of_year(index: HourIndex, year: int) -> HourIndex:
    """Return the part of an index that `year` can need: with a day before (filling) and two after (day windows).

    Raises
    ------
    UserError
        If no granule holds an hour of the year.
    """
    first, last = (int(np.datetime64(f"{start}-01-01", "h").astype(np.int64)) for start in (year, year + 1))
    if not ((index.hour_N >= first) & (index.hour_N < last)).any():
        raise UserError(f"NLDAS-2: none of {len(index.files)} granules holds an hour of {year}; download that year")
    chosen = (index.hour_N >= first - 24) & (index.hour_N < last + 48)
    used, file_N = np.unique(index.file_N[chosen], return_inverse=True)
    files = tuple(index.files[number] for number in used)
    return HourIndex(files, index.hour_N[chosen], file_N, index.position_N[chosen])


def gpp_files(folder: Path, *, year: int, tiles: Iterable[Tile], settings: SlopeSettings) -> FileSet:
    """Return the GeoTIFFs of `year` in the MODIS tiles of `tiles`; raises `UserError` for a MODIS tile without any."""
    paths: list[Path] = []
    for modis in sorted({tile.modis for tile in tiles}):
        pattern = settings.pattern
        for part, value in {"{YYYY}": f"{year}", "{MM}": "*", "{DD}": "*", "{tile}": modis}.items():
            pattern = pattern.replace(part, value)
        of_tile = list(folder.glob(pattern))
        if not of_tile:
            raise UserError(f"SLOPE GPP: no file of {year} for MODIS tile {modis} matches {folder / pattern}")
        paths += of_tile
    return file_set(paths, root=folder, settings=settings)
