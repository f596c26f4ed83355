"""Report of an ingest, as a table and remarks for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.ingest.plan import Absent, ProductYear
from pipeline.inputs.layout import LEADING, Record


@dataclass(frozen=True)
class ReportRow:
    """One product-year of a report, with its record now and `before` the ingest."""

    wanted: ProductYear
    record: Record
    before: Record | None

    @property
    def product(self) -> str:
        """Name of the product."""
        return self.wanted.product

    @property
    def year(self) -> int | None:
        """Year, or None for soil."""
        return self.wanted.year

    @property
    def state(self) -> str:
        """Outcome: one that was read again may still have the content it had before."""
        if self.wanted.kept_because:
            return "kept"
        if self.record is self.before:
            return "unchanged"
        if self.before is None:
            return "ingested"
        return "read again, same content" if self.before.digest == self.record.digest else "changed"

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        record, leading = self.record, LEADING[self.product]
        unit = "" if leading.units == "1" else f" {leading.units}"
        span = "" if record.minimum is None else f"{record.minimum:z.3g} to {record.maximum:z.3g}"
        return (
            self.wanted.group,
            f"{record.files:,}",
            f"{record.missing_share:.1%}",
            f"{leading.name} {span}{unit}",
            record.digest[:8],
            self.state,
        )

    def as_json(self) -> dict[str, Any]:
        """Return product, year, state, and the provenance in the store, as JSON values."""
        record = asdict(self.record)
        kept = ("files", "size_bytes", "cells", "missing", "minimum", "maximum", "counts", "digest", "notes")
        return {"product": self.product, "year": self.year, "state": self.state} | {name: record[name] for name in kept}

    @property
    def remarks(self) -> Iterator[str]:
        """Counts and notes if it was read; the reason if it was kept without its archive."""
        if self.wanted.kept_because:
            yield f"{self.wanted.group}: kept as ingested, since it could not be compared: {self.wanted.kept_because}"
        if self.record is self.before:
            return
        counts = [f"{name}: {count:,}" for name, count in self.record.counts.items() if count]
        if counts:
            yield f"{self.wanted.group}: {'; '.join(counts)}"
        yield from (f"{self.wanted.group}: {topic}: {note}" for topic, note in self.record.notes.items())


@dataclass(frozen=True)
class IngestReport:
    """Outcome of an ingest.

    Attributes
    ----------
    rows
        Product-years in the store.
    absent
        Product-years that are in no archive.
    damaged
        Files of unknown year that cannot be opened.
    failures
        Product-years that could not be read, with the reasons.
    stopped
        Whether the ingest ended early, because a stop was requested: the other product-years are as they were before.
    """

    rows: tuple[ReportRow, ...]
    absent: tuple[Absent, ...] = ()
    damaged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    stopped: bool = False

    def last_line(self) -> str:
        """Return the numbers of product-years by their state, and of those that are absent or failed."""
        count = Counter(row.state for row in self.rows)
        count |= Counter({"absent": len(self.absent), "failed": len(self.failures)})
        numbers = ", ".join(f"{number} {state}" for state, number in (+count).items()) or "none"
        return f"product-years: {numbers}{'; stopped before all were read' if self.stopped else ''}"

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; docs/json.md lists their keys."""
        return {
            "product_years": [row.as_json() for row in self.rows],
            "absent": [asdict(absent) for absent in self.absent],
            "damaged": self.damaged,
            "failures": self.failures,
            "stopped": self.stopped,
        }

    def __rich__(self) -> Group:
        """Return a table for the terminal, and remarks below it."""
        table = Table(title="Inputs store", box=None, pad_edge=False)
        for heading in ("product", "files", "missing", "range", "digest", "state"):
            table.add_column(heading, no_wrap=True)
        for row in self.rows:
            table.add_row(*row.cells)
        below = [remark for row in self.rows for remark in row.remarks]
        below += [f"left out: {damaged}" for damaged in self.damaged]
        below += [f"{one.group} is not ingested: {one.reason}" for one in self.absent]
        return Group(table, *map(Text, below))  # as they are: paths may hold brackets
