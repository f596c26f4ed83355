"""Keeping, appending and regenerating: the requested tile-years change, and no others."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr

from pipeline.cluster.executor import Serial
from pipeline.cube import layout
from pipeline.cube.entry import Status
from pipeline.cube.layout import Identity
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.job import Job
from pipeline.run.plan import Choice
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.run.run import RunReport, run
from pipeline.run.status import read_status
from pipeline.simulate.gpp_draws import Draws
from pipeline.storage import repository as store
from pipeline.variables import ANNUAL, DAILY
from tests.helpers.last_run import tile_years_of_last_run
from tests.helpers.random_inputs import YEARS, Fields, make_job, random_checkpoint, write_inputs


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


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run file of a job that has been run for all years but the last."""
    job = make_job(tmp_path_factory.mktemp("append"), random_checkpoint())
    do(job, YEARS[:-1])
    return job.path


@pytest.fixture
def job(first: Path, tmp_path: Path) -> Job:
    """The same in a folder of its own."""
    shutil.copytree(first.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / first.name)


def arrays(job: Job) -> dict[str, np.ndarray]:
    """Every array of the cube."""
    members = store.read(job.open_cube()).members(max_depth=None)
    return {name: np.asarray(member[...]) for name, member in members if isinstance(member, zarr.Array)}


def chunk_files(job: Job) -> dict[str, str]:
    """Digests of the files that hold the cube's chunks."""
    found = Path(job.run_file.stores.cube, "chunks").iterdir()
    return {path.name: hashlib.blake2b(path.read_bytes()).hexdigest() for path in found}


def change_of(job: Job, action: Callable[[], object]) -> icechunk.Diff:
    """Difference that an action makes to the cube."""
    before = store.tip(job.open_cube())
    action()
    repository = job.open_cube()
    return repository.diff(from_snapshot_id=before, to_snapshot_id=store.tip(repository))


def test_a_new_year_touches_its_own_groups_and_its_own_slices_and_nothing_else(job: Job) -> None:
    before, files = arrays(job), chunk_files(job)
    tiles, last = len(Ledger(store.read(job.open_cube())).tiles), len(YEARS) - 1
    diff = change_of(job, lambda: do(job))
    new = {"/daily/2013", "/restart/2013"}
    assert diff.new_groups == new
    assert not diff.deleted_groups
    assert not diff.deleted_arrays
    assert {name.rpartition("/")[0] for name in diff.new_arrays} == new
    chunks = {name: places for name, places in diff.updated_chunks.items() if not name.startswith(tuple(new))}
    assert {name.split("/")[1] for name in chunks} == {"annual", "ledger"}
    for name, places in chunks.items():
        if name.endswith("/year"):  # one chunk holds all of a year axis
            continue
        assert {place[0] for place in places} == {last}, name
        # One shard of a layer is one tile-year; the ledger keeps a year's rows together.
        assert len(places) == (tiles if name.startswith("/annual") else 1), name
    after = arrays(job)
    for name, values in before.items():
        earlier = after[name][: len(values)] if values.ndim else after[name]
        np.testing.assert_array_equal(earlier, values, err_msg=name)
    assert files.items() <= chunk_files(job).items()


@dataclass(frozen=True)
class Changed:
    """Inputs in which one tile reads something else in 2012, and a job that has been run on them in one go."""

    tile: Tile
    inputs: Fields
    fresh: Job


