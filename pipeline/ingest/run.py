"""Archives -> inputs store: read in parallel what is new, commit each product-year whole.

A product-year whose files changed is read again: its old data stay visible until the new ones are committed, together
with their digests, in one transaction. Months of climate are committed as they end, out of sight, so that none is read
twice.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import icechunk

from pipeline.cluster.executor import Executor
from pipeline.digests import json_digest
from pipeline.ingest.climate import (
    ClimateMonth,
    ClimateYear,
    MonthRead,
    MonthRecord,
    MonthWork,
    read_month,
    settle,
    stage,
)
from pipeline.ingest.plan import IngestPlan, ProductYear
from pipeline.ingest.report import IngestReport, ReportRow
from pipeline.ingest.strips import Summary, Work, Written, write_block
from pipeline.inputs.layout import Record, complete, create_group, group_name, open_or_create
from pipeline.progress import Progress, silent
from pipeline.storage import repository as store

_NAMED = 10  # damaged files named in a record; all are counted


def ingest(plan: IngestPlan, *, executor: Executor, progress: Progress = silent) -> IngestReport:
    """Bring the inputs store up to date with the archives.

    What fails is in the report, with the reason: of such a product-year the store shows what it showed before.

    Raises
    ------
    UserError
        If another process writes the store, or it is of another region.
    """
    with store.sole_writer(plan.location):
        repository = open_or_create(plan.location, plan.extent)
        with store.transaction(repository, "make room for inputs") as root:
            for wanted in plan.todo:
                create_group(root, wanted.product, wanted.year)
                for month in wanted.months:
                    stage(root, month)
        work = _Ingest(repository, executor, _Bars(plan, progress))
        work.read_months(plan.todo)
        work.write(plan.todo)
    known = ((wanted, work.records.get(wanted.group, wanted.record)) for wanted in plan.product_years)
    rows = (ReportRow(wanted, record, before=wanted.record) for wanted, record in known if record)
    failures = (f"{group}: {'; '.join(dict.fromkeys(errors))}" for group, errors in work.errors.items())
    return IngestReport(tuple(rows), plan.absent, plan.damaged, tuple(failures))


@dataclass
class _Bars:
    """Parts of each product that are done."""

    plan: IngestPlan
    progress: Progress
    done: Counter[str] = field(default_factory=Counter)

    def step(self, product: str) -> None:
        """Count one more."""
        self.done[product] += 1
        parts = (len(one.months) + len(one.blocks) for one in self.plan.todo if one.product == product)
        self.progress(product, self.done[product], sum(parts))


@dataclass
class _Gathered:
    """The blocks of a product-year as they end."""

    of: ProductYear
    written: list[Written] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return len(self.written) == len(self.of.blocks)


@dataclass
class _Ingest:
    """One ingest: `records` of the product-years that were committed, `errors` of the others, by group."""

    repository: icechunk.Repository
    executor: Executor
    bars: _Bars
    records: dict[str, Record] = field(default_factory=dict)
    errors: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def read_months(self, todo: Sequence[ProductYear]) -> None:
        """Read the months of climate that are new and commit each as it ends."""
        clean = self.repository.writable_session(store.BRANCH)
        works = (MonthWork(month, clean.fork()) for wanted in todo for month in wanted.months)
        for outcome in self.executor.map(read_month, works):
            month = outcome.item.month
            self.bars.step("climate")
            if outcome.result is None:
                name = f"{month.year}-{month.month:02d}"
                self.errors[group_name("climate", month.year)].append(f"{name}: {outcome.error}")
            else:
                self._commit_month(month, outcome.result)

    def _commit_month(self, month: ClimateMonth, read: MonthRead) -> None:
        session = self.repository.writable_session(store.BRANCH)
        session.merge(read.fork)
        store.subgroup(store.writable(session), month.group).attrs["month"] = read.record.as_json()
        session.commit(f"read {month.group}")

    def write(self, todo: Sequence[ProductYear]) -> None:
        """Do all blocks; commit a product-year when its last block is written."""
        gathered = {wanted.group: _Gathered(wanted) for wanted in todo if wanted.group not in self.errors}
        # Forks come from a session without writes, and merge into a later one as long as arrays keep their shape.
        clean = self.repository.writable_session(store.BRANCH)
        for outcome in self.executor.map(write_block, self._works(gathered.values(), clean)):
            group = gathered[outcome.item.block.group]
            self.bars.step(group.of.product)
            if outcome.result is None:
                self.errors[group.of.group].append(outcome.error or "")
                continue
            group.written.append(outcome.result)
            if group.finished:
                self.records[group.of.group] = _commit(self.repository, group)

    def _works(self, gathered: Iterable[_Gathered], clean: icechunk.Session) -> Iterator[Work]:
        for group in gathered:
            for block in group.of.blocks:
                if group.of.group not in self.errors:
                    yield Work(block, clean.fork())


def _commit(repository: icechunk.Repository, gathered: _Gathered) -> Record:
    """Merge the blocks and commit them with their digests and record."""
    wanted = gathered.of
    parts = [written.part for written in gathered.written]
    digests = {name: content for part in parts for name, content in part.digests.items()}
    digests = dict(sorted(digests.items()))
    summary = reduce(add, (part.summary for part in parts), Summary())
    session = repository.writable_session(store.BRANCH)
    session.merge(*(written.fork for written in gathered.written))
    root = store.writable(session)
    record = _record(wanted, summary, digest=json_digest(digests))
    for block in wanted.blocks:
        if isinstance(block, ClimateYear):
            record = _of_months(record, settle(root, block))
    complete(store.subgroup(root, wanted.group), record, digests)
    session.commit(f"ingest {wanted.group}")
    return record


def _record(wanted: ProductYear, summary: Summary, *, digest: str) -> Record:
    return Record(
        files=wanted.files.count,
        size_bytes=wanted.files.size_bytes,
        stamp=wanted.files.stamp,
        cells=summary.cells,
        missing=summary.missing,
        minimum=summary.minimum if math.isfinite(summary.minimum) else None,
        maximum=summary.maximum if math.isfinite(summary.maximum) else None,
        counts=dict(summary.counts),
        digest=digest,
        notes=dict(wanted.notes),
    )


def _of_months(record: Record, months: Sequence[MonthRecord]) -> Record:
    """Add to a year's record what was counted month by month; hours beside a month's ends belong to two of them."""
    damaged = sorted({name for month in months for name in month.damaged})
    counts = {"duplicate hours": sum(month.duplicate_hours for month in months), "damaged files": len(damaged)}
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    notes = {"damaged": "; ".join(damaged[:_NAMED]) + more} if damaged else {}
    return replace(record, counts=record.counts | counts, notes=record.notes | notes)
