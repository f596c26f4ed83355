"""The coordinator of a run: hands blocks to workers, merges their writes, and commits them with their ledger rows.

Only this process commits, so that the branch has one history and no two commits conflict. Workers write values straight
to storage, through forks of a session; what travels back and is merged here are references to the written chunks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from pipeline.cluster.executor import Executor, Outcome, until_fatal
from pipeline.cube import ledger
from pipeline.cube.entry import Row
from pipeline.errors import UserError
from pipeline.progress import Progress
from pipeline.run.block import BlockDone, BlockTask, Context, run_blocks
from pipeline.run.groups import ALONE, Group, Packing, grouped
from pipeline.run.plan import Block, Plan
from pipeline.storage import repository
from pipeline.storage.commit import NAMED, CommitError, Committer

log = logging.getLogger(__name__)


@dataclass
class RunTotals:
    """Sums over the tile-years that a run has committed; the rows themselves are kept in the ledger alone.

    Attributes
    ----------
    tile_years
        Committed tile-years.
    cell_years
        Cell-years with a result.
    missing_cell_years
        Cell-years without a result, because inputs are missing.
    residual_sum
        Mean absolute daily balance residual [g C m-2 d-1] times cells, summed over tile-years.
    """

    tile_years: int = 0
    cell_years: int = 0
    missing_cell_years: int = 0
    residual_sum: float = 0.0

    def add(self, row: Row) -> None:
        """Count a tile-year."""
        cells = row.cells - row.missing_cells
        self.tile_years += 1
        self.cell_years += cells
        self.missing_cell_years += row.missing_cells
        self.residual_sum += row.balance_residual * cells if cells else 0.0  # NaN where no cell has a result

    @property
    def mean_residual(self) -> float:
        """Mean of |ra + rh - gpp - nee| over the days of all cell-years with a result [g C m-2 d-1]."""
        return self.residual_sum / max(self.cell_years, 1)


_Ended: TypeAlias = Outcome[tuple[BlockTask, ...], tuple[BlockDone, ...]]
"""The end of a group of blocks."""


@dataclass
class _Batch:
    """Blocks that have ended since the last commit.

    Attributes
    ----------
    since
        Time of the last commit, or of the beginning of the wave.
    blocks
        Blocks with results.
    failed
        Errors by tile name and first year of the block.
    """

    since: float
    blocks: list[BlockDone] = field(default_factory=list)
    failed: dict[tuple[str, int], str] = field(default_factory=dict)

    def add(self, outcome: _Ended) -> None:
        """Take in a group that has ended; one that failed has a single block."""
        if outcome.result is None:
            (block,) = (task.block for task in outcome.item)
            # Recorded for the first year only: the later years of the tile wait for it.
            self.failed[block.tile.name, block.years[0]] = outcome.error or "unknown error"
            log.warning("failed: tile %s in %d: %s", block.tile.name, block.years[0], outcome.error)
        else:
            self.blocks.extend(outcome.result)

    @property
    def rows(self) -> list[Row]:
        """Ledger rows of the tile-years of the batch."""
        return [row for block in self.blocks for row in block.rows]

    def facts(self, run_index: int) -> dict[str, Any]:
        """Return the metadata of the batch's commit, which `agcarbon history` shows."""
        rows = self.rows
        tiles = sorted({row.tile for row in rows})
        failures = [f"{tile} {year}: {message}" for (tile, year), message in self.failed.items()]
        return {
            "run": run_index,
            "tile_years": len(rows),
            "years": sorted({row.year for row in rows}),
            "tiles": tiles[:NAMED],
            "tile_count": len(tiles),
            "failed": len(failures),
            "failures": failures[:NAMED],
        }


