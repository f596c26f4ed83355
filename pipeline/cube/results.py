"""Results of a year as commands read them: each part of a tile-year is compared with its digest in the ledger.

Shape legend: N modelled cells of a tile, T days, M members, V fluxes of a member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.cube import layout, members
from pipeline.cube.layout import ROUNDED
from pipeline.cube.ledger import MEMBER_MONTHS, MEMBERS, read_year
from pipeline.cube.parts import MONTH_PARTS, PART_DAYS, PARTS, MonthPart, daily_part, part_digest
from pipeline.errors import DamagedError
from pipeline.grid.sinusoidal import Tile
from pipeline.simulate.tile_year import MEMBER_FLUXES
from pipeline.storage import cf
from pipeline.storage.repository import attribute, part, subgroup
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried
from pipeline.variables import DAILY

Mask = NDArray[np.bool_]
Box: TypeAlias = tuple[slice, slice]
"""Rows and columns of a tile, counted from its own corner."""
WHOLE: Box = (slice(None), slice(None))


def within(mask: Mask, box: Box) -> Mask:
    """Return which of the modelled cells of a tile lie in some of its rows and columns (N,)."""
    inside = np.zeros_like(mask)
    inside[box] = True
    return inside[mask]


@dataclass(frozen=True)
class CheckedYear:
    """The results of a year in a cube; its methods raise `DamagedError` where they are not those that were computed."""

    root: zarr.Group
    year: int
    policy: RetryPolicy = BY_DEFAULT

    @property
    def days(self) -> int:
        """Number of days."""
        return cf.days_in_year(self.year)

    def computed(self, tile: Tile) -> bool:
        """Return whether the tile has a result of the year."""
        recorded = self._columns["parts"].get(tile.name)
        return recorded is not None and bool(recorded.any())

    def mask(self, tile: Tile) -> Mask:
        """Return the modelled cells of a tile (rows, cols)."""
        return retried(lambda: layout.read_mask(self.root, tile).mask, self.policy)

    def layer(self, tile: Tile, name: str, mask: Mask) -> NDArray[Any]:
        """Return an annual layer (N,)."""
        place = self.year - layout.identity(self.root).first_year
        found = self._read(tile, f"annual/{name}", place, WHOLE)[mask]
        self._check(tile, name, found)
        return found

    def flux(self, tile: Tile, name: str, mask: Mask, *, days: slice) -> NDArray[Any]:
        """Return a daily flux (T, N) on some days."""
        first, last, _ = days.indices(self.days)
        begin = first - first % PART_DAYS
        found = np.concatenate(list(self._parts(tile, name, mask, range(begin, last, PART_DAYS))))
        return found[first - begin : last - begin]

    def flux_in(self, tile: Tile, name: str, mask: Mask, *, box: Box) -> NDArray[Any]:
        """Return a daily flux of the year (T, N) at the modelled cells in some rows and columns of a tile.

        Its digest would need the days of the whole tile. Its sums over the year are compared instead with the annual
        layer, which has a digest of its own: to the rounding of the stored days. Days in another order would pass.
        """
        found_TN = self._read(tile, f"daily/{self.year}/{name}", slice(None), box)[:, mask[box]]
        annual_N = self.layer(tile, name, mask)[within(mask, box)].astype(np.float64)
        sum_N, magnitude_N = (each.sum(axis=0, dtype=np.float64) for each in (found_TN, np.abs(found_TN)))
        equal_N = np.abs(sum_N - annual_N) <= ROUNDED * magnitude_N
        if not np.where(np.isnan(annual_N), np.isnan(found_TN).all(axis=0), equal_N).all():
            raise self._damaged(tile, f"daily {name} has other values than were computed")
        return found_TN

    def of_members(self, tile: Tile, mask: Mask) -> NDArray[np.float32] | None:
        """Return the annual `MEMBER_FLUXES` of each member of an ensemble (M, V, N), or None where there are none."""
        if not (recorded := self._of_members(MEMBERS, tile)):
            return None
        found_MVN = self._read_members(tile, lambda: members.read(self.root, tile, self.year, mask=mask))
        # GPP, the last, has no digest where it is not drawn.
        for number, (name, digest) in enumerate(zip(MEMBER_FLUXES, recorded, strict=False)):
            if number < found_MVN.shape[1]:
                self._check_members(tile, name, found_MVN[:, number], digest)
        return found_MVN

    def member_month(self, tile: Tile, part: MonthPart, mask: Mask) -> NDArray[np.float32] | None:
        """Return a month of a flux of each member less their mean (M, N) [g C m-2], or None where there are none."""
        if not (recorded := self._of_members(MEMBER_MONTHS, tile)):
            return None
        found_MN = self._read_members(tile, lambda: members.read_month(self.root, tile, self.year, part, mask=mask))
        name = f"{part[0]} of {self.year}-{part[1] + 1:02d}"
        self._check_members(tile, name, found_MN, recorded[MONTH_PARTS.index(part)])
        return found_MN

    def month_of_members(self, tile: Tile, mask: Mask, month: int) -> NDArray[np.float32] | None:
        """Return a month, from 0, of all fluxes of `DAILY` (M, fluxes, N), or None where there are no members."""
        found = [self.member_month(tile, (flux.name, month), mask) for flux in DAILY]
        known = [of_flux for of_flux in found if of_flux is not None]
        return np.stack(known, axis=1) if known else None

    def _of_members(self, column: str, tile: Tile) -> Sequence[str]:
        """Return the digests in a column of the ledger; none where no ensemble computed the tile-year."""
        recorded = self._columns.get(column, {}).get(tile.name)
        return () if recorded is None or not recorded.any() else [digest.tobytes().hex() for digest in recorded]

    def _read_members(self, tile: Tile, read: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return retried(read, self.policy)
        except DamagedError as error:
            raise self._damaged_members(tile, str(error)) from error

    def _check_members(self, tile: Tile, name: str, found: NDArray[np.float32], digest: str) -> None:
        if part_digest(found) != digest:
            cause = f"{name} of the members of the ensemble has other values than were computed"
            raise self._damaged_members(tile, cause)

    def _damaged_members(self, tile: Tile, cause: str) -> DamagedError:
        return DamagedError(
            f"tile {tile.name}, year {self.year}: {cause}; compute it again with `agcarbon run --tile {tile.name}`"
        )

    def _parts(self, tile: Tile, name: str, mask: Mask, firsts: range) -> Iterator[NDArray[Any]]:
        for first in firsts:
            days = slice(first, min(first + PART_DAYS, self.days))
            found_TN = self._read(tile, f"daily/{self.year}/{name}", days, WHOLE)[:, mask]
            self._check(tile, daily_part(name, first), found_TN)
            yield found_TN

    def _read(self, tile: Tile, path: str, place: int | slice, box: Box) -> NDArray[Any]:
        rows, cols = layout.identity(self.root).grid.window(tile)
        inside = (range(rows.start, rows.stop)[box[0]], range(cols.start, cols.stop)[box[1]])
        where = (place, *(slice(each.start, each.stop) for each in inside))
        try:
            return retried(lambda: part(self.root, path, where), self.policy)
        except DamagedError as error:
            raise self._damaged(tile, str(error)) from error

    def _check(self, tile: Tile, name: str, found: NDArray[Any]) -> None:
        recorded = self._columns["parts"][tile.name][PARTS.index(name)]
        # Where a single network computed a tile-year, the layers of an ensemble are empty, and have no digest.
        intact = part_digest(found) == recorded.tobytes().hex() if recorded.any() else bool(np.isnan(found).all())
        if not intact:
            raise self._damaged(tile, f"{name} has other values than were computed")

    def _damaged(self, tile: Tile, cause: str) -> DamagedError:
        return DamagedError(
            f"tile {tile.name}, year {self.year}: {cause}; `agcarbon audit --rerun FILE` finds all damage of the cube, "
            "and `agcarbon run --from-audit FILE` computes it again"
        )

    @cached_property
    def _columns(self) -> dict[str, dict[str, NDArray[np.uint8]]]:
        """Digests of the parts, and of the members if there are any, (..., bytes) of each tile."""
        row = retried(lambda: read_year(self.root, self.year), self.policy)
        tiles = attribute(subgroup(self.root, "ledger"), "tiles")
        return {
            name: dict(zip(tiles, row[name], strict=True)) for name in ("parts", MEMBERS, MEMBER_MONTHS) if name in row
        }
