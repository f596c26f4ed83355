"""Archives -> inputs store: read in parallel, commit each product-year as one unit.

All commits go through the store's one `Committer`, so that a transient error of storage is retried, a commit whose
reply was lost is found, and nothing is put on top of another process's commit. They come in this order:

1. the empty arrays that the plan needs, before any worker has a fork of the store;
2. each month of climate as it ends, in the group `staging` that no reader looks at: a killed ingest resumes with the
   next month;
3. each product-year as its last block ends, together with its digests and its record. Until then a product-year that
   is read again shows its earlier data. Crops come before GPP, of which only cells with some crops are stored.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add
from typing import TypeVar

import icechunk
import zarr

from pipeline.cluster.executor import Executor, Outcome, until_fatal
from pipeline.digests import json_digest
from pipeline.errors import UserError
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
from pipeline.inputs.cells import crop_years, recorded_rule
from pipeline.inputs.layout import Record, complete, create_group, group_name, open_for_writing
from pipeline.progress import Progress, silent
from pipeline.storage import repository as store
from pipeline.storage.commit import Committer
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)

_NAMED = 10  # damaged files named in a record; all are counted


def ingest(
    plan: IngestPlan, *, executor: Executor, policy: RetryPolicy = BY_DEFAULT, progress: Progress = silent
) -> IngestReport:
    """Bring the inputs store up to date with the archives.

    A product-year that fails is in the report with the reason; the store keeps its earlier state of it.

    Parameters
    ----------
    plan
        Product-years to read, from `plan_ingest`.
    executor
        Runs the months and blocks.
    policy
        Retries of transient errors, of commits as well as of the workers' blocks.
    progress
        Called after each month and block.

    Raises
    ------
    UserError
        If another process writes the store or has committed to it meanwhile, the store is of another region, or it
        cannot be written any more. Product-years committed before that stay.
    """
    with store.sole_writer(plan.location) as still_held:
        committer = open_for_writing(plan.location, plan.extent, policy=policy, still_held=still_held)
        # Before any fork: workers write chunks into arrays that exist, and a fork merges only while their metadata stay
        # the same. Two workers that each made an array would contradict each other.
        committer.commit("make room for inputs", partial(_make_room, plan.todo))
        work = _Ingest(committer, executor, _Bars(plan, progress))
        work.read_months(plan.todo)
        work.write_blocks([wanted for wanted in plan.todo if wanted.cells is None])
        if not executor.stop.asked:  # else the crops that GPP needs may not be read yet
            work.write_blocks(work.with_other_cells([wanted for wanted in plan.todo if wanted.cells is not None]))
    known = ((wanted, work.records.get(wanted.group, wanted.record)) for wanted in plan.product_years)
    rows = (ReportRow(wanted, record, before=wanted.record) for wanted, record in known if record)
    failures = (f"{group}: {'; '.join(dict.fromkeys(errors))}" for group, errors in work.errors.items())
    return IngestReport(tuple(rows), plan.absent, plan.damaged, tuple(failures), stopped=executor.stop.asked)


def _make_room(todo: Sequence[ProductYear], root: zarr.Group) -> None:
    for wanted in todo:
        if wanted.group in root and not _is_writable(store.subgroup(root, wanted.group)):
            del root[wanted.group]
        create_group(root, wanted.product, wanted.year, scale=wanted.scale)
        for month in wanted.months:
            stage(root, month)


def _is_writable(group: zarr.Group) -> bool:
    """Return whether blocks can be committed into all arrays of a group: not where a manifest is damaged."""
    return all(store.has_intact_manifests(group, name) for name in group.array_keys())


@dataclass
class _Bars:
    """Progress of each product in months and blocks."""

    plan: IngestPlan
    progress: Progress
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def begin(self, product: str) -> None:
        """Report a product before its first step."""
        if product not in self.done:
            self.done[product] = 0
            self._report(product)

    def step(self, group: str, error: str | None) -> None:
        """Report one more step of a product-year, and log the error by which it failed."""
        product = group.partition("/")[0]
        self.done[product] += 1
        if error:
            self.failed[product] += 1
            log.warning("failed: %s: %s", group, error)
        self._report(product)

    def _report(self, product: str) -> None:
        parts = (len(one.months) + len(one.blocks) for one in self.plan.todo if one.product == product)
        self.progress(product, self.done[product], sum(parts), self.failed[product])


@dataclass
class _Gathered:
    """A product-year and its blocks that have ended."""

    wanted: ProductYear
    written: list[Written] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return len(self.written) == len(self.wanted.blocks)


@dataclass
class _Ingest:
    """One ingest: `records` of the product-years that were committed, `errors` of the others, by group."""

    committer: Committer
    executor: Executor
    bars: _Bars
    records: dict[str, Record] = field(default_factory=dict)
    errors: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def read_months(self, todo: Sequence[ProductYear]) -> None:
        """Read the months of climate that are new and commit each as it ends."""
        base = self._session()
        works = (MonthWork(month, base.fork()) for wanted in todo for month in wanted.months)
        for outcome in self._outcomes(read_month, works):
            month = outcome.item.month
            self.bars.step(group_name("climate", month.year), outcome.error)
            if outcome.result is None:
                name = f"{month.year}-{month.month:02d}"
                self.errors[group_name("climate", month.year)].append(f"{name}: {outcome.error}")
            else:
                self._commit_month(month, outcome.result)

    def _commit_month(self, month: ClimateMonth, read: MonthRead) -> None:
        def record(root: zarr.Group) -> None:
            store.subgroup(root, month.group).attrs["month"] = read.record.as_json()

        self.committer.commit(f"read {month.group}", record, forks=[read.fork])

    def write_blocks(self, todo: Sequence[ProductYear]) -> None:
        """Do all blocks; commit a product-year when its last block is written."""
        gathered = {wanted.group: _Gathered(wanted) for wanted in todo if wanted.group not in self.errors}
        for outcome in self._outcomes(write_block, self._works(gathered.values())):
            group = gathered[outcome.item.block.group]
            self.bars.step(group.wanted.group, outcome.error)
            if outcome.result is None:
                self.errors[group.wanted.group].append(outcome.error or "unknown error")
                continue  # its blocks that are written are never merged: the earlier state of the product-year stays
            group.written.append(outcome.result)
            if group.finished:
                self._settle(group)

    def with_other_cells(self, todo: Sequence[ProductYear]) -> list[ProductYear]:
        """Return the product-years to read now that the crops are ingested, which decide on the cells to store."""
        root, chosen = store.writable(self._session()), []
        for wanted in todo:
            assert wanted.cells is not None
            if wanted.unless_same_cells and recorded_rule(root, wanted.group) == wanted.cells.record(root):
                continue
            try:
                wanted.cells.check_crops(crop_years(root, wanted.tiles))
                chosen.append(wanted)
            except UserError as error:  # the crops of a mask year could not be read
                self.errors[wanted.group].append(str(error))
        return chosen

    def _settle(self, gathered: _Gathered) -> None:
        """Commit a product-year, unless its mean over region and year is implausible: the earlier state then stays."""
        wanted = gathered.wanted
        summary = reduce(add, (written.part.summary for written in gathered.written), Summary())
        if found := summary.mean_faults(wanted.product):
            self.errors[wanted.group].append(f"implausible over the region's year: {'; '.join(found)}")
        else:
            self.records[wanted.group] = self._commit(gathered, summary)

    def _works(self, gathered: Iterable[_Gathered]) -> Iterator[Work]:
        base = self._session()
        for group in gathered:
            for block in group.wanted.blocks:
                # Executors draw works lazily: after a block has failed, the rest of its product-year is not read.
                if group.wanted.group not in self.errors:
                    self.bars.begin(group.wanted.product)
                    yield Work(block, base.fork())

    def _session(self) -> icechunk.Session:
        """Return a clean session to fork: a fork merges into later sessions as long as its arrays keep their shape."""
        return retried(lambda: self.committer.repository.writable_session(store.BRANCH), self.committer.policy)

    def _outcomes(
        self, function: Callable[[RetryPolicy, Item], Result], works: Iterable[Item]
    ) -> Iterator[Outcome[Item, Result]]:
        """Return the outcome of each item; they raise `UserError` once the store is full or read-only."""
        return until_fatal(self.executor.map(partial(function, self.committer.policy), works), self.committer.place)

    def _commit(self, gathered: _Gathered, summary: Summary) -> Record:
        """Commit a product-year: its blocks, their digests and its record."""
        wanted, parts = gathered.wanted, [written.part for written in gathered.written]
        # Blocks end in any order; sorted, equal contents have equal records.
        digests = dict(sorted((name, digest) for part in parts for name, digest in part.digests.items()))
        of_blocks = _record(wanted, summary, digest=json_digest(digests))

        def finish(root: zarr.Group) -> Record:
            record = of_blocks
            for block in wanted.blocks:
                if isinstance(block, ClimateYear):
                    record = _with_months(record, settle(root, block))
            group = store.subgroup(root, wanted.group)
            if wanted.cells is not None:
                group.attrs["cells"] = wanted.cells.record(root)
                # Only now: until here the store shows its earlier values, which may have had another step.
                if wanted.scale is not None:
                    store.array(group, wanted.product).attrs["scale_factor"] = wanted.scale
            complete(group, record, digests)
            return record

        # Reports find the time of a product-year by this message.
        message, forks = f"ingest {wanted.group}", [written.fork for written in gathered.written]
        return self.committer.commit(message, finish, forks=forks)


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


def _with_months(record: Record, months: Sequence[MonthRecord]) -> Record:
    """Add the counts and damaged files of the months to a year's record.

    Each damaged file counts once, although the hours around a month's ends are read for both months.
    """
    damaged = sorted({name for month in months for name in month.damaged})
    counts = {"duplicate hours": sum(month.duplicate_hours for month in months), "damaged files": len(damaged)}
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    notes = {"damaged": "; ".join(damaged[:_NAMED]) + more} if damaged else {}
    return replace(record, counts=record.counts | counts, notes=record.notes | notes)
