"""Files of flux towers: a table in a CSV file or in a zip archive as downloaded; columns are found by name.

An archive is never unpacked: its one suitable member is read as a stream, and the folders in the names of members,
which could point anywhere, are not used.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import UserError

MISSING = -9999
_LARGEST_BYTES = 4_000_000_000  # thirty years of half-hours in 250 columns have 1.5 GB
MONTH_DIGITS, DAY_DIGITS, STEP_DIGITS = 6, 8, 12  # of YYYYMM, YYYYMMDD and YYYYMMDDHHMM

# Tables of fluxes, not the archive's BIF, BIFVARINFO, VARINFO, AUX or ERA5 tables, some of which have a resolution in
# their names too. ICOS leaves the kind out: ICOSETC_FI-Hyy_FLUXNET_DD_L2.csv, or ..._DD_INTERIM_L2.csv.
_FLUXES = re.compile(
    r"[A-Z0-9]+_[A-Z]{2}-\w{3}_(?:FLUXNET(?:2015)?(?:_(?:FULLSET|FLUXMET|SUBSET))?|BASE)"
    r"_(?P<step>HH|HR|DD|WW|MM|YY)_.+\.csv",
    re.IGNORECASE,
)
SITE_NAME = re.compile(r"[A-Z]{2}-\w{3}", re.ASCII)
_SITE = re.compile(rf"[A-Z0-9]+_({SITE_NAME.pattern})_", re.ASCII)
_COARSER = {
    4: "yearly",
    MONTH_DIGITS: "monthly",
    DAY_DIGITS: "weekly",
}  # files by digits of the stamp, if fewer than needed
# Resolutions in the order in which an archive's are taken: fluxes as days of the network before days computed here,
# weather in steps, which hold the extremes of a day.
DAYS_FIRST, STEPS_FIRST, MONTHS = ("DD", "HH", "HR"), ("HH", "HR", "DD"), ("MM",)


@dataclass(frozen=True)
class TowerFile:
    """A CSV file, or the member of a zip archive that holds one."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    @property
    def site(self) -> str:
        """Name of the tower, such as US-Ne1, from the file's name; the file's stem where it has none."""
        name = PurePosixPath(self.member).name if self.member else self.path.name
        found = _SITE.match(name)
        return found[1] if found else PurePosixPath(name).stem

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the text; a fault of the file is raised as a `UserError` that names it."""
        # A defect inside a compressed member shows only while it is read: the block of the caller is guarded, too.
        try:
            if self.member is None:
                with self.path.open(encoding="utf-8-sig", newline="") as file:
                    yield file
            else:
                with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                    yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        except UserError:
            raise
        except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self}: not a readable CSV file ({error}); download it again") from None


def find_tower_file(path: Path, *, resolutions: tuple[str, ...] = DAYS_FIRST) -> TowerFile:
    """Return the table of fluxes at `path`, or in the zip archive there that of the first of `resolutions` it has.

    Raises
    ------
    UserError
        If an archive is broken or encrypted, or holds no table of fluxes, only coarser ones, or several.
    """
    if path.suffix.lower() != ".zip":
        return TowerFile(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable zip archive ({error}); download it again") from None
    member = _best_member(path, members, resolutions)
    if member.flag_bits & 1:
        raise UserError(f"{path}: {member.filename} is encrypted; unpack it and give the CSV file")
    if member.file_size > _LARGEST_BYTES:  # `zipfile` reads no more than this declared size
        raise UserError(
            f"{path}: {member.filename} unpacks to {member.file_size / 1e9:.0f} GB, more than any tower's "
            f"{_LARGEST_BYTES / 1e9:.0f} GB; download it again"
        )
    return TowerFile(path, member.filename)


def _best_member(path: Path, members: list[zipfile.ZipInfo], resolutions: tuple[str, ...]) -> zipfile.ZipInfo:
    named = [(_FLUXES.fullmatch(PurePosixPath(member.filename).name), member) for member in members]
    fluxes = [(found["step"].upper(), member) for found, member in named if found]
    # Several of one resolution may be several towers or versions: the user decides.
    for step in resolutions:
        best = [member for of, member in fluxes if of == step]
        if len(best) > 1:
            raise UserError(
                f"{path}: holds {len(best)} {step} files ({', '.join(each.filename for each in best)}); unpack it and "
                f"give one of them"
            )
        if best:
            return best[0]
    content = ", ".join(member.filename for member in members[:8]) or "nothing"
    wanted = " or ".join(", ".join(sorted(resolutions)).rsplit(", ", 1))
    raise UserError(
        f"{path}: holds no {wanted} file of FLUXNET (FULLSET, SUBSET or FLUXMET), AmeriFlux BASE or ICOS "
        f"(ICOSETC_*_FLUXNET), but {content}; download an archive with one of them"
    )


@dataclass(frozen=True)
class TowerTable:
    """Head of a tower's table: comment lines before the names of its columns."""

    file: TowerFile
    comments: tuple[str, ...]
    columns: tuple[str, ...]

    @classmethod
    def of(cls, file: TowerFile) -> TowerTable:
        """Return the head of `file`; raises `UserError` if it cannot be read."""
        comments: list[str] = []
        with file.open() as text:
            for line in text:
                if not line.startswith("#"):
                    columns = tuple(name.strip().strip('"') for name in line.strip().split(","))
                    return cls(file, tuple(comments), columns)
                comments.append(line.rstrip(",\r\n"))
        raise UserError(f"{file}: holds no header; download it again")

    def comment(self, key: str) -> str | None:
        """Return the value of a comment line, such as US-CRT of "# Site: US-CRT"; None without such a line."""
        found = (re.fullmatch(rf"#\s*{key}\s*:\s*(\S+)\s*", line) for line in self.comments)
        return next((each[1] for each in found if each), None)

    def read(self, names: list[str], *, stamps: list[str]) -> pd.DataFrame:
        """Return columns as numbers, NaN where missing, and `stamps` as text, in the order of the file's rows.

        Raises
        ------
        UserError
            If a column is missing or given twice, there is no row, or a value is not a number.
        """
        used = [*stamps, *names]
        absent = [name for name in used if name not in self.columns]
        if absent:
            raise UserError(f"{self.file}: missing columns {absent}; give a FLUXNET or AmeriFlux BASE file as released")
        doubled = [name for name in used if self.columns.count(name) > 1]
        if doubled:
            raise UserError(f"{self.file}: column {doubled[0]} is given twice; give the file as released")
        with self.file.open() as text:
            raw = pd.read_csv(
                text,
                skiprows=len(self.comments) + 1,
                header=None,
                names=list(self.columns),
                usecols=used,
                dtype=dict.fromkeys(stamps, str),
                index_col=False,  # else a trailing comma in the rows would shift all columns
                low_memory=False,
            )
        if raw.empty:
            raise UserError(f"{self.file}: holds no rows; download it again")
        return raw.assign(**{name: self._numbers(raw[name]) for name in names})

    def _numbers(self, column: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
        # An empty field is a missing value; a word is a fault, perhaps of a spreadsheet.
        words = (numbers.isna() & column.notna()).to_numpy()
        if words.any():
            row = int(np.flatnonzero(words)[0])
            raise UserError(
                f"{self.file}: {column.name} holds values that are not numbers, {column.iloc[row]!r} in row {row + 1}; "
                f"a missing value is {MISSING}"
            )
        return numbers.mask(numbers == MISSING)

    def times(self, stamps: pd.Series, *, digits: int) -> NDArray[np.datetime64]:
        """Return stamps YYYYMM, YYYYMMDD or YYYYMMDDHHMM (by `digits`) as times; NaT where one is malformed.

        Raises
        ------
        UserError
            If the first stamp is of a coarser file: weekly, monthly or yearly.
        """
        first = str(stamps.iloc[0])
        if first.isdecimal() and len(first) < digits and len(first) in _COARSER:
            finer = "MM file" if digits == MONTH_DIGITS else "DD, HH or HR file"
            raise UserError(
                f"{self.file}: {stamps.name} {first} is the stamp of a {_COARSER[len(first)]} file; give the {finer} "
                f"of the same archive"
            )
        # pandas accepts days and months of one digit, too: the number of digits is checked here.
        well_formed = stamps.where(stamps.str.fullmatch(rf"[0-9]{{{digits}}}", na=False))
        times = pd.to_datetime(well_formed, format="%Y%m%d%H%M"[: digits - 2], errors="coerce")
        return times.to_numpy(dtype="datetime64[s]")
