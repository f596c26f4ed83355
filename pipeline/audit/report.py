"""Results of an audit: a table for people, JSON for programs, and the list that `agcarbon run --from-audit` takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from pipeline.audit.checks import AGGREGATES, CHECKS, COORDINATES, TOTALS, Check, Measured
from pipeline.audit.tile import StockShare
from pipeline.errors import UserError

FORMAT = "agcarbon-rerun-1"
PAPER_SHARE = 0.86  # of pixels within 0.5 % a year, 21-year means: Liu et al. 2024, doi:10.1038/s41467-023-43860-5


@dataclass(frozen=True)
class Failure:
    """A check that a tile-year does not pass; `tile` is empty where the check is of a year of the region."""

    check: str
    tile: str
    year: int
    worst: float
    why: str
    rerun: bool

    def __str__(self) -> str:
        place = f"{self.tile} {self.year}".strip()
        return f"{self.check}: {place}: {self.worst:.3g}" + (f" ({self.why})" if self.why else "")


@dataclass
class CheckSummary:
    """The results of one check so far."""

    check: Check
    places: int = 0
    values: int = 0
    worst: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def add(self, tile: str, year: int, measured: Measured) -> None:
        """Add a result; one that compared no value is not counted."""
        if not measured.values:
            return
        self.places += 1
        self.values += measured.values
        self.worst = float(np.maximum(self.worst, measured.worst))  # NaN, a failure of any limit, stays
        if not measured.passes:
            check = self.check
            self.failures.append(Failure(check.name, tile, year, measured.worst, measured.why, check.rerun))

    @property
    def verdict(self) -> str:
        """`ok`, `failed`, or that nothing was measured."""
        if not self.places:
            return "not measured"
        return f"{len(self.failures)} failed" if self.failures else "ok"

    def as_json(self) -> dict[str, Any]:
        """The check and its results, as JSON values."""
        check = self.check
        # The keys are an interface to other programs, and keep their names.
        return {
            "name": check.name, "what": check.title, "unit": check.unit, "limit": check.limit, "rerun": check.rerun,
            "places": self.places, "values": self.values, "worst": self.worst, "verdict": self.verdict,
        }  # fmt: skip


@dataclass
class AuditReport:
    """Results of an audit.

    Attributes
    ----------
    cube, snapshot
        Location of the cube, and its snapshot that was audited.
    tile_years
        Number of tile-years audited.
    stale
        Number of these that today's inputs or weights would change. They are compared with the record made when they
        were computed.
    unknown
        Number of these for which that is unknown, since inputs or weights are missing.
    stock
        Soil carbon change compared with the stock.
    notes
        Sentences about checks that were not made, with the reason.
    checks
        Results by the name of the check.
    """

    cube: str
    snapshot: str
    tile_years: int = 0
    stale: int = 0
    unknown: int = 0
    stock: StockShare = field(default_factory=StockShare)
    notes: list[str] = field(default_factory=list)
    checks: dict[str, CheckSummary] = field(
        default_factory=lambda: {check.name: CheckSummary(check) for check in CHECKS}
    )

    def add(self, tile: str, year: int, measured: Measured) -> None:
        """Add the result of a check."""
        self.checks[measured.check.name].add(tile, year, measured)

    @property
    def failures(self) -> list[Failure]:
        """All failures, by tile and year."""
        found = [failure for summary in self.checks.values() for failure in summary.failures]
        return sorted(found, key=lambda failure: (failure.tile, failure.year))

    @property
    def ok(self) -> bool:
        """Whether something was measured and all of it passes."""
        return self.tile_years > 0 and not self.failures

    @property
    def largest_relative(self) -> float:
        """Largest relative difference between stored values and values computed again."""
        return float(np.max([summary.worst for summary in self.checks.values() if summary.check.relative]))

    def last_line(self) -> str:
        """The verdict in a line."""
        if not self.tile_years:
            return "audit failed: nothing was audited, since the cube records no such tile-year"
        if self.ok:
            return f"audit ok: {self.tile_years} tile-years, largest relative difference {self.largest_relative:.2e}"
        failures = self.failures
        places = {(failure.tile, failure.year) for failure in failures}
        names = sorted({failure.check for failure in failures})
        return (
            f"audit failed: {len(places)} of {self.tile_years} tile-years fail {', '.join(names)}; first: {failures[0]}"
        )

    def table(self) -> Table:
        """One row per check."""
        table = Table(title=f"Audit: {self.cube}", box=SIMPLE)
        table.add_column("check")
        for heading in ("values", "worst", "limit", "verdict"):
            table.add_column(heading, justify="left" if heading == "verdict" else "right", no_wrap=True)
        for summary in self.checks.values():
            check, worst = summary.check, f"{summary.worst:.3g}" if summary.places else "-"
            unit = "" if check.unit in ("relative", "ratio") else f" ({check.unit})"
            title = f"{check.name}: {check.title}{unit}"
            table.add_row(title, f"{summary.values:,}", worst, f"{check.limit:.3g}", summary.verdict)
        return table

    def remarks(self) -> Iterator[str]:
        """Yield sentences to be read beside the table."""
        yield f"snapshot {self.snapshot}; {self.stale} of the tile-years audited are stale"
        if self.unknown:
            yield f"{self.unknown} tile-years could not be compared with today's inputs or weights"
        yield from self.notes
        if any(failure.rerun for failure in self.failures):
            yield (
                "repair: `agcarbon audit --rerun FILE` lists the tile-years, and `agcarbon run --from-audit FILE` "
                "computes them again"
            )
        if any(failure.check in (AGGREGATES.name, TOTALS.name) for failure in self.failures):
            yield "repair: once all tile-years are well, `agcarbon aggregate --again` makes the aggregates again"
        if any(failure.check == COORDINATES.name for failure in self.failures):
            yield "repair: `agcarbon rollback` to a state whose coordinates are well; no results depend on them"
        stock = self.stock
        if stock.cell_years:
            of_years, of_cells = stock.cell_years_within / stock.cell_years, stock.cells_within / stock.cells
            yield (
                f"|dSOC| is within 0.5 % of the 0-200 cm stock a year in {of_years:.1%} of {stock.cell_years:,} "
                f"cell-years, and in {of_cells:.1%} of {stock.cells:,} cells by their mean over the audited years; "
                f"Liu et al. 2024: {PAPER_SHARE:.0%} of pixels by 21-year means"
            )
        else:
            yield "|dSOC| compared with the 0-200 cm stock: not measured, since the inputs store has no such stock"

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        checks = {name: summary.as_json() for name, summary in self.checks.items()}
        return {
            "ok": self.ok, "line": self.last_line(), "cube": self.cube, "snapshot": self.snapshot,
            "tile_years": self.tile_years, "stale": self.stale, "unknown": self.unknown, "notes": self.notes,
            "stock": asdict(self.stock), "checks": checks, "failures": [asdict(failure) for failure in self.failures],
        }  # fmt: skip

    def rerun_json(self) -> str:
        """The tile-years that computing again can fix, each with the checks that fail, as `read_rerun` takes them."""
        why: dict[tuple[str, int], list[str]] = {}
        for failure in self.failures:
            if failure.rerun:
                why.setdefault((failure.tile, failure.year), []).append(failure.check)
        listed = [{"tile": tile, "year": year, "why": ", ".join(names)} for (tile, year), names in why.items()]
        return json.dumps(
            {"format": FORMAT, "cube": self.cube, "snapshot": self.snapshot, "tile_years": listed}, indent=2
        )


def read_rerun(path: Path) -> dict[str, int]:
    """Return the tiles of a rerun list, each with the first year to compute again: later years follow from it.

    Raises
    ------
    UserError
        If the file is not such a list, or names no tile-year.
    """
    try:
        raw: Any = json.loads(path.read_text())
        if raw["format"] != FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        listed = [(str(entry["tile"]), int(entry["year"])) for entry in raw["tile_years"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a list of `agcarbon audit --rerun` ({error})") from None
    if not listed:
        raise UserError(f"{path}: lists no tile-year; there is nothing to compute again")
    return {tile: min(year for name, year in listed if name == tile) for tile, _ in listed}