@pytest.fixture(scope="module")
def changed(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Changed:
    root = store.read(Job.open(first).open_cube())
    tile, grid = (layout.tiles(root) or ())[0].tile, Job.open(first).grid
    rows, cols = grid.window(tile)
    row, col = np.argwhere(store.values(root, "static/mask")[rows, cols])[3]
    inputs = Fields(missing={2012: [(rows.start + int(row), cols.start + int(col))]})
    fresh = make_job(tmp_path_factory.mktemp("fresh"), random_checkpoint(), fields=inputs)
    do(fresh)
    return Changed(tile, inputs, fresh)


@pytest.mark.slow
def test_a_changed_input_of_a_tile_changes_its_later_years_and_nothing_else(job: Job, changed: Changed) -> None:
    do(job)
    before, tile = arrays(job), changed.tile
    rows, cols = job.grid.window(tile)
    write_inputs(job, changed.inputs, years=(2012,))
    states = plan_run(job, open_pinned_inputs(job), years=YEARS).states
    stale = {(tile.name, 2012), (tile.name, 2013)}
    assert {key for key, state in states.items() if state.status is not Status.DONE} == stale
    diff = change_of(job, lambda: do(job))
    place = [rows.start // tile.cells, cols.start // tile.cells]
    for name, places in diff.updated_chunks.items():
        group = name.split("/")[1]
        if group == "annual":
            assert sorted(places) == [[2, *place], [3, *place]], name
        elif group == "ledger":
            assert sorted(index[0] for index in places) == [2, 3], name
        else:
            assert name.split("/")[2] in ("2012", "2013"), name
            of_tile = slice(2) if group == "restart" else slice(-2, None)
            assert {tuple(index[of_tile]) for index in places} == {tuple(place)}, name
    after = arrays(job)
    for name, values in before.items():
        places = np.argwhere((after[name] != values) & ~((after[name] != after[name]) & (values != values)))
        if name.startswith("ledger/"):
            assert {(2, 0), (3, 0)} >= {tuple(index[:2]) for index in places.tolist()}, name
        elif name.startswith("restart/"):
            assert (places[:, :2] == place).all(), name
        elif len(places):
            assert (places[:, -2:] // tile.cells == place).all(), name
            assert not name.startswith("annual/") or set(places[:, 0]) <= {2, 3}, name
    for year in YEARS:
        assert_same(of_year(job, year), of_year(changed.fresh, year))


def _shrunk(grid: Grid) -> Grid:
    return replace(grid, rows=grid.rows // 2)


OTHERS = {
    "region": ("elsewhere", "region is small there and elsewhere here"),
    "boundary": ("ab" * 16, "outline is of digest .{8} there and of digest abababab here"),
    "grid": (_shrunk, r"grid is 48 x 24 cells from row \d+, column \d+ there and 24 x 24 cells from row"),
    "first_year": (2011, "first_year is 2010 there and 2011 here"),
    "mask_years": ((2010,), "mask_years is 2010-2011 there and 2010 here"),
    "crop_threshold": (0.7, r"crop_threshold is 0\.5 there and 0\.7 here"),
    "precision": ("tf32", "precision is fp32 there and tf32 here"),
    "year_step": ("another", r"year_step is \w+ there and another here"),
    "draws": (Draws(3), "gpp_draws is .* there and .*3.* here"),
}


@pytest.mark.parametrize("name", [field.name for field in fields(Identity)])
def test_a_cube_is_of_one_thing_and_another_is_refused_with_the_difference(job: Job, name: str) -> None:
    found = layout.identity(store.read(job.open_cube()))
    other, message = OTHERS[name]
    wanted = replace(found, **{name: other(found.grid) if callable(other) else other})
    with pytest.raises(UserError, match=message) as refused:
        layout.check_identity(found, wanted)
    assert str(refused.value).count(" there and ") == 1
    assert "Grid(" not in str(refused.value)
    assert "{" not in str(refused.value)


def test_all_differences_are_reported_together(job: Job) -> None:
    found = layout.identity(store.read(job.open_cube()))
    wanted = replace(found, region="elsewhere", grid=replace(found.grid, tile_cells=12), crop_threshold=0.7)
    with pytest.raises(UserError, match=r"region is .*; tile is 24 x 24 cells there and 12 x 12 cells here; crop"):
        layout.check_identity(found, wanted)


def edited(job: Job, *changes: tuple[str, str]) -> Job:
    """The job with another region file."""
    region = job.path.parent / "small.toml"
    for old, new in changes:
        assert old in region.read_text()
        region.write_text(region.read_text().replace(old, new))
    return Job.open(job.path)


def test_a_region_that_lost_tiles_is_refused_and_nothing_is_changed(job: Job) -> None:
    before = store.tip(job.open_cube())
    smaller = edited(job, ("39.993, -89.503, 40.007", "40.001, -89.503, 40.007"))
    with pytest.raises(UserError, match=r"outline is .*grid is"):
        do(smaller)
    again = edited(job, ("40.001, -89.503, 40.007", "39.993, -89.503, 40.007"))
    assert store.tip(again.open_cube()) == before


def test_a_region_that_begins_later_is_refused(job: Job) -> None:
    later = edited(job, ("first_year = 2010", "first_year = 2011"), ("mask_years = [2010, ", "mask_years = ["))
    with pytest.raises(UserError, match="first_year is 2010 there and 2011 here; mask_years is 2010-2011 there"):
        do(later, YEARS[1:])


def test_a_region_whose_mask_years_grew_with_its_years_is_refused_with_both_remedies(job: Job) -> None:
    grown = edited(job, ("mask_years = [2010, 2011]", "mask_years = [2010, 2011, 2012]"))
    with pytest.raises(UserError, match=r"mask_years = \[2010, 2011\] into the region's file, or .* with --years\)"):
        grown.open_cube()


def test_a_region_that_ends_earlier_loses_no_year_of_the_cube(job: Job) -> None:
    before = store.tip(job.open_cube())
    shorter = edited(job, ("last_year = 2013", "last_year = 2011"))
    assert shorter.years(None) == (2010, 2011)
    do(shorter, shorter.years(None))
    assert store.tip(shorter.open_cube()) == before
    found = read_status(shorter)
    assert found.years == YEARS[:-1]
    assert found.count().keys() == {Status.DONE}


@pytest.mark.slow
def test_stale_years_that_are_kept_stay_and_a_missing_one_after_them_is_built_on_none_of_them(
    job: Job, changed: Changed
) -> None:
    before = {year: of_year(job, year) for year in YEARS[:-1]}
    write_inputs(job, changed.inputs, years=(2012,))
    keep = Choice(keep_stale=True)
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS, choice=keep)
    assert plan.kept_stale == {2012: 1}
    assert plan.stored_years == [2013]
    do(job, choice=keep)
    assert {year for _, year in tile_years_of_last_run(job)} == {2013}
    for year, values in before.items():
        assert_same(of_year(job, year), values)
    record = Ledger(store.read(job.open_cube())).runs[-1]
    assert (record["keep_stale"], record["kept_stale"]) == (True, {"2012": 1})
    assert_same(of_year(job, 2013), of_year(changed.fresh, 2013))
    assert not np.array_equal(of_year(job, 2012)["nee"], of_year(changed.fresh, 2012)["nee"], equal_nan=True)


@pytest.mark.slow
def test_kept_tile_years_are_recorded_even_if_nothing_is_computed_and_a_plain_run_ends_it(job: Job) -> None:
    done, before = YEARS[:-1], arrays(job)
    write_inputs(job, Fields(gpp_factor={2012: 1.1}), years=(2012,))
    do(job, done, Choice(keep_stale=True))
    assert_same(arrays(job), before)
    known = Ledger(store.read(job.open_cube()))
    tiles = len(known.tiles)
    assert [record["kept_stale"] for record in known.runs] == [{}, {"2012": tiles}]
    plan = plan_run(job, open_pinned_inputs(job), years=done)
    assert plan.count(Status.STALE) == tiles
    assert plan.kept_stale == {}
    do(job, done)
    assert len(tile_years_of_last_run(job)) == tiles
    assert plan_run(job, open_pinned_inputs(job), years=done).count(Status.DONE) == len(plan.states)


@pytest.mark.slow
def test_a_tile_that_is_redone_is_redone_where_stale_is_kept(job: Job) -> None:
    write_inputs(job, Fields(gpp_factor={2012: 1.1}), years=(2012,))
    done, name = YEARS[:-1], Ledger(store.read(job.open_cube())).tiles[0]
    report = do(job, done, Choice(frozenset({name}), keep_stale=True))
    assert tile_years_of_last_run(job) == {(name, year) for year in done}
    assert report.plan.kept_stale == {}
