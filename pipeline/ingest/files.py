"""Files of the archives that make up a product-year, and the stamp by which they are compared with those ingested.

The stamp of a file set covers the names, sizes and modification times of its files and the settings they are read with;
it decides whether a product-year is read again. Runs depend on digests of content instead: a new stamp alone makes no
result stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from pipeline.digests import content_digest, json_digest
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.sources.archive_paths import inside
from pipeline.sources.nldas2.index import HourIndex
from pipeline.sources.slope.reader import days_of
from pipeline.sources.slope.settings import LAST_RELEASED, Layer

READERS_VERSION = 2  # to be raised when a reader returns other values for the same files: everything is read again


@dataclass(frozen=True)
class FileSet:
    """Number, total size and stamp of the files of a product-year."""

    count: int
    size_bytes: int
    stamp: str


def file_set(paths: Iterable[Path], *, root: Path, settings: BaseModel) -> FileSet:
    """Return number, size and stamp of files below `root`; a folder among `paths` stands for all files in it."""
    found = sorted(file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())
    stats = ((str(file.relative_to(root)), file.stat()) for file in found)
    # Not the contents: reading them to see that nothing changed would take as long as ingesting them.
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    content = json.dumps([READERS_VERSION, settings.model_dump(mode="json"), facts])
    return FileSet(len(facts), sum(size for _, size, _ in facts), content_digest(content.encode()))


def hours_of_month(index: HourIndex, year: int, month: int) -> HourIndex:
    """Return the part of an index that a month may need.

    It includes a day before the month and two after: missing hours are interpolated between neighbours up to a day
    away, and a day of local standard time ends up to nine hours after that of the UTC stamps. Damaged files of unknown
    hour are left out: they belong to the archive, not to a month.
    """
    first, last = _span(year, month)
    chosen = (index.hour_N >= first - 24) & (index.hour_N < last + 48)
    used, file_N = np.unique(index.file_N[chosen], return_inverse=True)
    files = tuple(index.files[number] for number in used)
    hour_N, position_N = index.hour_N[chosen], index.position_N[chosen]
    return HourIndex(files, hour_N=hour_N, file_N=file_N, position_N=position_N)


def holds_month(index: HourIndex, year: int, month: int) -> bool:
    """Return whether an index has any hour of a month."""
    first, last = _span(year, month)
    return bool(((index.hour_N >= first) & (index.hour_N < last)).any())


def _span(year: int, month: int) -> tuple[int, int]:
    """Return the first hour of a month and of the next one [hours since 1970-01-01 00 UTC]."""
    start = np.datetime64(f"{year}-{month:02d}", "M")
    bounds = (start, start + np.timedelta64(1, "M"))
    first, last = (int(bound.astype("datetime64[h]").astype(np.int64)) for bound in bounds)
    return first, last


@dataclass(frozen=True)
class LayerFiles:
    """The GeoTIFFs of a SLOPE layer in one year, and the folder that holds those of each MODIS tile."""

    files: FileSet
    folders: Mapping[str, Path]


def gpp_files(
    folders: Sequence[Path], *, year: int, tiles: Iterable[Tile], layer: Layer, settings: BaseModel
) -> LayerFiles:
    """Return the files of `layer` in the MODIS tiles of `tiles`; those of each MODIS tile come from one folder.

    Parameters
    ----------
    folders
        The archive's folder, then the one for files that a user adds, in the same layout.
    settings
        Settings that decide on the values.

    Raises
    ------
    UserError
        Naming every MODIS tile without a file, or with files in both folders; or a file whose date is not in `year`,
        such as one in another year's folder.
    """
    paths: dict[Path, list[Path]] = {folder: [] for folder in folders}  # once, where both are the same
    served: dict[str, Path] = {}
    missing, faults = [], []
    for modis in sorted({tile.modis for tile in tiles}):
        found = {folder: _of_year(folder, year=year, modis=modis, layer=layer) for folder in paths}
        serving = [folder for folder, files in found.items() if files]
        if len(serving) == 1:
            served[modis] = serving[0]
            paths[serving[0]] += found[serving[0]]
        elif serving:
            places = " and ".join(map(str, serving))
            faults.append(
                f"SLOPE {layer.quantity}: MODIS tile {modis} has files of {year} in both {places}; keep one set"
            )
        else:
            missing.append(modis)
    if missing:
        faults.append(_missing(list(paths), year=year, tiles=missing, layer=layer))
    if faults:
        raise UserError("; ".join(faults))
    sets = [file_set(files, root=folder, settings=settings) for folder, files in paths.items()]
    return LayerFiles(_together(sets), served)


def _of_year(folder: Path, *, year: int, modis: str, layer: Layer) -> list[Path]:
    expected = {folder / layer.file_name(day, tile=modis) for day in days_of(year)}
    found = inside(folder, folder.glob(layer.wildcard(year, tile=modis)))
    strays = [path for path in found if path not in expected]
    if strays:
        raise UserError(
            f"{strays[0]}: its date is not a day of {year}"
            f"{f' (nor that of {len(strays) - 1} others)' if strays[1:] else ''}; move it to the folder of its year or "
            f"remove it"
        )
    return found


def _missing(folders: Sequence[Path], *, year: int, tiles: Sequence[str], layer: Layer) -> str:
    places = " nor ".join(str(folder / layer.pattern) for folder in folders)
    remedy = "download that year into `archives.slope`"
    if year > LAST_RELEASED:
        remedy = (
            f"the public release ends in {LAST_RELEASED}: put files of your own in the same layout into "
            f"`archives.slope_extra`"
        )
    return f"SLOPE {layer.quantity}: no file of {year} for MODIS tile {', '.join(tiles)} matches {places}; {remedy}"


def _together(parts: Sequence[FileSet]) -> FileSet:
    """Return several sets as one."""
    stamp = json_digest([part.stamp for part in parts])
    return FileSet(sum(part.count for part in parts), sum(part.size_bytes for part in parts), stamp)
