"""The coordinator: blocks that have ended are committed in time, each once, whatever the others do."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cluster.executor import Outcome
from pipeline.cluster.stop import Stop
from pipeline.cube.entry import Fingerprint, Row
from pipeline.grid.sinusoidal import Tile
from pipeline.progress import silent
from pipeline.run.block import BlockDone
from pipeline.run.coordinator import Coordinator
from pipeline.run.plan import Block, Plan
from pipeline.storage import repository as store
from pipeline.storage.commit import CommitError
from tests.helpers.commits import transaction

COMMIT_SECONDS = 30.0
TICK = 0.5
YEAR = 2012


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """An executor whose items end at given times of a clock, which ticks while none does."""

    def __init__(self, clock: Clock, ends: Iterable[float]) -> None:
        self.stop = Stop()
        self._clock, self._ends = clock, list(ends)

    def map(
        self, _: Callable[[Any], Any], items: Iterable[Any], *, on_wait: Callable[[], None]
    ) -> Iterator[Outcome[Any, Any]]:
        for (task,), end in zip(items, self._ends, strict=True):
            while self._clock.now + TICK < end:
                self._clock.now += TICK
                on_wait()
            self._clock.now = end
            yield Outcome((BlockDone(task.fork, (_row(task.block.tile),)),), item=(task,))


def _row(tile: Tile) -> Row:
    return Row(
        tile=tile.name, year=YEAR, fingerprint=Fingerprint(()), checksum="", cells=4, missing_cells=1,
        outside_share=0.0, balance_residual=0.5, minimum=(), maximum=(), seconds=0.0, cpu_seconds=0.0,
        restart=False,
    )  # fmt: skip


class Commits:
    """A committer that notes when it committed how many blocks, and may refuse."""

    place = "cube"

    def __init__(self, clock: Clock, *, refuse: bool = False) -> None:
        self._clock, self._refuse = clock, refuse
        self.made: list[tuple[float, int]] = []
        session = SimpleNamespace(fork=lambda: None)
        self.repository = SimpleNamespace(writable_session=lambda _branch: session)

    def commit(self, _message: str, _write: Callable[[Any], Any], *, forks: list[Any], **_facts: Any) -> None:
        self.made.append((self._clock.now, len(forks)))
        if self._refuse:
            raise CommitError("no")


def run_wave(commits: Commits, clock: Clock, *ends: float) -> Coordinator:
    """Run one wave of blocks that end at these times."""
    tiles = [Tile(11, 4, 0, number, 48) for number in range(len(ends))]
    chains = tuple((Block(tile, 4, YEAR, (YEAR,), (Fingerprint(()),), (), spin_up=True),) for tile in tiles)
    plan = Plan((), (YEAR,), {}, chains, {})
    coordinator = Coordinator(commits, None, Scripted(clock, ends), COMMIT_SECONDS, clock)  # type: ignore[arg-type]
    coordinator.execute(plan, 0, silent)
    return coordinator


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_finished_block_is_committed_in_time_although_nothing_else_ends(clock: Clock) -> None:
    commits = Commits(clock)
    coordinator = run_wave(commits, clock, 1.0, 100.0)
    assert commits.made == [(COMMIT_SECONDS + TICK, 1), (100.0, 1)]
    assert coordinator.totals.tile_years == 2


def test_nothing_is_committed_while_nothing_has_ended(clock: Clock) -> None:
    commits = Commits(clock)
    run_wave(commits, clock, 100.0)
    assert commits.made == [(100.0, 1)]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12).map(sorted))
def test_every_block_is_committed_once_and_waits_no_longer_than_the_setting_and_a_tick(ends: list[float]) -> None:
    clock = Clock()
    commits = Commits(clock)
    coordinator = run_wave(commits, clock, *ends)
    waiting = iter(ends)
    for time, count in commits.made:
        assert all(0 <= time - next(waiting) <= COMMIT_SECONDS + TICK for _ in range(count))
    assert next(waiting, None) is None
    assert coordinator.totals.cell_years == 3 * len(ends)
    assert coordinator.totals.mean_residual == pytest.approx(0.5)


def test_a_commit_that_is_refused_while_blocks_run_ends_the_run_and_is_tried_once(clock: Clock) -> None:
    commits = Commits(clock, refuse=True)
    with pytest.raises(CommitError, match="1 finished tile-years are lost"):
        run_wave(commits, clock, 1.0, 100.0)
    assert len(commits.made) == 1


def test_a_fork_of_a_large_cube_is_small_to_send(tmp_path: Path) -> None:
    repository = store.create(str(tmp_path / "store"))
    with transaction(repository, "structure") as root:
        root.create_array("a", shape=(300,), chunks=(1,), dtype="f8", fill_value=0)

    def size() -> int:
        return len(pickle.dumps(repository.writable_session(store.BRANCH).fork()))

    empty = size()
    with transaction(repository, "values") as root:
        store.array(root, "a")[...] = range(300)
    assert size() <= empty + 100
    assert empty < 2000
