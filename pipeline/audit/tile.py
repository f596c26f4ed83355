"""Audit of one tile, by a worker: its recorded years, read one after the other.

Shape legend: N modelled cells of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from functools import lru_cache

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.audit.checks import READING, Measured, check_new_year, check_restart, check_state, check_year
from pipeline.audit.reading import (
    UNREADABLE,
    AuditedYear,
    error_line,
    read_days,
    read_soc_stock,
    read_tile_year,
)
from pipeline.audit.seams import Steps, steps_of
from pipeline.cube import layout as cube
from pipeline.cube import restarts
from pipeline.cube.entry import Fingerprint, Row, Status
from pipeline.cube.layout import PlannedTile
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.run.fingerprints import Science, fingerprints
from pipeline.storage import repository
from pipeline.variables import DAILY, Quality

WITHIN = 0.005  # |dSOC| as a share of the stock, each year: the criterion of the paper (see pipeline.audit.report)
_WINTER_DAYS = 31  # on each side of the new year


@dataclass(frozen=True)
class Snapshots:
    """The cube, and the inputs if there are any, each at one snapshot; small, and sent with each task.

    Attributes
    ----------
    cube, cube_snapshot
        Location of the cube, and its snapshot that is audited.
    inputs, inputs_snapshot
        Location of the inputs store and its newest snapshot; None if there is no such store.
    years
        Years of the chain that are ingested without a gap, from the region's first.
    spin_up
        Spin-up years of the region.
    science
        Model and settings of today's run file; None if its checkpoint cannot be read.
    """

    cube: str
    cube_snapshot: str
    inputs: str | None
    inputs_snapshot: str | None
    years: tuple[int, ...]
    spin_up: tuple[int, int]
    science: Science | None

    def root(self) -> zarr.Group:
        """Open the cube."""
        return _root(self.cube, self.cube_snapshot)

    def view(self) -> InputsView | None:
        """Open the inputs store, if there is one."""
        return open_inputs(self.inputs, self.inputs_snapshot) if self.inputs else None


@lru_cache(maxsize=2)
def _root(location: str, snapshot: str) -> zarr.Group:
    return repository.read(repository.open_existing(location, made_by="agcarbon run"), snapshot=snapshot)


@dataclass(frozen=True)
class TileTask:
    """A tile and its rows in the ledger.

    Attributes
    ----------
    planned
        The tile.
    rows
        Rows of the years to audit, in order.
    recorded
        All years for which the tile has results.
    beside
        The next tiles in the east and south, with the years for which they have results.
    """

    planned: PlannedTile
    rows: tuple[Row, ...]
    recorded: frozenset[int]
    beside: Mapping[Tile, frozenset[int]]


@dataclass(frozen=True)
class StockShare:
    """Numbers of cell-years, and of cells by their mean over all audited years, with |dSOC| within 0.5 % of the stock.

    The stock is soil organic carbon, 0-200 cm; cells for which the soil product has none are not counted.
    """

    cell_years: int = 0
    cell_years_within: int = 0
    cells: int = 0
    cells_within: int = 0

    def __add__(self, other: StockShare) -> StockShare:
        return StockShare(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class YearDone:
    """Results of the audit of a tile-year.

    Attributes
    ----------
    year
        Calendar year.
    measured
        Results of all checks but that of seams.
    state
        Done or stale by today's inputs and weights; None if that is unknown.
    steps
        Steps inside the tile and at its borders, from which seams are found; None if the year cannot be read.
    """

    year: int
    measured: tuple[Measured, ...]
    state: Status | None
    steps: Steps | None


@dataclass(frozen=True)
class TileDone:
    """Results of the audit of a tile."""

    tile: str
    years: tuple[YearDone, ...]
    stock: StockShare


def audit_tile(snapshots: Snapshots, task: TileTask) -> TileDone:
    """Audit the years of a tile; whatever cannot be read is a failure, and the rest is audited all the same."""
    return _TileAudit.of(snapshots, task).run()


@dataclass(frozen=True)
class _TileAudit:
    """The audit of a tile, with the data that all its years share.

    Attributes
    ----------
    root, view
        The cube, and the inputs if there are any.
    task
        The tile.
    mask
        Its modelled cells (rows, cols).
    today
        Fingerprints by today's inputs and weights, of the years that are ingested.
    stock_N
        Soil organic carbon, 0-200 cm [g C m-2]; NaN where unknown.
    """

    root: zarr.Group
    view: InputsView | None
    task: TileTask
    mask: NDArray[np.bool_]
    today: Mapping[int, Fingerprint]
    stock_N: NDArray[np.floating]

    @classmethod
    def of(cls, snapshots: Snapshots, task: TileTask) -> _TileAudit:
        root, view, tile = snapshots.root(), snapshots.view(), task.planned.tile
        mask = cube.read_mask(root, tile).mask
        stock_N = read_soc_stock(view, tile, mask=mask) if view and view.has_soil else np.full(mask.sum(), np.nan)
        return cls(root, view, task, mask, _todays_fingerprints(snapshots, view, task), stock_N)

    def run(self) -> TileDone:
        """Audit all years."""
        done, dsoc_YN = [], []
        for row in self.task.rows:
            try:
                year = self._read(row)
            except UNREADABLE as error:
                done.append(YearDone(row.year, (_unreadable(error),), self._state(row), None))
                continue
            measured = (Measured(READING, 0, len(year.stored.daily) + len(year.stored.annual)), *self._checks(year))
            done.append(YearDone(row.year, measured, self._state(row), self._steps(row.year)))
            dsoc_YN.append(year.annual("dsoc"))
        stock = stock_share(np.stack(dsoc_YN), self.stock_N) if dsoc_YN else StockShare()
        return TileDone(self.task.planned.tile.name, tuple(done), stock)

    def _state(self, row: Row) -> Status | None:
        current = self.today.get(row.year)
        if current is None:
            return None
        return Status.DONE if current == row.fingerprint else Status.STALE

    def _read(self, row: Row) -> AuditedYear:
        tile, current = self.task.planned.tile, self.today.get(row.year)
        year = read_tile_year(self.root, tile, row, mask=self.mask)
        # GPP that was ingested again since then is not what the tile-year was computed from.
        if self.view is None or current is None or "gpp" in row.fingerprint.differs_in(current):
            return year
        return replace(year, gpp_TN=self.view.read_gpp(tile, row.year, mask=self.mask))

    def _checks(self, year: AuditedYear) -> Iterator[Measured]:
        # A state or December that cannot be read is a failure by itself; the other checks have their results anyway.
        yield from check_year(year)
        for check in (self._restart, self._new_year):
            try:
                yield from check(year)
            except UNREADABLE as error:
                yield _unreadable(error)

    def _restart(self, year: AuditedYear) -> Iterator[Measured]:
        """Check the state at the year's end, if it was kept."""
        if not year.row.restart:
            return
        # A cell whose inputs are missing passes its state on unchanged, or has none yet.
        ran_N = (year.annual("quality") & Quality.MISSING) == 0
        place = self.root, self.task.planned.tile, year.row.year
        # Layer by layer, since the state as a whole is the largest array of the cube.
        yield check_restart(
            lambda layer: restarts.read_state_layer(*place, layer=layer, cells=ran_N.size),
            restarts.state_layers(self.root, year.row.year),
            ran_N,
        )
        carried = restarts.read_restart(*place, cells=ran_N.size)
        yield check_state(restarts.state_digest(carried), year.row.state)

    def _new_year(self, year: AuditedYear) -> Iterator[Measured]:
        before, tile = year.row.year - 1, self.task.planned.tile
        if before in self.task.recorded:
            december = read_days(self.root, tile, before, days=slice(-_WINTER_DAYS, None), mask=self.mask)
            january = {variable.name: year.daily(variable.name)[:_WINTER_DAYS] for variable in DAILY}
            yield check_new_year(december, january)

    def _steps(self, year: int) -> Steps:
        beside = [tile for tile, years in self.task.beside.items() if year in years]
        return steps_of(self.root, self.task.planned.tile, year, beside=beside)