@dataclass
class Coordinator:
    """The only committer of a run.

    Finished blocks are committed as soon as `commit_seconds` have passed since the last commit, at the end of each
    wave, and when an error ends the run.

    Attributes
    ----------
    committer, context, executor
        Where to commit to, the constants of all blocks, and where blocks are computed.
    commit_seconds
        Longest time that a finished block waits for its commit, apart from a tick of the executor; `Serial` has no
        ticks, so that the block in progress ends first.
    clock
        Monotonic time in seconds.
    packing
        How the blocks of a wave are put together for workers of a CUDA device.
    totals, failures
        Sums over the committed tile-years, and errors by tile name and first year of the block.
    """

    committer: Committer
    context: Context
    executor: Executor
    commit_seconds: float
    clock: Callable[[], float] = time.monotonic
    packing: Packing = ALONE
    totals: RunTotals = field(default_factory=RunTotals)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)
    _batch: _Batch = field(init=False)  # made at the beginning of each wave

    def execute(self, plan: Plan, run_index: int, progress: Progress) -> None:
        """Run the plan wave by wave.

        A wave holds one block of each chain at most. It is committed before the next one begins, because the next block
        of a chain reads the state that the block before has stored, from the commit and not from its worker.

        Raises
        ------
        UserError
            If nothing more can be written or computed; blocks that had ended are then committed, if that is possible.
        """
        total = sum(len(block.years) for block in plan.blocks)
        progress("tile-years", 0, total)
        for wave in plan.waves():
            # Later blocks of a chain have no state to begin from once one has failed; other tiles are independent.
            failed_tiles = {tile for tile, _ in self.failures}
            blocks = [block for block in wave if block.tile.name not in failed_tiles]
            self._run_wave(blocks, run_index, lambda done, failed: progress("tile-years", done, total, failed))

    def _run_wave(self, blocks: Sequence[Block], run_index: int, progress: Callable[[int, int], None]) -> None:
        self._batch = _Batch(since=self.clock())

        # Called after each outcome and, while none comes, at each tick: a finished block never waits for a slow one.
        def commit_if_due() -> None:
            if self.clock() - self._batch.since > self.commit_seconds:
                self._commit_batch(run_index)

        try:
            for outcome in self._outcomes(blocks, on_wait=commit_if_due):
                self._batch.add(outcome)
                commit_if_due()
                progress(self.totals.tile_years + len(self._batch.rows), len(self.failures | self._batch.failed))
        except CommitError:
            raise  # committing the same blocks once more would meet the same error
        except UserError:
            # The blocks that had ended are complete: they are committed if the storage still allows it.
            self._commit_batch(run_index)
            raise
        self._commit_batch(run_index)

    def _outcomes(self, blocks: Sequence[Block], *, on_wait: Callable[[], None]) -> Iterator[_Ended]:
        """Yield the outcomes of groups of blocks; raises `UserError` for an error that ends the run.

        The blocks of a group that fails are computed again one by one, with forks of their own, so that one tile fails
        alone, whatever it does to its worker.
        """
        # One session for all blocks of the wave: its base is the commit that holds the states they begin from.
        base = self.committer.repository.writable_session(repository.BRANCH)

        def outcomes_of(groups: Iterable[Group]) -> Iterator[_Ended]:
            # The tasks are a generator: the fork of a block is made when a worker is free to take it.
            tasks = (tuple(BlockTask(block, base.fork()) for block in group) for group in groups)
            outcomes = self.executor.map(partial(run_blocks, self.context), tasks, on_wait=on_wait)
            return until_fatal(outcomes, self.committer.place)

        alone: list[Group] = []
        for outcome in outcomes_of(grouped(blocks, self.packing)):
            if outcome.result is None and len(outcome.item) > 1:
                alone += [(task.block,) for task in outcome.item]
                log.warning("%d tiles failed together, computed one by one now: %s", len(outcome.item), outcome.error)
            else:
                yield outcome
        if alone:
            yield from outcomes_of(alone)

    def _commit_batch(self, run_index: int) -> None:
        """Commit the blocks that have ended, if any, and begin a new batch."""
        batch, rows = self._batch, self._batch.rows
        if not (batch.blocks or batch.failed):
            return
        message = f"{len(rows)} tile-years, {len(batch.failed)} failed"
        # In the same commit as the data, so that the ledger never speaks of results that are not there.
        record = partial(ledger.record, rows=rows, run=run_index, failures=batch.failed)
        forks = [block.fork for block in batch.blocks]
        try:
            self.committer.commit(message, record, forks=forks, **batch.facts(run_index))
        except CommitError as error:
            lost = f"{len(rows)} finished tile-years are lost, and are computed again then"
            raise CommitError(f"{error} ({lost})") from error
        self.failures |= batch.failed
        for row in rows:
            self.totals.add(row)
        # The clock begins after the commit, which may itself take long on slow storage.
        self._batch = _Batch(since=self.clock())
