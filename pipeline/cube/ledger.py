"""The ledger: provenance of each tile-year, committed together with its data.

Every year has a digest of its rows, in the attribute `digests`: what is read is compared with it, and new rows are
written beside old ones that were compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube.entry import COMPONENTS, RANGES, Fingerprint, Row, Status, TileYearState
from pipeline.cube.parts import MONTH_PARTS, PART_BYTES, PARTS
from pipeline.cube.restarts import state_digest
from pipeline.digests import DIGEST_BYTES, content_digest, json_digest
from pipeline.errors import DamagedError
from pipeline.simulate.tile_year import MEMBER_FLUXES, CellState
from pipeline.storage.repository import array, attribute, part, subgroup, values, write_values

_COLUMNS: dict[str, tuple[str, tuple[int, ...], str]] = {
    "fingerprint": ("uint8", (len(COMPONENTS), DIGEST_BYTES), "digests of the inputs of the tile-year"),
    "checksum": ("uint8", (DIGEST_BYTES,), "digest of the stored values"),
    "cells": ("int32", (), "modelled cells"),
    "missing_cells": ("int32", (), "modelled cells without a result"),
    "outside_share": ("float64", (), "share of cells with inputs beyond the training range"),
    "balance_residual": ("float64", (), "mean absolute daily carbon balance residual [g C m-2 d-1]"),
    "minimum": ("float64", (len(RANGES),), "smallest value of each layer"),
    "maximum": ("float64", (len(RANGES),), "largest value of each layer"),
    "seconds": ("float64", (), "time taken by the clock [s]"),
    "cpu_seconds": ("float64", (), "processor time of the worker [s]"),
    "restart": ("uint8", (), "the state at the end of the year is kept"),
    "run": ("int32", (), "index into the attribute `runs`"),
    "parts": ("uint8", (len(PARTS), PART_BYTES), "digests of the parts of the stored values"),
    "state": ("uint8", (DIGEST_BYTES,), "digest of the state at the end of the year"),
}
MEMBERS, MEMBER_MONTHS = "members", "member_months"
# Columns of cubes that an ensemble has written; the ledger of a single network has the others alone.
_OF_ENSEMBLES = {
    MEMBERS: ("uint8", (len(MEMBER_FLUXES), PART_BYTES), "digests of the annual fluxes of all members, by flux"),
    MEMBER_MONTHS: ("uint8", (len(MONTH_PARTS), PART_BYTES), "digests of the same by flux and month"),
}
_PARTS_OF_ENSEMBLES = {
    MEMBERS: list(MEMBER_FLUXES),
    MEMBER_MONTHS: [f"{flux} of month {month + 1}" for flux, month in MONTH_PARTS],
}
_DIMENSIONS: dict[str, tuple[str, ...]] = {
    "fingerprint": ("component", "byte"),
    "checksum": ("byte",),
    "minimum": ("range",),
    "maximum": ("range",),
    "parts": ("part", "part_byte"),
    "state": ("byte",),
    MEMBERS: ("flux", "part_byte"),
    MEMBER_MONTHS: ("flux_month", "part_byte"),
}


def create(root: zarr.Group, tiles: Sequence[str]) -> None:
    """Write an empty ledger for these tiles."""
    group = root.create_group("ledger")
    group.attrs.update(
        {
            "tiles": list(tiles),
            "components": list(COMPONENTS),
            "ranges": list(RANGES),
            "parts": list(PARTS),
            "runs": [],
            "failures": {},
            "digests": {},
        }
    )
    group.create_array("year", shape=(0,), dtype="int32", chunks=(64,), dimension_names=("year",))
    for name in _COLUMNS:
        _create_column(group, name, years=0)


def _create_column(group: zarr.Group, name: str, *, years: int) -> None:
    (dtype, shape, meaning), tiles = (_COLUMNS | _OF_ENSEMBLES)[name], len(attribute(group, "tiles"))
    group.create_array(
        name,
        shape=(years, tiles, *shape),
        chunks=(1, tiles, *shape),
        dtype=dtype,
        fill_value=0,
        dimension_names=("year", "tile", *_DIMENSIONS.get(name, ())),
        attributes={"long_name": meaning},
    )


def add_members(root: zarr.Group) -> None:
    """Add the columns of the members of an ensemble that are not there; no tile-year has any of them yet."""
    group = subgroup(root, "ledger")
    absent = [name for name in _OF_ENSEMBLES if attribute(group, name) is None]
    if not absent:
        return
    years = _years(group)
    rows = {year: _read_year(group, year, index) for index, year in enumerate(years)}
    for name in absent:
        _create_column(group, name, years=len(years))
        group.attrs[name] = _PARTS_OF_ENSEMBLES[name]
    for index, (year, columns) in enumerate(rows.items()):
        _write_year(group, year, index, columns | {name: part(group, name, index) for name in absent})


def _names(group: zarr.Group) -> tuple[str, ...]:
    """Return the names of the columns, in the order in which they enter the digests."""
    return (*_COLUMNS, *(name for name in _OF_ENSEMBLES if attribute(group, name) is not None))


def add_years(root: zarr.Group, years: Sequence[int]) -> None:
    """Extend the ledger to these years, which begin with its present ones."""
    group = subgroup(root, "ledger")
    known = array(group, "year").shape[0]
    if len(years) > known:
        for name in _names(group):
            column = array(group, name)
            column.resize((len(years), *column.shape[1:]))
        array(group, "year").resize((len(years),))
        write_values(group, "year", np.asarray(years))
        empty = {str(year): _digest(_columns(group, index)) for index, year in enumerate(years) if index >= known}
        group.attrs["digests"] = attribute(group, "digests") | empty


def begin_run(root: zarr.Group, record: Mapping[str, Any]) -> int:
    """Append the record of a run and return its index."""
    group = subgroup(root, "ledger")
    runs = [*attribute(group, "runs"), dict(record)]
    group.attrs["runs"] = runs
    return len(runs) - 1


class Ledger:
    """The ledger when it was read: recorded fingerprints and failures, in memory (a few MB for the Midwest)."""

    def __init__(self, root: zarr.Group) -> None:
        group = subgroup(root, "ledger")
        self.tiles: list[str] = attribute(group, "tiles")
        with _way_back():
            self.years = _years(group)
            self._columns = {name: values(group, name) for name in _names(group)}
            for index, year in enumerate(self.years):
                _check(group, year, {name: column[index] for name, column in self._columns.items()})
        self.failures: dict[str, str] = attribute(group, "failures")
        self.runs: list[dict[str, Any]] = attribute(group, "runs")
        self._year_index = {year: index for index, year in enumerate(self.years)}
        self._tile_index = {tile: index for index, tile in enumerate(self.tiles)}

    def _place(self, tile: str, year: int) -> tuple[int, int] | None:
        return (self._year_index[year], self._tile_index[tile]) if year in self._year_index else None

    def column(self, name: str) -> NDArray[Any]:
        """A column (year, tile, ...)."""
        return self._columns[name]

    def members(self, tile: str, year: int, column: str = MEMBERS) -> tuple[str, ...]:
        """Digests of `MEMBER_FLUXES`, or of `MEMBER_MONTHS`, in hex; none if no ensemble computed the tile-year."""
        found = self._columns[column][self._place(tile, year)] if column in self._columns else np.zeros((), np.uint8)
        return tuple(digest.tobytes().hex() for digest in np.atleast_2d(found) if digest.any())

    def recorded(self, tile: str, year: int) -> Fingerprint | None:
        """Fingerprint under which the tile-year was computed, or None if it never was."""
        place = self._place(tile, year)
        parts = self._columns["fingerprint"][place] if place else None
        if parts is None or not parts.any():
            return None
        return Fingerprint(tuple(part.tobytes().hex() for part in parts))

    def state(self, tile: str, year: int, current: Fingerprint | None) -> TileYearState:
        """Compare the recorded fingerprint with the present one, if that is known."""
        recorded = self.recorded(tile, year)
        failure = self.failures.get(_key(tile, year))
        if recorded is not None and recorded == current:
            return TileYearState(Status.DONE)
        if failure is not None:
            return TileYearState(Status.FAILED, failure)
        if recorded is None:
            return TileYearState(Status.MISSING)
        if current is None:
            return TileYearState(Status.UNCHECKED)
        return TileYearState(Status.STALE, "changed: " + ", ".join(recorded.differs_in(current)))

    def year_digest(self, year: int) -> str:
        """Digest over the checksums of all tiles of a year; any new result of the year changes it."""
        return self.tiles_digest(year, self.tiles)

    def tiles_digest(self, year: int, tiles: Iterable[str]) -> str:
        """Digest over the checksums of some tiles of a year, in their order, and over the digests of their members.

        Tiles without modelled cells have none.
        """
        known = [self._tile_index[tile] for tile in tiles if tile in self._tile_index]
        columns = [self._columns[name] for name in ("checksum", *_OF_ENSEMBLES) if name in self._columns]
        return json_digest([column[self._year_index[year]][known].tobytes().hex() for column in columns])

    def has_restart(self, tile: str, year: int) -> bool:
        """Return whether the state at the end of that tile-year is kept."""
        place = self._place(tile, year)
        return bool(place and self._columns["restart"][place])


def read_year(root: zarr.Group, year: int) -> dict[str, NDArray[Any]]:
    """Return the columns of a year (tile, ...) by name; raises `DamagedError`."""
    group = subgroup(root, "ledger")
    with _way_back():
        index = _years(group).index(year)
    return _read_year(group, year, index)


def check_state(root: zarr.Group, tile: str, year: int, state: CellState) -> None:
    """Raise `DamagedError` unless the state at the end of a tile-year is the one that was recorded."""
    recorded = read_year(root, year)["state"][attribute(subgroup(root, "ledger"), "tiles").index(tile)]
    if recorded.tobytes().hex() != state_digest(state):
        raise DamagedError(f"restart/{year}: tile {tile} holds another state than was computed")


def _columns(group: zarr.Group, index: int) -> dict[str, NDArray[Any]]:
    return {name: part(group, name, index) for name in _names(group)}


def _read_year(group: zarr.Group, year: int, index: int) -> dict[str, NDArray[Any]]:
    with _way_back():
        found = _columns(group, index)
        _check(group, year, found)
    return found


def _write_year(group: zarr.Group, year: int, index: int, columns: Mapping[str, NDArray[Any]]) -> None:
    for name, column in columns.items():
        array(group, name)[index] = column
    group.attrs["digests"] = attribute(group, "digests") | {str(year): _digest(columns)}


def _digest(columns: Mapping[str, NDArray[Any]]) -> str:
    return content_digest(*columns.values())


def _check(group: zarr.Group, year: int, columns: Mapping[str, NDArray[Any]]) -> None:
    digests = attribute(group, "digests")
    if digests.get(str(year)) != _digest(columns):
        raise DamagedError(f"ledger: the rows of {year} are not those that were written")


@contextmanager
def _way_back() -> Iterator[None]:
    """Add the remedy to a `DamagedError`: nothing else holds what the ledger holds."""
    try:
        yield
    except DamagedError as error:
        raise DamagedError(
            f"{error}; go back to an earlier state with `agcarbon history` and `agcarbon rollback`, then repeat the "
            "command"
        ) from error


def _years(group: zarr.Group) -> list[int]:
    return [int(year) for year in values(group, "year")]


def _key(tile: str, year: int) -> str:
    return f"{tile}/{year}"


def record(root: zarr.Group, rows: Iterable[Row], *, run: int, failures: Mapping[tuple[str, int], str]) -> None:
    """Write rows and failures; call it in the commit that holds their data."""
    group = subgroup(root, "ledger")
    years = _years(group)
    columns = {tile: index for index, tile in enumerate(attribute(group, "tiles"))}
    known: dict[str, str] = attribute(group, "failures")
    by_year: dict[int, list[Row]] = {}
    for row in rows:
        by_year.setdefault(row.year, []).append(row)
        known.pop(_key(row.tile, row.year), None)
    for year, of_year in by_year.items():
        index, places = years.index(year), [columns[row.tile] for row in of_year]
        stored = _read_year(group, year, index)
        table = _table(of_year, run)
        for name, column in stored.items():
            column[places] = np.asarray(table[name], column.dtype)
        _write_year(group, year, index, stored)
    known |= {_key(tile, year): message for (tile, year), message in failures.items()}
    if known != attribute(group, "failures"):
        group.attrs["failures"] = known


def _table(rows: Sequence[Row], run: int) -> dict[str, Any]:
    """Return the columns of rows by name, digests as bytes."""
    plain: dict[str, Any] = {name: [getattr(row, name, run) for row in rows] for name in _COLUMNS}
    return plain | {
        "fingerprint": [[_bytes(digest) for digest in row.fingerprint.parts] for row in rows],
        "checksum": [_bytes(row.checksum) for row in rows],
        "parts": [[_bytes(digest) for digest in row.parts or ("00" * PART_BYTES,) * len(PARTS)] for row in rows],
        "state": [_bytes(row.state or "00" * DIGEST_BYTES) for row in rows],
        **{
            name: [_padded(getattr(row, name), len(parts)) for row in rows]
            for name, parts in _PARTS_OF_ENSEMBLES.items()
        },
    }


def _padded(digests: Sequence[str], count: int) -> list[list[int]]:
    """Return digests as bytes, followed by zeros for those that are absent."""
    return [*map(_bytes, digests), *[[0] * PART_BYTES] * (count - len(digests))]


def _bytes(digest: str) -> list[int]:
    return list(bytes.fromhex(digest))


def forget_restarts(root: zarr.Group, year: int) -> None:
    """Record that the states at the end of `year` are no longer kept."""
    _forget(root, year, ("restart", "state"))


def forget_year(root: zarr.Group, year: int) -> None:
    """Record that all tiles miss the results of `year`."""
    _forget(root, year)


def forget_members(root: zarr.Group) -> None:
    """Record that no tile-year has members."""
    group = subgroup(root, "ledger")
    if names := [name for name in _names(group) if name in _OF_ENSEMBLES]:
        for year in _years(group):
            _forget(root, year, names)


def _forget(root: zarr.Group, year: int, names: Sequence[str] = ()) -> None:
    """Set some columns of a year, or all, to zero."""
    group = subgroup(root, "ledger")
    index = _years(group).index(year)
    columns = _read_year(group, year, index)
    for name in names or columns:
        columns[name][...] = 0
    _write_year(group, year, index, columns)