def _unreadable(error: Exception) -> Measured:
    return Measured(READING, 1, 1, error_line(error))


def _todays_fingerprints(snapshots: Snapshots, view: InputsView | None, task: TileTask) -> dict[int, Fingerprint]:
    years = [year for year in snapshots.years if year <= max(task.recorded)]
    if view is None or snapshots.science is None or not years:
        return {}
    science, spin_up = snapshots.science, snapshots.spin_up
    return fingerprints(task.planned, years, science=science, digests=view.tile_digests, spin_up=spin_up)


def stock_share(dsoc_YN: NDArray[np.floating], stock_N: NDArray[np.floating]) -> StockShare:
    """Count cell-years, and cells by their mean, whose |dSOC| is at most 0.5 % of the stock a year.

    Parameters
    ----------
    dsoc_YN
        Soil carbon change by year and cell [g C m-2 yr-1], NaN where there is no result.
    stock_N
        Soil organic carbon, 0-200 cm [g C m-2], NaN where it is unknown.

    Examples
    --------
    Losses and gains of 60 g of 10 kg are beyond 0.5 % each year, and none in the mean:

    >>> stock_share(np.array([[60.0], [-60.0]]), np.array([10_000.0]))
    StockShare(cell_years=2, cell_years_within=0, cells=1, cells_within=1)
    """
    share_YN = np.abs(dsoc_YN) / np.where(stock_N > 0, stock_N, np.nan)
    count_N = np.isfinite(share_YN).sum(axis=0)
    total_N = np.abs(np.nansum(dsoc_YN, axis=0)) / np.where(count_N > 0, stock_N, np.nan)
    within_N = total_N <= WITHIN * count_N  # |mean| <= WITHIN, without a division by no year
    return StockShare(
        int(count_N.sum()), int((share_YN <= WITHIN).sum()), int((count_N > 0).sum()), int(within_N.sum())
    )
