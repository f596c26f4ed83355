"""Tables of geodatabases or GeoPackages of gSSURGO and gNATSGO, checked against the limits that the product gives."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd
import pyogrio
from pandas.api.types import is_numeric_dtype
from pyogrio.errors import DataLayerError, DataSourceError

from pipeline.errors import UserError
from pipeline.sources.archive_paths import check_member

_SQLITE = b"SQLite format 3\0"  # first bytes of a GeoPackage
FILE = "geodatabase"  # column of a row's geodatabase, counted from 0


class Column(NamedTuple):
    """A column of numbers: factor to the unit of use, smallest and largest possible stored value."""

    name: str
    factor: float
    low: float
    high: float


class Table(NamedTuple):
    """A table of the geodatabase: its key, keys of other tables and numbers to read; whether it may be empty."""

    name: str
    key: str
    others: tuple[str, ...] = ()
    numbers: tuple[Column, ...] = ()
    optional: bool = False


def read_table(geodatabases: Sequence[Path], table: Table) -> pd.DataFrame:
    """Return the rows of a table from all geodatabases, with keys as text; a row that is in several counts once.

    Raises
    ------
    UserError
        If a geodatabase is unreadable or truncated, does not have the table or a column, or contains values beyond
        their limits, such as -1 for missing.
    """
    rows = [_read_one(path, table).assign(**{FILE: number}) for number, path in enumerate(geodatabases)]
    return pd.concat(rows, ignore_index=True).drop_duplicates(table.key, ignore_index=True)


def _read_one(geodatabase: Path, table: Table) -> pd.DataFrame:
    keys, numbers = [table.key, *table.others], [column.name for column in table.numbers]
    rows = _rows(geodatabase, table, [*keys, *numbers])
    absent = [column for column in (*keys, *numbers) if column not in rows]
    if absent:
        raise UserError(
            f"{geodatabase}: table {table.name} has no {', '.join(absent)}; use an unaltered gSSURGO release"
        )
    for column in table.numbers:
        _check_range(rows[column.name], f"{table.name}.{column.name}", column=column, geodatabase=geodatabase)
    return rows.assign(**{key: _as_text(rows[key]) for key in keys}).astype(dict.fromkeys(numbers, np.float64))


def _as_text(keys: pd.Series[Any]) -> pd.Series[Any]:
    """Return keys as text, as in the product; copies from other software have numbers, which would match none."""
    return keys.astype("Int64").astype(str) if is_numeric_dtype(keys) else keys


def _rows(geodatabase: Path, table: Table, columns: list[str]) -> pd.DataFrame:
    """Return all rows, at least one unless the table is optional."""
    path = _gdal_path(geodatabase, table)
    try:
        # Where the index of a table is absent, GDAL guesses the places of its rows and only warns.
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            pyogrio.read_info(path, layer=table.name)  # raises if the index is truncated; reading would return no rows
            rows: pd.DataFrame = pyogrio.read_dataframe(path, layer=table.name, columns=columns, read_geometry=False)
    except (DataSourceError, DataLayerError) as error:
        raise _unreadable(geodatabase, table, str(error)) from error
    if warned:
        raise _unreadable(geodatabase, table, str(warned[0].message))
    if rows.empty and not table.optional:
        raise _unreadable(geodatabase, table, "no rows")
    return rows


def _unreadable(geodatabase: Path, table: Table, reason: str) -> UserError:
    return UserError(
        f"{geodatabase}: table {table.name} is unreadable or truncated ({reason}); unpack or download it again"
    )


def _gdal_path(geodatabase: Path, table: Table) -> str:
    try:
        if geodatabase.suffix == ".zip":
            with zipfile.ZipFile(geodatabase) as archive:
                return _member_path(geodatabase, archive)
        if geodatabase.is_file():
            with geodatabase.open("rb") as file:
                _check_sqlite(file, place=geodatabase)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:  # RuntimeError: an encrypted member
        raise _unreadable(geodatabase, table, str(error)) from error
    return str(geodatabase)


def _member_path(path: Path, archive: zipfile.ZipFile) -> str:
    found = (re.match(r".+?\.(gdb(?=/)|gpkg$)", name) for name in archive.namelist())
    databases = {match[0] for match in found if match}
    if len(databases) != 1:
        raise UserError(f"{path}: contains {len(databases)} geodatabases (.gdb folders or .gpkg), not 1; unpack it")
    (held,) = databases
    check_member(path, held)
    if held.endswith(".gpkg"):
        with archive.open(held) as file:
            _check_sqlite(file, place=path)
    return f"/vsizip/{path}/{held}"


def _check_sqlite(file: IO[bytes], *, place: Path) -> None:
    """Raise `UserError` unless a GeoPackage is a database: GDAL goes by content, and a format may refer to any file."""
    if not file.read(len(_SQLITE)).startswith(_SQLITE):
        raise UserError(f"{place}: not a GeoPackage; download it again")


def _check_range(stored: pd.Series[float], name: str, *, column: Column, geodatabase: Path) -> None:
    outside = stored[(stored < column.low) | (stored > column.high)]
    if len(outside):
        raise UserError(
            f"{geodatabase}: {name} contains {outside.iloc[0]:g} ({len(outside)} rows), outside {column.low:g} to "
            f"{column.high:g}; a missing value must be NULL"
        )
