"""What an ingest found and did, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pipeline.ingest.plan import Absent, ProductYear
from pipeline.inputs.layout import LEADING, Record


@dataclass(frozen=True)
class ReportRow:
    """One product-year of a report; `before` is how it was ingested earlier, `record` how it is now."""

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
        """What became of it: a product-year that was read again may hold what it held before."""
        if self.wanted.kept_because:
            return "kept"
        if self.record is self.before:
            return "unchanged"
        if self.before is None:
            return "ingested"
        return "read again, same content" if self.before.digest == self.record.digest else "changed"

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table shows of it."""
        record, leading = self.record, LEADING[self.product]
        unit = "" if leading.units == "1" else f" {leading.units}"
        span = "" if record.minimum is None else f"{record.minimum:.3g} to {record.maximum:.3g}"
        return (
            self.wanted.group,
            f"{record.files:,}",
            f"{record.missing / record.cells:.1%}",
            f"{leading.name} {span}{unit}",
            record.digest[:8],
            self.state,
        )

    @property
    def remarks(self) -> Iterator[str]:
        """What was counted on the way and what the numbers can be traced to, if it was read; why it was kept, if so."""
        if self.wanted.kept_because:
            yield f"{self.wanted.group}: kept as it was ingested, since {self.wanted.kept_because}"
        if self.record is self.before:
            return
        counts = [f"{count:,} {what}" for what, count in self.record.counts.items() if count]
        if counts:
            yield f"{self.wanted.group}: {', '.join(counts)}"
        yield from (f"{self.wanted.group}: {topic}: {note}" for topic, note in self.record.notes.items())


@dataclass(frozen=True)
class IngestReport:
    """What an ingest found and did: product-years in the store, those that no archive holds, and what failed.

    `damaged` are files of the archives of which not even the year is known.
    """

    rows: tuple[ReportRow, ...]
    absent: tuple[Absent, ...] = ()
    damaged: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    def __rich__(self) -> Group:
        """Return a table for the terminal, and what is to be said below it."""
        table = Table(title="Inputs store", box=None, pad_edge=False)
        for heading in ("", "files", "missing", "range", "digest", ""):
            table.add_column(heading, no_wrap=True)
        for row in self.rows:
            table.add_row(*row.cells)
        below = [remark for row in self.rows for remark in row.remarks]
        below += [f"left out: {damaged}" for damaged in self.damaged]
        below += [f"{one.group} waits: {one.reason}" for one in self.absent]
        return Group(table, *map(Text, below))  # as they are: paths may hold brackets
