"""Provenance of a year: the tiles with results, those that are out of date, and the weights that made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import zarr

from model.checkpoint import CheckpointError
from pipeline.cube import layout
from pipeline.cube.entry import Status
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Tile
from pipeline.job import Job
from pipeline.run.plan import blocked_spans
from pipeline.run.prepare import open_pinned_inputs, plan_run

_NAMED = 3  # tiles that a note names; the others are counted


@dataclass(frozen=True)
class YearRecord:
    """Provenance of the results of one year in the cube.

    Attributes
    ----------
    tiles
        Tiles with results, up to date or not.
    missing
        Names of the tiles with modelled cells, but without results.
    stale
        Names of the tiles whose results differ from those of the current inputs, weights and code; None if unknown.
    checkpoints
        Origin of the weights that made the results, by their SHA-256.
    digest
        Digest of the results.
    """

    year: int
    tiles: tuple[Tile, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...] | None
    checkpoints: Mapping[str, str]
    digest: str

    @property
    def origin(self) -> str:
        """Origins of the weights, as text."""
        return "; ".join(sorted(set(self.checkpoints.values())))

    def tags(self) -> dict[str, str]:
        """Return the record as metadata for an exported file."""
        return {
            "checkpoint_sha256": " ".join(self.checkpoints),
            "checkpoint_origin": self.origin,
            "tiles": str(len(self.tiles)),
            "tiles_missing": " ".join(self.missing) or "none",
            "tiles_stale": "unknown" if self.stale is None else " ".join(self.stale) or "none",
        }

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each deficiency of the year."""
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
    """Records of some years.

    Attributes
    ----------
    years
        One record for each year.
    unknown
        Reason why it is unknown whether results are out of date; None if it is known.
    """

    years: tuple[YearRecord, ...]
    unknown: str | None

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each deficiency that a user of these years must know."""
        for record in self.years:
            yield from record.notes()
        if self.unknown:
            yield f"it is unknown whether results are out of date: {self.unknown}"


def read_records(job: Job, root: zarr.Group, *, years: Sequence[int] = (), newest: bool = True) -> Records:
    """Return the records of some years, or of all years with results.

    Whether results are out of date can be determined for the newest state of the cube only.

    Raises
    ------
    UserError
        If one of the years, or the entire cube, has no results.
    """
    # Both are absent before the masks are complete.
    tiles, ledger = layout.tiles(root), Ledger(root) if "ledger" in root else None
    if tiles is None or ledger is None:
        raise UserError(f"{job.stores.cube}: no results in this cube yet; run `agcarbon run {job.path}`")
    held = {
        year: tuple(planned.tile for planned in tiles if ledger.recorded(planned.tile.name, year))
        for year in ledger.years
    }
    with_results = [year for year in held if held[year]]
    absent = [year for year in years if year not in with_results]
    if absent or not with_results:
        named = ", ".join(map(str, absent)) or "any year"
        has = ", ".join(map(str, with_results)) or "none"
        raise UserError(
            f"{job.stores.cube}: no results of {named} (years with results: {has}); run `agcarbon run {job.path}`"
        )
    chosen = tuple(years) or tuple(with_results)
    current, unknown = _current(job, chosen) if newest else ({}, "this is an earlier state of the cube")
    names = [planned.tile.name for planned in tiles]
    records = (_record(ledger, year, held=held[year], names=names, current=current) for year in chosen)
    return Records(tuple(records), unknown)


def _current(job: Job, years: Sequence[int]) -> tuple[dict[int, frozenset[str]], str | None]:
    """Return the names of the tiles that are up to date, by year, and the reason why years are absent, if any are."""
    try:
        plan = plan_run(job, open_pinned_inputs(job), years=years)
    except (UserError, CheckpointError) as error:
        # Inputs and weights may have been moved away since; the results are valid without them.
        return {}, str(error)
    done = {
        year: frozenset(tile for (tile, of), state in plan.states.items() if of == year and state.status is Status.DONE)
        for year in plan.years
    }
    blocked = ", ".join(f"{years} ({products})" for years, products in blocked_spans(plan.blocked))
    return done, f"not ingested: {blocked}" if blocked else None


def _record(
    ledger: Ledger, year: int, *, held: tuple[Tile, ...], names: Sequence[str], current: Mapping[int, frozenset[str]]
) -> YearRecord:
    held_names = [tile.name for tile in held]
    stale = tuple(name for name in held_names if name not in current[year]) if year in current else None
    index = ledger.years.index(year)
    # Tiles of one year may come from several runs, and these from several checkpoints.
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
