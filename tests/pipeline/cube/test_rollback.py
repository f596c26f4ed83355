"""Rollbacks: exactly the dropped results are computed again, and what was left can be restored."""

from __future__ import annotations

import pytest

from pipeline.cluster.executor import Serial
from pipeline.cube.entry import Status
from pipeline.cube.history import commits
from pipeline.cube.ledger import Ledger
from pipeline.cube.rollback import plan_rollback, roll_back
from pipeline.errors import UserError
from pipeline.job import Job
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.run.run import run
from pipeline.storage import repository as store
from tests.helpers.commits import committer_of, transaction
from tests.helpers.cube_states import REMEASURED, after_half, assert_same, content
from tests.helpers.last_run import tile_years_of_last_run
from tests.helpers.random_inputs import YEARS, Fields, write_inputs


@pytest.mark.slow
def test_a_run_after_a_rollback_computes_exactly_what_was_dropped(job: Job) -> None:
    before, repository, then = content(job), job.open_cube(), after_half(job)
    at_half, tiles = content(job, then), len(Ledger(store.read(repository)).tiles)
    wanted = plan_rollback(repository, then)
    assert wanted.drops == {2012: tiles, 2013: tiles}
    assert wanted.restores == {}
    roll_back(committer_of(job), wanted)
    assert_same(content(job), at_half)
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    missing = {key for key, state in plan.states.items() if state.status is Status.MISSING}
    assert missing == {(planned.tile.name, year) for planned in plan.tiles for year in (2012, 2013)}
    assert plan.count(Status.DONE) == 2 * tiles
    run(job, Serial(), years=YEARS)
    assert tile_years_of_last_run(job) == missing
    assert_same(content(job), before, but=REMEASURED)


def test_what_a_rollback_left_is_recorded_and_can_be_gone_back_to(job: Job) -> None:
    before, repository, left = content(job), job.open_cube(), store.tip(job.open_cube())
    roll_back(committer_of(job), plan_rollback(repository, after_half(job)))
    newest = commits(repository)[0]
    assert newest.dropped == left
    assert newest.message.startswith("roll back to ")
    assert newest.metadata["host"]
    forward = plan_rollback(repository, left[:8])
    assert forward.drops == {}
    assert set(forward.restores) == {2012, 2013}
    roll_back(committer_of(job), forward)
    assert_same(content(job), before)
    assert run(job, Serial(), years=YEARS).totals.tile_years == 0


@pytest.mark.slow
def test_a_result_that_was_computed_again_from_other_inputs_is_dropped_and_its_first_one_brought_back(job: Job) -> None:
    before, tip = content(job), store.tip(job.open_cube())
    write_inputs(job, Fields(gpp_factor={2013: 1.2}), years=(2013,))
    computed = run(job, Serial(), years=YEARS).totals.tile_years
    repository = job.open_cube()
    wanted = plan_rollback(repository, tip)
    assert wanted.drops == wanted.restores == {2013: computed}
    roll_back(committer_of(job), wanted)
    assert_same(content(job), before)
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    assert plan.count(Status.STALE) == computed


def test_a_rollback_of_a_cube_that_changed_meanwhile_is_refused_and_changes_nothing(job: Job) -> None:
    repository = job.open_cube()
    wanted = plan_rollback(repository, after_half(job))
    with transaction(job.open_cube(), "meanwhile") as root:
        root.attrs["new"] = 1
    tip = store.tip(repository)
    with pytest.raises(UserError, match="the cube has changed"):
        roll_back(committer_of(job), wanted)
    assert store.tip(repository) == tip
    with pytest.raises(UserError, match="is in that state"):
        plan_rollback(repository, tip)
