"""What the ledger says of a year: which tiles have results, which are out of date, which weights made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import zarr

from model.checkpoint import CheckpointError
from pipeline.cube import layout
from pipeline.cube.ledger import Ledger, Status
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.run.prepare import open_pinned_inputs, plan_run

_NAMED = 3  # tiles named in a note; the others are counted


@dataclass(frozen=True)
class YearRecord:
    """A year as the cube holds it.

    Attributes
    ----------
    tiles
        With results, up to date or not.
    missing
        Names of the tiles that ought to have results and have none.
    stale
        Names of the tiles whose results are not those of today's inputs, weights and code; None if that is not known.
    checkpoints
        Where the weights of the results come from, by their sha256.
    digest
        Of the results themselves.
    """

    year: int
    tiles: tuple[Tile, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...] | None
    checkpoints: Mapping[str, str]
    digest: str

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return "; ".join(sorted(set(self.checkpoints.values())))

    def tags(self) -> dict[str, str]:
        """Return the record as metadata of a file."""
        return {
            "checkpoint_sha256": " ".join(self.checkpoints),
            "checkpoint_origin": self.origin,
            "tiles": str(len(self.tiles)),
            "tiles_missing": " ".join(self.missing) or "none",
            "tiles_stale": "not known" if self.stale is None else " ".join(self.stale) or "none",
        }

    def notes(self) -> Iterator[str]:
        """Yield a sentence for everything that makes the year less than whole."""
        total = len(self.tiles) + len(self.missing)
        if self.missing:
            yield f"{self.year}: {len(self.missing)} of {total} tiles have no result ({_some(self.missing)})"
        if self.stale:
            yield f"{self.year}: {len(self.stale)} of {total} tiles are out of date ({_some(self.stale)})"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


@dataclass(frozen=True)
class Records:
    """Records of some years, and why it is not known whether they are stale, if it is not."""

    years: tuple[YearRecord, ...]
    unknown: str | None

    def notes(self) -> Iterator[str]:
        """Yield a sentence for everything that a user of these years must know."""
        for record in self.years:
            yield from record.notes()
        if self.unknown:
            yield f"whether results are out of date is not known: {self.unknown}"


def read_records(job: Job, root: zarr.Group, *, years: Sequence[int] = (), newest: bool = True) -> Records:
    """Return the records of these years, or of all that have results.

    Whether results are out of date is known of the newest state of the cube alone.

    Raises
    ------
    UserError
        If one of the years, or the whole cube, has no result.
    """
    tiles, ledger = layout.tiles(root), Ledger(root) if "ledger" in root else None
    if tiles is None or ledger is None:
        raise UserError(f"{job.run_file.stores.cube}: no result in it yet; run `agcarbon run {job.path}`")
    held = {
        year: tuple(planned.tile for planned in tiles if ledger.recorded(planned.tile.name, year))
        for year in ledger.years
    }
    with_results = [year for year in held if held[year]]
    absent = [year for year in years if year not in with_results]
    if absent or not with_results:
        named = ", ".join(map(str, absent)) or "any year"
        has = ", ".join(map(str, with_results)) or "none"
        raise UserError(f"the cube has no result of {named}, it has {has}; run `agcarbon run {job.path}`")
    chosen = tuple(years) or tuple(with_results)
    current = _current(job, chosen) if newest else _Current({}, "an earlier state of the cube was asked for")
    names = [planned.tile.name for planned in tiles]
    records = (_record(ledger, year, held=held[year], names=names, current=current.states) for year in chosen)
    return Records(tuple(records), current.unknown)


@dataclass(frozen=True)
class _Current:
    """Names of the tiles that are done, by year, as far as known, and why the rest is not known."""

    states: Mapping[int, frozenset[str]]
    unknown: str | None = None


def _current(job: Job, years: Sequence[int]) -> _Current:
    try:
        plan = plan_run(job, open_pinned_inputs(job), years=years)
    except (UserError, CheckpointError) as error:
        # Inputs and weights may have been moved away; the results are good without them.
        return _Current({}, str(error))
    done = {
        year: frozenset(tile for (tile, of), state in plan.states.items() if of == year and state.status is Status.DONE)
        for year in plan.years
    }
    blocked = ", ".join(f"{year} ({', '.join(products)})" for year, products in plan.blocked.items())
    return _Current(done, f"not ingested: {blocked}" if blocked else None)


def _record(
    ledger: Ledger, year: int, *, held: tuple[Tile, ...], names: Sequence[str], current: Mapping[int, frozenset[str]]
) -> YearRecord:
    held_names = [tile.name for tile in held]
    stale = tuple(name for name in held_names if name not in current[year]) if year in current else None
    index = ledger.years.index(year)
    runs = ledger.column("run")[index, [ledger.tiles.index(name) for name in held_names]]
    weights = [ledger.runs[index]["checkpoint"] for index in sorted(set(runs.tolist()))]
    return YearRecord(
        year=year,
        tiles=held,
        missing=tuple(name for name in names if name not in held_names),
        stale=stale,
        checkpoints={each["sha256"]: each["record"].get("origin", "origin not recorded") for each in weights},
        digest=ledger.year_digest(year),
    )
