"""Needs of a region in the archives that can be fetched: days, file names, and the places of files on the disk.

References
----------
NLDAS_FORA0125_H 2.0, doi:10.5067/THUF4J1RLSYG. SLOPE_GPP_CONUS_1786, doi:10.3334/ORNLDAAC/1786. The names of SLOPE's
files at ORNL DAAC could not be confirmed: files keep their names, and names that `slope.pattern` of the run file does
not match are reported.
"""

from __future__ import annotations

import calendar
import datetime as dt
import fnmatch
import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import shapely

from pipeline.config import RunFile
from pipeline.errors import UserError
from pipeline.fetch.catalogue import Collection, Query, Remote
from pipeline.grid.domain import domain_of
from pipeline.inputs.layout import PRODUCTS
from pipeline.sources.nldas2.product import CELL_DEGREE
from regions import Region, did_you_mean, zones

NLDAS2 = Collection("NLDAS_FORA0125_H", "2.0", "GES_DISC")
SLOPE = Collection("SLOPE_GPP_CONUS_1786", "1", "ORNL_CLOUD")
SLOPE_YEARS = range(2000, 2020)  # of the public release
FETCHED = ("climate", "gpp")

FIRST_HOUR = dt.datetime(1979, 1, 1, 13)  # of NLDAS-2, UTC

_GRANULE = re.compile(r"NLDAS_FORA0125_H\.A(\d{8})\.(\d{2})00\.\d{3}\.nc")
_GEOTIFF = re.compile(r".*\.tiff?", re.IGNORECASE)
_MODIS_TILE = re.compile(r"h\d{2}v\d{2}", re.IGNORECASE)
_PARTS = {"YYYY": r"\d{4}", "MM": r"\d{2}", "DD": r"\d{2}", "tile": r"h\d{2}v\d{2}"}  # of `slope.pattern`


@dataclass(frozen=True)
class ClimateArchive:
    """Hourly granules of NLDAS-2: of each year the hours that ingest reads, with a day before and two after."""

    folder: Path
    box: tuple[float, float, float, float]
    years: tuple[int, ...]
    title: str = "NLDAS-2 forcing, hourly (NLDAS_FORA0125_H 2.0, GES DISC)"

    def queries(self) -> tuple[Query, ...]:
        """Return one search a year; the margins of neighbouring years overlap."""
        day = dt.timedelta(1)
        return tuple(
            Query(NLDAS2, self.box, dt.date(year, 1, 1) - day, dt.date(year + 1, 1, 1) + day) for year in self.years
        )

    def needs(self, name: str) -> bool:
        """Return whether it is a granule of an hour that ingest reads."""
        match = _GRANULE.fullmatch(name)
        return match is not None and f"{match[1]}.{match[2]}" in self._hours

    def place(self, remote: Remote) -> PurePosixPath:
        """Return the place in the archive's own layout, NLDAS_FORA0125_H.2.0/YYYY/DDD by the day of the stamp."""
        day = dt.datetime.strptime(remote.name.split(".")[1], "A%Y%m%d")
        return PurePosixPath(f"{NLDAS2.short_name}.{NLDAS2.version}", f"{day:%Y}", f"{day:%j}", remote.name)

    def notes(self, names: AbstractSet[str]) -> tuple[str, ...]:
        """Return a sentence on missing hours."""
        stamps = (_GRANULE.fullmatch(name) for name in names)
        missing = sorted(self._hours - {f"{match[1]}.{match[2]}" for match in stamps if match})
        if not missing:
            return ()
        return (f"{len(missing):,} of {len(self._hours):,} hours are missing, the first is {missing[0]}00 UTC",)

    @property
    def expected(self) -> int:
        """Number of files that the archive should have: one an hour."""
        return len(self._hours)

    @cached_property
    def _hours(self) -> frozenset[str]:
        """Stamps of the hours, as in file names: 20120704.13."""
        # With margins: days may be counted in local time, and gaps are interpolated from hours on both sides.
        hour, stamps = dt.timedelta(hours=1), set()
        for year in self.years:
            stamp, stop = max(dt.datetime(year - 1, 12, 31), FIRST_HOUR), dt.datetime(year + 1, 1, 3)
            while stamp < stop:
                stamps.add(f"{stamp:%Y%m%d.%H}")
                stamp += hour
        return frozenset(stamps)


