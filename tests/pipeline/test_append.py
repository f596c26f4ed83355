"""Keeping, appending and regenerating: what is asked for changes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from pipeline import cube, store
from pipeline.execute import Serial
from pipeline.job import Job
from pipeline.ledger import Ledger, Status
from pipeline.plan import Choice
from pipeline.run import RunReport, open_pinned_inputs, plan_run, run
from pipeline.variables import ANNUAL, DAILY
from tests.pipeline.last_run import tile_years_of_last_run
from tests.pipeline.random_inputs import YEARS, Fields, make_job, random_checkpoint, write_inputs


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint()


def do(job: Job, years: tuple[int, ...] = YEARS, choice: Choice | None = None) -> RunReport:
    report = run(job, Serial(), years=years, choice=choice or Choice())
    assert not report.failures
    return report


def of_year(job: Job, year: int) -> dict[str, np.ndarray]:
    """All values of one year."""
    root = store.read(job.open_cube())
    annual = {variable.name: np.asarray(store.array(root, f"annual/{variable.name}")[year - YEARS[0]])
              for variable in ANNUAL}  # fmt: skip
    return annual | {f"daily {v.name}": store.values(root, f"daily/{year}/{v.name}") for v in DAILY}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_stale_years_that_are_kept_stay_and_a_missing_one_after_them_is_built_on_none_of_them(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    job = make_job(tmp_path, checkpoint)
    do(job, YEARS[:-1])
    before = {year: of_year(job, year) for year in YEARS[:-1]}
    fields = Fields(gpp_factor={2012: 1.1})
    write_inputs(job, fields, years=(2012,))
    keep = Choice(keep_stale=True)
    tiles = len(cube.tiles(store.read(job.open_cube())) or ())
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS, choice=keep)
    assert plan.kept_stale == {2012: tiles}
    assert plan.stored_years == [2013]
    do(job, choice=keep)
    assert {year for _, year in tile_years_of_last_run(job)} == {2013}
    for year, values in before.items():
        assert_same(of_year(job, year), values)
    record = Ledger(store.read(job.open_cube())).runs[-1]
    assert (record["keep_stale"], record["kept_stale"]) == (True, {"2012": tiles})
    fresh = make_job(tmp_path / "fresh", checkpoint, fields=fields)
    do(fresh)
    assert_same(of_year(job, 2013), of_year(fresh, 2013))
    assert not np.array_equal(of_year(job, 2012)["nee"], of_year(fresh, 2012)["nee"], equal_nan=True)


def test_what_is_kept_is_recorded_where_nothing_else_is_to_do_and_a_plain_run_ends_it(
    tmp_path: Path, checkpoint: Checkpoint
) -> None:
    job = make_job(tmp_path, checkpoint)
    do(job)
    write_inputs(job, Fields(gpp_factor={2013: 1.1}), years=(2013,))
    assert do(job, choice=Choice(keep_stale=True)).tally.tile_years == 0
    known = Ledger(store.read(job.open_cube()))
    tiles = len(known.tiles)
    assert [record["kept_stale"] for record in known.runs] == [{}, {"2013": tiles}]
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    assert plan.count(Status.STALE) == tiles
    assert plan.kept_stale == {}
    assert do(job).tally.tile_years == tiles
    assert plan_run(job, open_pinned_inputs(job), years=YEARS).count(Status.DONE) == len(plan.states)


def test_a_tile_that_is_redone_is_redone_where_stale_is_kept(tmp_path: Path, checkpoint: Checkpoint) -> None:
    job = make_job(tmp_path, checkpoint)
    do(job)
    write_inputs(job, Fields(gpp_factor={2013: 1.1}), years=(2013,))
    name = Ledger(store.read(job.open_cube())).tiles[0]
    report = do(job, choice=Choice(frozenset({name}), keep_stale=True))
    assert tile_years_of_last_run(job) == {(name, year) for year in YEARS}
    assert report.plan.kept_stale == {}
