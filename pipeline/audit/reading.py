"""Reading for the audit: a tile-year as it is stored in the cube, and its row in the ledger.

Shape legend: N modelled cells of a tile, T days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from icechunk import IcechunkError
from numpy.typing import NDArray

from model.arrays import MONTHS, Floats, MemberSums
from pipeline.cube import layout, members
from pipeline.cube.entry import Fingerprint, Row
from pipeline.cube.layout import StoredYear
from pipeline.cube.ledger import MEMBER_MONTHS, MEMBERS, Ledger
from pipeline.cube.parts import MONTH_PARTS
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView
from pipeline.storage.repository import array
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, Variable

# Errors of a damaged or missing chunk on the way through Icechunk, Zarr's sharding and Blosc.
UNREADABLE = (IcechunkError, OSError, KeyError, ValueError, RuntimeError)

_FIELDS = ("cells", "missing_cells", "outside_share", "balance_residual", "seconds", "cpu_seconds", "restart")


@dataclass(frozen=True)
class AuditedYear:
    """A tile-year as stored, and its row in the ledger.

    Attributes
    ----------
    stored
        Values on the cells of the mask.
    row
        Row that was recorded with them.
    outside
        Number of values outside the mask that are not empty.
    members
        Sums of an ensemble's members as they are stored, where the ledger has digests of them; months of zero length
        where it has none of these.
    gpp_TN
        Daily input GPP [g C m-2 d-1], where the inputs store still has the GPP that the tile-year was computed from.
    """

    stored: StoredYear
    row: Row
    outside: int
    members: MemberSums | None = None
    gpp_TN: Floats | None = None

    def daily(self, name: str) -> Floats:
        """A daily flux (T, N) [g C m-2 d-1]."""
        return self.stored.daily[name]

    def annual(self, name: str) -> NDArray[Any]:
        """An annual layer (N,), reals in double precision."""
        layer = self.stored.annual[name]
        return layer.astype(np.float64) if np.issubdtype(layer.dtype, np.floating) else layer


def recorded_rows(known: Ledger, tile: str) -> dict[int, Row]:
    """Return the ledger's rows of a tile by year."""
    prints = {year: known.recorded(tile, year) for year in known.years}
    return {year: _row(known, tile, year, fingerprint=found) for year, found in prints.items() if found}


def _row(known: Ledger, tile: str, year: int, *, fingerprint: Fingerprint) -> Row:
    place = known.years.index(year), known.tiles.index(tile)
    facts: dict[str, Any] = {name: known.column(name)[place].item() for name in _FIELDS}
    facts |= {name: tuple(known.column(name)[place].tolist()) for name in ("minimum", "maximum")}
    facts |= {name: known.column(name)[place].tobytes().hex() for name in ("checksum", "state")}
    facts |= {name: known.members(tile, year, name) for name in (MEMBERS, MEMBER_MONTHS)}
    return Row(tile=tile, year=year, fingerprint=fingerprint, **facts)


def read_tile_year(root: zarr.Group, tile: Tile, row: Row, *, mask: NDArray[np.bool_]) -> AuditedYear:
    """Read a tile-year from the cube; raises one of `UNREADABLE` where that fails."""
    window, index = layout.identity(root).grid.window(tile), row.year - layout.identity(root).first_year
    daily, annual, outside = {}, {}, 0
    for variable in DAILY:
        whole = np.asarray(array(root, f"daily/{row.year}/{variable.name}")[:, *window])
        daily[variable.name] = whole[:, mask]
        outside += _filled(whole, mask, variable)
    # Layers of an ensemble are there for the whole cube as soon as one computed any of it.
    for variable in (*ANNUAL, *(std for std in ENSEMBLE_STD.values() if f"annual/{std.name}" in root)):
        whole = np.asarray(array(root, f"annual/{variable.name}")[index, *window])
        annual[variable.name] = whole[mask]
        outside += _filled(whole, mask, variable)
    # Where the ledger has none, a single network computed the tile-year, or an earlier version.
    own = _members(root, tile, row, mask=mask) if row.members else None
    stored = StoredYear(mask, daily, annual)
    return AuditedYear(stored if row.members else _as_written(stored), row, outside, own)


def _members(root: zarr.Group, tile: Tile, row: Row, *, mask: NDArray[np.bool_]) -> MemberSums:
    """Return the sums of the members; without months if an earlier version computed the tile-year."""
    annual_MVN = members.read(root, tile, row.year, mask=mask)
    months_M3KN = np.empty((len(annual_MVN), len(DAILY), MONTHS, mask.sum() if row.member_months else 0), np.float32)
    if row.member_months:
        for place, month_part in zip(np.ndindex(len(DAILY), MONTHS), MONTH_PARTS, strict=True):
            months_M3KN[:, *place] = members.read_month(root, tile, row.year, month_part, mask=mask)
    return MemberSums(annual_MVN, months_M3KN)


def _filled(whole: NDArray[Any], mask: NDArray[np.bool_], variable: Variable) -> int:
    """Count values outside the mask that are not the fill value."""
    beyond = whole[..., ~mask]
    empty = np.isnan(beyond) if np.isnan(variable.fill_value) else beyond == variable.fill_value
    return int(beyond.size - np.count_nonzero(empty))


def _as_written(stored: StoredYear) -> StoredYear:
    """Leave out an ensemble's standard deviations if a single network computed the tile-year.

    It leaves them empty where it has results, and its checksum is that of the other layers.
    """
    deviations = [variable.name for variable in ENSEMBLE_STD.values() if variable.name in stored.annual]
    has_results = np.isfinite(stored.annual["nee"]).any()
    by_ensemble = any(np.isfinite(stored.annual[name]).any() for name in deviations)
    if by_ensemble or not has_results:
        return stored
    kept: dict[str, NDArray[np.generic]] = {n: layer for n, layer in stored.annual.items() if n not in deviations}
    return StoredYear(stored.mask, stored.daily, kept)


def read_days(root: zarr.Group, tile: Tile, year: int, *, days: slice, mask: NDArray[np.bool_]) -> Mapping[str, Floats]:
    """Return the daily fluxes (T, N) of some days of a year by name."""
    window = layout.identity(root).grid.window(tile)
    return {v.name: np.asarray(array(root, f"daily/{year}/{v.name}")[days, *window])[:, mask] for v in DAILY}


def read_soc_stock(view: InputsView, tile: Tile, *, mask: NDArray[np.bool_]) -> Floats:
    """Return soil organic carbon, 0-200 cm, (N,) [g C m-2]; NaN where the soil product has none."""
    return np.asarray(array(view.root, "soil/soc_stock_200")[view.grid.window(tile)])[mask]


def error_line(error: Exception) -> str:
    """Return the type of an error and the first line of its message.

    Examples
    --------
    >>> error_line(KeyError("daily/2012"))
    "KeyError: 'daily/2012'"
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
