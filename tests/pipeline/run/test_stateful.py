"""Cube, ledger and history against a model of a few lines, in any order of all that can be done to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import icechunk
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from model.checkpoint import Checkpoint
from model.inference import Predictor
from model.shipped import checkpoint_file
from pipeline.cluster.executor import Serial
from pipeline.cube.entry import Status
from pipeline.cube.garbage import Retention, collect_stores
from pipeline.cube.history import make_release
from pipeline.cube.layout import StoredYear
from pipeline.cube.rollback import plan_rollback, roll_back
from pipeline.errors import UserError
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.plan import Choice
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.run.run import run
from pipeline.run.tile_inputs import gather, tile_mask
from pipeline.simulate.tile_year import simulate, spin_up
from pipeline.storage import repository as store
from tests.faults import cheap_network
from tests.faults.snapshots import Snapshot
from tests.helpers import random_inputs
from tests.helpers.commits import committer_of
from tests.helpers.random_inputs import Fields, make_job, write_inputs

FIRST = (2010, 2011)  # ingested at the start; both are spin-up years
YEARS = (2010, 2011, 2012, 2013)
FACTORS = (1.0, 1.1)  # of a year's GPP: its inputs as first ingested, or as ingested again

Key = tuple[float, ...]
"""The inputs of a tile-year: the factors of the spin-up years and of all years up to it."""
Done = dict[tuple[str, int], Key]


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(commit: int, *, after: bool) -> Iterator[None]:
    """Have the process end at a commit, or right after it, if there are so many."""
    original, calls = icechunk.Session.commit, 0

    def dying(session: icechunk.Session, *args: Any, **kwargs: Any) -> str:
        nonlocal calls
        calls += 1
        if calls == commit and not after:
            raise Killed
        made = original(session, *args, **kwargs)
        if calls == commit:
            raise Killed
        return made

    icechunk.Session.commit = dying  # type: ignore[method-assign]
    try:
        yield
    except Killed:
        pass
    finally:
        icechunk.Session.commit = original  # type: ignore[method-assign]


class Truth:
    """Checksums of tile-years by their inputs, computed year by year from the spin-up, without any store."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.predictor = Predictor(job.checkpoint)
        self._known: dict[tuple[str, int, Key], str] = {}

    def learn(self, factors: dict[int, float]) -> None:
        """Compute all tile-years of the inputs as they are now, which have these factors."""
        view = open_inputs(self.job.run_file.stores.inputs)
        for tile in self.job.domain.tiles:
            mask = tile_mask(self.job.region, view, self.job.grid.of(tile))
            years = {year: gather(self.job.region, view, tile, year, mask) for year in factors}
            state = spin_up(self.predictor, (years[FIRST[0]], years[FIRST[1]]))
            for year, inputs in years.items():
                result = simulate(self.predictor, inputs, state)
                state = result.state
                self._known[tile.name, year, key_of(factors, year)] = StoredYear.of(result, mask.mask).checksum

    def checksum(self, tile: str, year: int, key: Key) -> str:
        return self._known[tile, year, key]


def key_of(factors: dict[int, float], year: int) -> Key:
    return tuple(factors[past] for past in YEARS if past <= max(year, FIRST[-1]))