@dataclass(frozen=True)
class GppArchive:
    """Daily GeoTIFFs of SLOPE in the region's MODIS tiles whose names `only` matches.

    `pattern` is `slope.pattern` of the run file. Files that it matches are placed by it, others in a folder of the
    collection's name.
    """

    folder: Path
    box: tuple[float, float, float, float]
    years: tuple[int, ...]
    tiles: frozenset[str]
    pattern: str
    only: str = "*GPP*"
    title: str = "SLOPE GPP, daily (SLOPE_GPP_CONUS_1786 v1, ORNL DAAC)"

    def queries(self) -> tuple[Query, ...]:
        """Return one search for each year of the public release."""
        public = (year for year in self.years if year in SLOPE_YEARS)
        return tuple(Query(SLOPE, self.box, dt.date(year, 1, 1), dt.date(year, 12, 31)) for year in public)

    def needs(self, name: str) -> bool:
        """Return whether `only` matches it and it is a GeoTIFF of the tiles and years, where its name has them."""
        match, tile = self._name.fullmatch(name), _MODIS_TILE.search(name)
        return (
            _GEOTIFF.fullmatch(name) is not None
            and fnmatch.fnmatchcase(name.lower(), self.only.lower())
            and (tile is None or tile[0].lower() in self.tiles)
            and (match is None or int(match.groupdict().get("YYYY", self.years[0])) in self.years)
        )

    def place(self, remote: Remote) -> PurePosixPath:
        """Return the place by `pattern`; for names that it does not match, COLLECTION/YYYY/NAME."""
        match = self._name.fullmatch(remote.name)
        folder = PurePosixPath(self.pattern).parent
        for part, value in (match.groupdict() if match else {}).items():
            folder = PurePosixPath(str(folder).replace(f"{{{part}}}", value))
        # A folder of the pattern may need a part that the name does not give: it is not invented.
        if match is None or "{" in str(folder):
            year = f"{remote.day:%Y}" if remote.day else "undated"
            folder = PurePosixPath(f"{SLOPE.short_name}.{SLOPE.version}", year)
        return folder / remote.name

    def notes(self, names: AbstractSet[str]) -> tuple[str, ...]:
        """Return sentences on names that `pattern` does not match, and on missing days of those that it does."""
        matches = [match for name in names if (match := self._name.fullmatch(name))]
        notes = []
        if other := sorted(name for name in names if not self._name.fullmatch(name)):
            notes.append(
                f"{len(other):,} names, such as {other[0]}, do not match slope.pattern = {self.pattern!r}: set it to "
                f"the form of these names before `agcarbon ingest`"
            )
        if matches and (missing := self.expected - len(matches)) > 0:
            notes.append(f"{missing:,} of {self.expected:,} daily files of MODIS tiles are missing")
        return tuple(notes)

    @property
    def expected(self) -> int:
        """Number of files that the public release should have: one a day and MODIS tile."""
        days = sum(365 + calendar.isleap(year) for year in self.years if year in SLOPE_YEARS)
        return days * len(self.tiles)

    @cached_property
    def _name(self) -> re.Pattern[str]:
        """Expression for the file names of `pattern`; the second occurrence of a date's part must repeat the first."""
        expression = re.escape(PurePosixPath(self.pattern).name)
        for part, digits in _PARTS.items():
            escaped = re.escape(f"{{{part}}}")
            expression = expression.replace(escaped, f"(?P<{part}>{digits})", 1).replace(escaped, f"(?P={part})")
        return re.compile(expression)


Archive: TypeAlias = ClimateArchive | GppArchive
"""A product of the run file that can be fetched, with the region's needs."""


def known_products(requested: Sequence[str] | None) -> tuple[str, ...]:
    """Return the requested products, or all; raises `UserError` naming unknown ones."""
    unknown = sorted(set(requested or ()) - set(PRODUCTS))
    if unknown:
        near = did_you_mean(unknown[0], PRODUCTS)
        raise UserError(f"--product {', '.join(unknown)} is unknown; the products are {', '.join(PRODUCTS)}{near}")
    return tuple(name for name in PRODUCTS if name in (requested or PRODUCTS))


def archive_of(product: str, *, run_file: RunFile, region: Region, years: Sequence[int], only: str | None) -> Archive:
    """Return the needs of a region in the archive of `product`, climate or gpp; `only` narrows the names of GPP."""
    box = _box(region)
    if product == "climate":
        return ClimateArchive(run_file.archives.nldas2, box, tuple(years))
    assert product == "gpp", product
    tiles = frozenset(tile.modis for tile in domain_of(region).tiles)
    return GppArchive(run_file.archives.slope, box, tuple(years), tiles, run_file.slope.pattern, only or "*GPP*")


def _box(region: Region) -> tuple[float, float, float, float]:
    """West, south, east, north [degree] of the region with a margin of one NLDAS-2 cell."""
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in zones(region)])
    margin = CELL_DEGREE
    return float(west - margin), float(south - margin), float(east + margin), float(north + margin)
