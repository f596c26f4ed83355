"""Files of a collection by region and days, as a catalogue of NASA describes them.

A catalogue's entries are claims: a file is used only if its link is https, on a host of NASA, and ends in a plain file
name. Tested against generated responses only.

References
----------
Unified Metadata Model for granules (UMM-G) 1.6.6: `RelatedUrls`, `DataGranule.ArchiveAndDistributionInformation`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

ARCHIVE_HOST = ".nasa.gov"  # the token of the login is sent to whatever host a link names
ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
"""Names in `hashlib` of the checksums of UMM-G that can be recomputed; a file with another one counts as without."""

_UNITS = {"KB": 1, "MB": 2, "GB": 3, "TB": 4, "PB": 5}
# Relative. A size in a unit is printed with few digits, and UMM-G does not define whether a TB has 1000^4 or 1024^4
# bytes: the latter is 10 % more.
_ROUNDING = 0.12
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


@dataclass(frozen=True)
class Collection:
    """Name of a product in the catalogue."""

    short_name: str
    version: str
    provider: str


@dataclass(frozen=True)
class Query:
    """A search: `box` is west, south, east, north [degree]; both days are included."""

    collection: Collection
    box: tuple[float, float, float, float]
    first: dt.date
    last: dt.date


@dataclass(frozen=True)
class Size:
    """Size of a file; `exact` is False where the catalogue gives it in kilobytes or more."""

    bytes: int
    exact: bool

    def agrees(self, measured_bytes: int) -> bool:
        """Return whether a file may have this size: the same, or within the rounding of the unit."""
        return abs(measured_bytes - self.bytes) <= (0 if self.exact else _ROUNDING * self.bytes)


@dataclass(frozen=True)
class Checksum:
    """Digest of a file: `algorithm` as in `hashlib`, `value` in lower-case hexadecimal digits."""

    algorithm: str
    value: str


@dataclass(frozen=True)
class Remote:
    """A file of an archive.

    Attributes
    ----------
    name
        A plain file name, without separators.
    url
        https, on a host of NASA.
    size, checksum
        As in the catalogue; None where it gives none.
    day
        First day of the data; None where the catalogue gives none.
    """

    name: str
    url: str
    size: Size | None
    checksum: Checksum | None
    day: dt.date | None


@dataclass(frozen=True)
class Refused:
    """A link or a granule that is not used: its name, and the reason as the rest of a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """Files that match a query, and the parts of the answer that are not used."""

    remotes: tuple[Remote, ...]
    refused: tuple[Refused, ...]


def files_of(granule: Mapping[str, Any]) -> Iterator[Remote | Refused]:
    """Yield the files of one granule in UMM-G; a granule without files, and unsafe links, are yielded as `Refused`."""
    umm = granule.get("umm", {})
    links = [str(link.get("URL", "")) for link in umm.get("RelatedUrls", ()) if link.get("Type") == "GET DATA"]
    # An s3:// link leads to the same file, but is open inside one region of Amazon only.
    links = list(dict.fromkeys(link for link in links if not link.startswith("s3:")))
    if not links:
        yield Refused(str(umm.get("GranuleUR", "a granule without a name")), "has no link to its data")
    described = _described(umm.get("DataGranule", {}).get("ArchiveAndDistributionInformation", ()))
    for link in links:
        name = unquote(urlsplit(link).path.rsplit("/", 1)[-1])
        if fault := _fault(link, name):
            yield Refused(name or link.partition("?")[0], fault)
            continue
        # An archive may list the file several times, and side files such as NAME.xml with facts of their own.
        entries = [entry for entry in described if entry.get("Name") == name]
        if not entries and len(links) == len(described) == 1:
            entries = described  # some archives write "Not provided" as the name
        yield Remote(name, link, _size(entries), _checksum(entries), _day(umm.get("TemporalExtent", {})))


def _fault(link: str, name: str) -> str | None:
    """Reason for which a link is not trusted with the login, or its name with a place on the disk; None if both are."""
    parts = urlsplit(link)
    host = parts.hostname or ""
    if parts.scheme != "https" or not host.endswith(ARCHIVE_HOST):
        return f"its link ({parts.scheme}://{host}) is not https on a host of {ARCHIVE_HOST}"
    if parts.username or parts.password:
        return "its link carries a user name"
    if not _PLAIN_NAME.fullmatch(name):
        return "its name is not a plain file name"
    return None


def _described(entries: Any) -> list[Mapping[str, Any]]:
    """Entries of `ArchiveAndDistributionInformation` that describe a file, also those of files inside a package."""
    # `Files` are members of a package such as a tar file; an entry may be a bare name without any fact.
    flat = [file for entry in entries for file in (entry, *entry.get("Files", ()))]
    return [file for file in flat if {"Size", "SizeInBytes", "Checksum"} & file.keys()]


def _size(entries: list[Mapping[str, Any]]) -> Size | None:
    """Size in bytes if any entry gives it. In some archives 0 stands for unknown, and numbers are text."""
    for entry in entries:
        if size_bytes := int(entry.get("SizeInBytes", 0)):
            return Size(size_bytes, exact=True)
    for entry in entries:
        if (amount := float(entry.get("Size", 0))) and entry.get("SizeUnit") in _UNITS:
            return Size(round(amount * 1024 ** _UNITS[entry["SizeUnit"]]), exact=False)
    return None


def _checksum(entries: list[Mapping[str, Any]]) -> Checksum | None:
    for entry in entries:
        given = entry.get("Checksum", {})
        if given.get("Algorithm") in ALGORITHMS and given.get("Value"):
            return Checksum(ALGORITHMS[given["Algorithm"]], str(given["Value"]).strip().lower())
    return None


def _day(extent: Mapping[str, Any]) -> dt.date | None:
    # Only the folder of a file with an unknown name depends on the day: without a valid one it is "undated".
    stamp = extent.get("SingleDateTime") or extent.get("RangeDateTime", {}).get("BeginningDateTime")
    try:
        return dt.date.fromisoformat(str(stamp)[:10])
    except ValueError:
        return None