class Archive(RuleBasedStateMachine):
    """A cube and its inputs, and the values that they should have."""

    def __init__(self, job: Job, prepared: Path, truth: Truth) -> None:
        super().__init__()
        for name in ("cube", "inputs"):
            shutil.rmtree(getattr(job.run_file.stores, name), ignore_errors=True)
        shutil.copytree(prepared, job.run_file.stores.inputs)
        self.job, self.truth = job, truth
        self.factors = dict.fromkeys(FIRST, FACTORS[0])
        self.done: Done = {}
        self.states: dict[str, Done] = {}  # states that releases and rollbacks left, by name
        self.releases = 0
        self.truth.learn(self.factors)

    @property
    def tiles(self) -> list[str]:
        return [tile.name for tile in self.job.domain.tiles]

    @property
    def made(self) -> bool:
        return store.exists(self.job.run_file.stores.cube)

    def _wanted(self, years: set[int], choice: Choice) -> Done:
        """Return the effect of a run: the tile-years that it computes, with their inputs."""
        chosen = [(tile, year) for tile in sorted(choice.redo) or self.tiles for year in years & self.factors.keys()]
        return {
            place: key_of(self.factors, place[1])
            for place in chosen
            if not (choice.keep_stale and place in self.done and place[0] not in choice.redo)
        }

    def _run(self, years: set[int], choice: Choice) -> None:
        run(self.job, Serial(), years=sorted(years), choice=choice)

    @rule(years=st.sets(st.sampled_from(YEARS), min_size=1), keep_stale=st.booleans())
    def run_years(self, years: set[int], keep_stale: bool) -> None:
        wanted = self._wanted(years, Choice(keep_stale=keep_stale))
        if not years & self.factors.keys():
            with pytest.raises(UserError, match="no year can be run"):
                self._run(years, Choice())
            return
        self._run(years, Choice(keep_stale=keep_stale))
        self.done |= wanted

    @rule(year=st.sampled_from(FIRST), which=st.integers(0, 1))
    def redo_a_tile(self, year: int, which: int) -> None:
        choice = Choice(redo=frozenset({self.tiles[which]}))
        self._run({year}, choice)
        self.done |= self._wanted({year}, choice)

    @rule(commit=st.integers(1, 8), after=st.booleans())
    def run_and_be_killed(self, commit: int, after: bool) -> None:
        wanted = self._wanted(set(self.factors), Choice())
        with killed_at(commit, after=after):
            self._run(set(self.factors), Choice())
        recorded = self._newest().recorded() if self.made else {}
        # The ledger records the inputs before or after the change, and the invariant compares them with the truth.
        for (tile, year), one in recorded.items():
            if one.checksum == self.truth.checksum(tile, year, wanted[tile, year]):
                self.done[tile, year] = wanted[tile, year]

    @precondition(lambda self: len(self.factors) < len(YEARS))
    @rule()
    def append_a_year(self) -> None:
        self._ingest(YEARS[len(self.factors)], FACTORS[0])

    @rule(place=st.integers(0, len(YEARS) - 1), factor=st.sampled_from(FACTORS))
    def ingest_a_year_again(self, place: int, factor: float) -> None:
        self._ingest(YEARS[place % len(self.factors)], factor)

    def _ingest(self, year: int, factor: float) -> None:
        self.factors[year] = factor
        write_inputs(self.job, Fields(gpp_factor={year: factor}), years=(year,))
        self.truth.learn(self.factors)

    @precondition(lambda self: self.made)
    @rule()
    def release(self) -> None:
        name = f"release-{self.releases}"
        self.releases += 1
        with store.sole_writer(self.job.run_file.stores.cube):
            make_release(committer_of(self.job), name)
        self.states[name] = dict(self.done)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def roll_back_or_forward(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.states)))
        repository = self.job.open_cube()
        with store.sole_writer(self.job.run_file.stores.cube):
            left = plan_rollback(repository, name)
            roll_back(committer_of(self.job), left)
        self.states[left.left] = self.done
        self.done = dict(self.states[name])

    @precondition(lambda self: self.made)
    @rule()
    def collect(self) -> None:
        collect_stores(
            self.job.run_file.stores.repositories,
            ("cube", "inputs"),
            retention=Retention(spared=timedelta()),
            dry_run=False,
        )
        self.states = {name: done for name, done in self.states.items() if name.startswith("release-")}

    @invariant()
    def every_tile_year_is_what_was_computed_last(self) -> None:
        if not self.made:
            assert not self.done
            return
        newest = self._newest()
        recorded = newest.recorded()
        assert recorded.keys() == self.done.keys()
        for (tile, year), one in recorded.items():
            assert one.checksum == self.truth.checksum(tile, year, self.done[tile, year])
            assert newest.checksum(one) == one.checksum

    @invariant()
    def what_is_left_to_do_is_what_differs_from_the_inputs_of_today(self) -> None:
        plan = plan_run(self.job, open_pinned_inputs(self.job), years=sorted(self.factors))
        for (tile, year), state in plan.states.items():
            key = self.done.get((tile, year))
            expected = Status.DONE if key == key_of(self.factors, year) else Status.STALE if key else Status.MISSING
            assert state.status is expected, (tile, year, state)

    def _newest(self) -> Snapshot:
        repository = self.job.open_cube()
        return Snapshot(repository, store.tip(repository))


Start = Callable[[], Archive]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Begins with two years ingested and no cube."""
    folder = tmp_path_factory.mktemp("archive")
    patch = pytest.MonkeyPatch()
    patch.setattr(random_inputs, "YEARS", FIRST)
    patch.setattr(Predictor, "year", cheap_network.year)
    job = make_job(folder, Checkpoint.load(checkpoint_file()))
    shutil.copytree(job.run_file.stores.inputs, folder / "prepared")
    truth = Truth(job)
    yield lambda: Archive(job, folder / "prepared", truth)
    patch.undo()


def _explore(start: Start, *, examples: int, steps: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=slow)
    run_state_machine_as_test(start, settings=chosen)  # type: ignore[no-untyped-call]


@pytest.mark.slow
def test_any_order_of_runs_kills_appends_ingests_rollbacks_releases_and_collections(start: Start) -> None:
    _explore(start, examples=3, steps=6)


@pytest.mark.slow
def test_any_longer_order_of_them(start: Start) -> None:
    _explore(start, examples=15, steps=12)
