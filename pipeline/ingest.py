"""Archives -> inputs store: read in parallel what is new, commit each product-year whole.

A product-year whose files changed is read again: its old data stay visible until the new ones are committed, together
with their digests, in one transaction.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import icechunk
from rich.console import Group
from rich.table import Table

from pipeline import store
from pipeline.errors import UserError
from pipeline.execute import Executor
from pipeline.ingest_blocks import Summary, Work, Written, write_block
from pipeline.ingest_plan import IngestPlan, ProductYear
from pipeline.inputs_store import LEADING, Record, complete, create_group, digest_of, group_name, open_or_create

Progress = Callable[[str, int, int], None]
"""Called with the product, its blocks done and its blocks in all."""


@dataclass(frozen=True)
class ReportRow:
    """One product-year of a report."""

    product: str
    year: int | None
    record: Record
    up_to_date: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table shows of it."""
        record, leading = self.record, LEADING[self.product]
        unit = "" if leading.units == "1" else f" {leading.units}"
        span = "" if record.minimum is None else f"{record.minimum:.3g} to {record.maximum:.3g}"
        return (
            group_name(self.product, self.year),
            f"{record.files:,}",
            f"{record.missing / record.cells:.1%}",
            f"{leading.name} {span}{unit}",
            record.digest[:8],
            "unchanged" if self.up_to_date else "ingested",
        )

    @property
    def counted(self) -> str:
        """Everything counted on the way that is not 0, in words; else empty."""
        counts = [f"{count:,} {what}" for what, count in self.record.counts.items() if count]
        return f"{group_name(self.product, self.year)}: {', '.join(counts)}" if counts else ""


@dataclass(frozen=True)
class IngestReport:
    """What an ingest found and did, product-year by product-year."""

    rows: tuple[ReportRow, ...]

    def __rich__(self) -> Group:
        """Return a table for the terminal, and what was counted below it."""
        table = Table(title="Inputs store", box=None, pad_edge=False)
        for heading in ("", "files", "missing", "range", "digest", ""):
            table.add_column(heading, no_wrap=True)
        for row in self.rows:
            table.add_row(*row.cells)
        return Group(table, *(row.counted for row in self.rows if row.counted))


def ingest(plan: IngestPlan, *, executor: Executor, progress: Progress | None = None) -> IngestReport:
    """Bring the inputs store up to date with the archives.

    Raises
    ------
    UserError
        If another process writes the store; or, after all else is done, naming what failed and why: of such a
        product-year the store shows what it showed before.
    """
    with store.sole_writer(plan.location):
        repository = open_or_create(plan.location, plan.extent)
        with store.transaction(repository, "make room for inputs") as root:
            for wanted in plan.todo:
                create_group(root, wanted.product, wanted.year)
        failures, records = [], {}
        for gathered in _gather(repository, plan.todo, executor=executor, progress=progress):
            if gathered.errors:
                failures.append(f"{gathered.of.group}: {'; '.join(dict.fromkeys(gathered.errors))}")
            else:
                records[gathered.of.group] = _commit(repository, gathered)
        _refresh(repository, plan)
    if failures:
        raise UserError(" | ".join(failures))
    rows = (_row(wanted, records.get(wanted.group)) for wanted in plan.product_years)
    return IngestReport(tuple(rows))


def _row(wanted: ProductYear, new: Record | None) -> ReportRow:
    record = new or wanted.record
    assert record is not None  # what is not new was there before
    return ReportRow(wanted.product, wanted.year, record, up_to_date=new is None)


@dataclass
class _Gathered:
    """The blocks of a product-year as they end."""

    of: ProductYear
    written: list[Written] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return len(self.written) == len(self.of.blocks)


def _gather(
    repository: icechunk.Repository, todo: Sequence[ProductYear], *, executor: Executor, progress: Progress | None
) -> Iterator[_Gathered]:
    """Do all blocks; yield a product-year when its last block is written, and the failed ones at the end."""
    gathered = {wanted.group: _Gathered(wanted) for wanted in todo}
    # Forks come from a session that nothing was written to, and merge into a later one as long as arrays keep shape.
    clean = repository.writable_session(store.BRANCH)

    def works() -> Iterator[Work]:
        for group in gathered.values():
            for block in group.of.blocks:
                if not group.errors:
                    yield Work(block, clean.fork())

    done, total = Counter[str](), Counter[str]()
    for wanted in todo:
        total[wanted.product] += len(wanted.blocks)
    for outcome in executor.map(write_block, works()):
        group = gathered[outcome.item.block.group]
        done[group.of.product] += 1
        if progress:
            progress(group.of.product, done[group.of.product], total[group.of.product])
        if outcome.result is None:
            group.errors.append(outcome.error or "")
            continue
        group.written.append(outcome.result)
        if group.finished:
            yield group
    yield from (group for group in gathered.values() if group.errors)


def _commit(repository: icechunk.Repository, gathered: _Gathered) -> Record:
    """Merge the blocks and commit them with their digests and record."""
    wanted = gathered.of
    parts = [written.part for written in gathered.written]
    digests = {name: content for part in parts for name, content in part.digests.items()}
    digests = dict(sorted(digests.items()))
    summary = reduce(add, (part.summary for part in parts), Summary())
    record = _record(wanted, summary, digest=digest_of(digests))
    session = repository.writable_session(store.BRANCH)
    session.merge(*(written.fork for written in gathered.written))
    complete(store.subgroup(store.writable(session), wanted.group), record, digests)
    session.commit(f"ingest {wanted.group}")
    return record


def _record(wanted: ProductYear, summary: Summary, *, digest: str) -> Record:
    return Record(
        files=wanted.files.count,
        size_bytes=wanted.files.size_bytes,
        fingerprint=wanted.files.fingerprint,
        archive=wanted.archive,
        cells=summary.cells,
        missing=summary.missing,
        minimum=summary.minimum if math.isfinite(summary.minimum) else None,
        maximum=summary.maximum if math.isfinite(summary.maximum) else None,
        counts=dict(summary.counts),
        digest=digest,
        notes=dict(wanted.notes),
    )


def _refresh(repository: icechunk.Repository, plan: IngestPlan) -> None:
    """Note that years read from other files of a changed archive were checked, so that the next plan is quick."""
    with store.transaction(repository, "note unchanged archives") as root:
        for wanted in plan.product_years:
            if not wanted.blocks and wanted.record and wanted.record.archive != wanted.archive:
                group = store.subgroup(root, wanted.group)
                group.attrs["ingest"] = replace(wanted.record, archive=wanted.archive).as_json()
