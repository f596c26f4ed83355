"""The coordinator of a run: hands blocks to workers, merges what they wrote, and commits it with its ledger rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import zarr

from pipeline.cluster.executor import Executor, Outcome
from pipeline.cube import ledger
from pipeline.cube.ledger import Row
from pipeline.errors import UserError
from pipeline.progress import Progress
from pipeline.run.block import BlockDone, BlockTask, Context, run_block
from pipeline.run.plan import Block, Plan
from pipeline.storage import repository
from pipeline.storage.commit import NAMED, CommitError, Committer, out_of_storage


@dataclass
class Tally:
    """Sums over the tile-years that a run has committed; the rows themselves are in the ledger alone."""

    tile_years: int = 0
    cell_years: int = 0  # with a result
    missing_cell_years: int = 0
    residual_sum: float = 0.0

    def add(self, row: Row) -> None:
        """Count a tile-year."""
        cells = row.cells - row.missing_cells
        self.tile_years += 1
        self.cell_years += cells
        self.missing_cell_years += row.missing_cells
        self.residual_sum += row.balance_residual * cells if cells else 0.0

    @property
    def mean_residual(self) -> float:
        """Mean of |ra + rh - gpp - nee| over the days of all cell-years with a result [g C m-2 d-1]."""
        return self.residual_sum / max(self.cell_years, 1)


@dataclass
class _Batch:
    """What has ended since the last commit."""

    blocks: list[BlockDone] = field(default_factory=list)
    failed: dict[tuple[str, int], str] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> list[Row]:
        return [row for block in self.blocks for row in block.rows]

    def facts(self, run_index: int) -> dict[str, Any]:
        """What the commit says of itself."""
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
    """The only committer of a run. Blocks that have ended are committed, whatever else comes to its end."""

    committer: Committer
    context: Context
    executor: Executor
    commit_seconds: float
    tally: Tally = field(default_factory=Tally)
    failures: dict[tuple[str, int], str] = field(default_factory=dict)

    def execute(self, plan: Plan, run_index: int, progress: Progress) -> None:
        """Run the plan wave by wave: the next block of a chain reads the state that the last one committed.

        Raises
        ------
        UserError
            If nothing more can be written or computed; the blocks that had ended are then committed, if they can be.
        """
        total = sum(len(block.years) for wave in plan.waves() for block in wave)
        for wave in plan.waves():
            failed_tiles = {tile for tile, _ in self.failures}
            blocks = [block for block in wave if block.tile.name not in failed_tiles]
            self._wave(blocks, run_index, lambda done: progress("tile-years", done, total))

    def _wave(self, wave: Sequence[Block], run_index: int, progress: Callable[[int], None]) -> None:
        batch = _Batch()
        try:
            for outcome in self._outcomes(wave):
                block = outcome.item.block
                if outcome.result is None:
                    batch.failed[block.tile.name, block.years[0]] = outcome.error or "unknown error"
                else:
                    batch.blocks.append(outcome.result)
                if time.monotonic() - batch.since > self.commit_seconds:
                    batch = self._committed(batch, run_index)
                progress(self.tally.tile_years + len(batch.rows))
        except CommitError:
            raise
        except UserError:
            self._committed(batch, run_index)
            raise
        self._committed(batch, run_index)

    def _outcomes(self, wave: Sequence[Block]) -> Iterator[Outcome[BlockTask, BlockDone]]:
        """Yield what became of the blocks; raises `UserError` for what ends the run."""
        base = self.committer.repository.writable_session(repository.BRANCH)
        tasks = (BlockTask(block, base.fork()) for block in wave)
        for outcome in self.executor.map(partial(run_block, self.context), tasks):
            if outcome.fatal:
                raise UserError(out_of_storage(self.committer.place, outcome.error or "unknown error"))
            yield outcome

    def _committed(self, batch: _Batch, run_index: int) -> _Batch:
        """Commit a batch, and return a new one."""
        rows, failed = batch.rows, batch.failed

        def record(root: zarr.Group) -> None:
            ledger.record(root, rows, run=run_index, failures=failed)

        if batch.blocks or failed:
            self._commit(batch, record, run_index)
            self.failures |= failed
            for row in rows:
                self.tally.add(row)
        return _Batch()

    def _commit(self, batch: _Batch, record: Callable[[zarr.Group], None], run_index: int) -> None:
        forks, count = [block.fork for block in batch.blocks], len(batch.rows)
        message = f"{count} tile-years, {len(batch.failed)} failed"
        try:
            self.committer.commit(message, record, forks=forks, **batch.facts(run_index))
        except CommitError as error:
            raise CommitError(
                f"{error} ({count} tile-years that had ended are lost, and computed again then)"
            ) from error
