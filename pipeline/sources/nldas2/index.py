"""Index of the hours in NLDAS-2 files: from the names of the archive's one-hour files, from the time axes of others."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.sources.archive_paths import inside
from pipeline.sources.nldas2.granule import open_granule
from pipeline.sources.nldas2.product import DamagedGranuleError, Granule, Hours, NldasSettings

# The archive's own name of one hour, or of a subset of it; names of merged months or years do not match.
ONE_HOUR = re.compile(
    r"NLDAS_FORA0125_H\.A(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)\.(?P<hour>[01]\d|2[0-3])00\.(002\.grb|020\.nc)(\.SUB\.nc4)?"
)


@dataclass(frozen=True)
class HourIndex:
    """Hours of an archive, with the file and the position in it of each.

    Attributes
    ----------
    files
        Granules, sorted by path.
    hour_N
        Hours since 1970-01-01 00 UTC, ascending; a stamp that several files hold occurs several times.
    file_N, position_N
        Number of the file in `files` and position on its time axis.
    damaged
        Files that could not be opened while indexing, "path: reason; download it again" each; their hours are unknown.
        A file with the archive's name of one hour is not opened here, and is in `files` even if it is damaged.
    """

    files: tuple[Path, ...]
    hour_N: Hours
    file_N: Hours
    position_N: Hours
    damaged: tuple[str, ...] = ()


def find_granules(folder: Path, *, settings: NldasSettings) -> list[Path]:
    """Return the granules of both formats below `folder`, sorted, without the archive's XML file beside each."""
    found = {path for pattern in (settings.pattern, settings.grib_pattern) for path in folder.rglob(pattern)}
    return inside(folder, (path for path in found if path.suffix != ".xml"))


def index_archive(folder: Path, *, settings: NldasSettings) -> HourIndex:
    """Return the hours that the granules below `folder` hold.

    The hour of a file with the archive's name of one hour is taken from the name, and verified when the file is read:
    opening the 184,104 files of 21 years would take most of an hour. Any other file is opened for its hours.

    Raises
    ------
    UserError
        If no file matches the patterns, or one has no time axis or has messages of several hours.
    """
    paths = find_granules(folder, settings=settings)
    if not paths:
        raise UserError(
            f"{folder}: no NLDAS-2 granule named {settings.pattern} or {settings.grib_pattern}; download them or "
            f"change `pattern` or `grib_pattern`"
        )
    of_files: dict[Path, Hours] = {}
    damaged = []
    for path in paths:
        try:
            of_files[path] = _hours(path)
        except DamagedGranuleError as damage:
            damaged.append(str(damage))
    return _index(of_files, damaged=damaged)


def _index(of_files: dict[Path, Hours], *, damaged: Iterable[str]) -> HourIndex:
    none = np.empty(0, np.int64)
    hour_N = np.concatenate([none, *of_files.values()])
    counts = [hours.size for hours in of_files.values()]
    file_N = np.repeat(np.arange(len(counts)), counts)
    position_N = np.concatenate([none, *(np.arange(count) for count in counts)])
    order = np.argsort(hour_N, kind="stable")  # copies of an hour stay in the order of their paths
    return HourIndex(tuple(of_files), hour_N[order], file_N[order], position_N[order], tuple(damaged))


def _hours(path: Path) -> Hours:
    named = hour_of_name(path.name)
    if named is not None:
        return np.array([named])
    with open_granule(path) as granule:
        return granule.hour_N


def hour_of_name(name: str) -> int | None:
    """Return the hour since 1970-01-01 00 UTC in the archive's name of a one-hour file; None for other names.

    Examples
    --------
    >>> hour_of_name("NLDAS_FORA0125_H.A19700102.0300.020.nc")
    27
    """
    match = ONE_HOUR.fullmatch(name)
    if match is None:
        return None
    try:
        day = dt.date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:  # no such date, so not a name that the archive gave
        return None
    return 24 * (day - dt.date(1970, 1, 1)).days + int(match["hour"])


def check_hours(granule: Granule, *, hour_N: Hours, position_N: Hours) -> None:
    """Refuse a granule without the hours of the index: it is misnamed, or was replaced since it was indexed.

    Raises
    ------
    UserError
        Naming the file, its hours and the expected one.
    """
    held_N = granule.hour_N
    # A file named after one hour must have this hour alone: others in it would not be in the index.
    one = hour_of_name(granule.path.name) is not None
    if (one and held_N.size != 1) or position_N.max() >= held_N.size or (held_N[position_N] != hour_N).any():
        first, last, due = (f"{np.datetime64(int(hour), 'h')}" for hour in (held_N[0], held_N[-1], hour_N[0]))
        held = first if held_N.size == 1 else f"{held_N.size} hours from {first} to {last}"
        raise UserError(
            f"{granule.path}: contains {held} UTC, but {'its name' if one else 'the index'} gives {due}; rename it "
            f"after its content or download it again"
        )
