"""Tables of users as files: CSV, GeoPackage or Parquet, by the extension of the name."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.storage import files, s3

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

CSV, GEOPACKAGE, PARQUET = ".csv", ".gpkg", ".parquet"


def format_of(location: str, *, formats: tuple[str, ...], option: str = "--output") -> str:
    """Return the format of an output, given by an option, by its extension.

    Raises
    ------
    UserError
        If it is not one of `formats`, it is Parquet without pyarrow, or the location is no place of a file.
    """
    found = PurePosixPath(location).suffix.lower()
    if found not in formats:
        raise UserError(
            f"{option} {location}: {found or 'no extension'} is no format of this output; end the name in "
            f"{', '.join(formats)}"
        )
    if found == PARQUET and find_spec("pyarrow") is None:
        others = ", ".join(each for each in formats if each != PARQUET)
        raise UserError(
            f"--output {location}: Parquet needs the package pyarrow, which is not installed; install it with "
            f"`pip install 'agcarbon[tables]'`, or end the name in {others}"
        )
    if fault := s3.fault(location):
        raise UserError(f"--output: {fault}")
    return found


def check_distinct(location: str, source: Path | None) -> None:
    """Raise `UserError` if an output is the file that its polygons come from."""
    if source and not s3.is_remote(location) and Path(location).resolve() == source.resolve():
        raise UserError(f"--output {location}: the polygons are read from this file; name another one")


def write_polygons(location: str, table: gpd.GeoDataFrame) -> None:
    """Write a table of polygons in the format of its name, complete or not at all; CSV has no geometry."""
    kind = format_of(location, formats=(CSV, GEOPACKAGE, PARQUET))
    # GDAL wants the extension of a GeoPackage, which the unfinished file of `writing` has not.
    with files.scratch(location) as folder, files.writing(location) as path:
        draft = folder / f"table{kind}"
        if kind == CSV:
            table.drop(columns=table.geometry.name).to_csv(draft, index=False)
        elif kind == GEOPACKAGE:
            table.to_file(draft, driver="GPKG", layer="zonal", engine="pyogrio")
        else:
            table.to_parquet(draft, index=False)
        draft.replace(path)


def write_parts(location: str, parts: Iterable[pd.DataFrame]) -> int:
    """Write tables of the same columns one after the other, as CSV or Parquet, and return the number of rows.

    One part is in memory at a time. The file appears complete or not at all.
    """
    kind = format_of(location, formats=(CSV, PARQUET))
    with files.writing(location) as path:
        return _write_csv(path, parts) if kind == CSV else _write_parquet(path, parts)


def _write_csv(path: Path, parts: Iterable[pd.DataFrame]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for part in parts:
            part.to_csv(file, header=not rows, index=False)
            rows += len(part)
    return rows


def _write_parquet(path: Path, parts: Iterable[pd.DataFrame]) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    rows = 0
    with ExitStack() as stack:
        writer = None
        for part in parts:
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or stack.enter_context(ParquetWriter(path, table.schema))
            writer.write_table(table)
            rows += len(part)
    return rows
