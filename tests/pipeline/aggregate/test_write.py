"""Aggregation commits year by year: nothing lost, nothing twice, nothing half-done taken for done, nothing redone."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import shapely
import zarr

from pipeline.aggregate import layout, tables
from pipeline.aggregate.bands import YearResults
from pipeline.aggregate.frame import Band, Frame, frame_of
from pipeline.aggregate.layout import Part
from pipeline.aggregate.write import AggregateReport, aggregate_cube
from pipeline.audit.aggregates import comparable_years
from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Executor, Serial
from pipeline.cluster.stop import Stop
from pipeline.cube import layout as cube
from pipeline.cube import ledger
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.grid.sinusoidal import CELL_M, lonlat
from pipeline.job import Job
from pipeline.storage import repository as store
from pipeline.storage import retry
from pipeline.storage.commit import MARK, CommitError, Committer
from regions import zones
from tests.helpers.commits import transaction
from tests.helpers.filled_cube import FIRST, LAST, fill_cube, write_results

Commit = Callable[..., str]
STRUCTURE, DATA = f"make room for aggregates of {FIRST}", f"aggregates of {FIRST}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube of two years without aggregates; the second year is incomplete."""
    return fill_cube(tmp_path_factory.mktemp("cube")).job


@pytest.fixture(scope="module")
def undisturbed(filled: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A copy of it that was aggregated without any fault."""
    job = copy_of(filled, tmp_path_factory.mktemp("undisturbed"))
    aggregate(job)
    return job


@pytest.fixture
def job(filled: Job, tmp_path: Path) -> Job:
    """A copy of it, to be disturbed."""
    return copy_of(filled, tmp_path)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off without sleep."""
    monkeypatch.setattr(retry.RetryPolicy, "waits", lambda policy, _rng: iter([0.0] * policy.retries))


def copy_of(job: Job, folder: Path) -> Job:
    shutil.copytree(job.path.parent, folder / "copy")
    return Job.open(folder / "copy" / job.path.name)


def aggregate(job: Job, executor: Executor | None = None, **options: Any) -> AggregateReport:
    return aggregate_cube(job, executor or Serial(), **options)


def newest(job: Job) -> zarr.Group:
    return store.read(job.open_cube())


def messages(job: Job) -> list[str]:
    return [snapshot.message for snapshot in job.open_cube().ancestry(branch=store.BRANCH)]


def exports(job: Job) -> str:
    return job.stores.exports


def content(job: Job) -> dict[str, list[Any]]:
    """All values and attributes below `aggregates`, and the tables."""
    group = store.subgroup(newest(job), "aggregates")
    found = {path: [node.attrs.asdict()] for path, node in group.members(max_depth=None)}
    for path, node in group.members(max_depth=None):
        if isinstance(node, zarr.Array):
            values = np.asarray(node[...])
            found[path].append(values.tolist() if values.dtype.kind == "T" else values.tobytes())
    for name in tables.NAMES:
        found[name] = [Path(tables.tables_location(exports(job)), f"{name}.csv").read_text()]
    return found


def break_commit(monkeypatch: pytest.MonkeyPatch, plans: dict[str, list[str | Exception]]) -> list[str]:
    """Have commits of a message raise before they are made (an error) or after ("lost": their reply is lost)."""
    real: Commit = icechunk.Session.commit
    seen: list[str] = []

    def commit(session: icechunk.Session, message: str, *args: Any, **options: Any) -> str:
        waiting = plans.get(message, [])
        plan = waiting.pop(0) if waiting else "as it is"
        seen.append(message)
        if isinstance(plan, Exception):
            raise plan
        snapshot = real(session, message, *args, **options)
        if plan == "lost":
            raise ConnectionResetError("the reply was lost")
        return snapshot

    monkeypatch.setattr(icechunk.Session, "commit", commit)
    return seen


def count_bands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Note the year and number of every band that is computed from now on."""
    computed: list[tuple[int, int]] = []
    real = layout.band_parts

    def counted(results: YearResults, frame: Frame, band: Band, *, first_year: int) -> Iterator[Part]:
        computed.append((results.year, band.number))
        return real(results, frame, band, first_year=first_year)

    monkeypatch.setattr(layout, "band_parts", counted)
    return computed


def test_structure_and_data_are_two_marked_commits(undisturbed: Job) -> None:
    assert messages(undisturbed)[:2] == [DATA, STRUCTURE]
    made = list(undisturbed.open_cube().ancestry(branch=store.BRANCH))[:2]
    assert all(snapshot.metadata[MARK] for snapshot in made)
    assert all(snapshot.metadata["years"] == [FIRST] for snapshot in made)


def test_a_second_call_finds_all_up_to_date_and_commits_nothing(job: Job) -> None:
    assert aggregate(job).done == (FIRST,)
    tip = store.tip(job.open_cube())
    again = aggregate(job)
    assert (again.done, again.kept, dict(again.incomplete)) == ((), (FIRST,), {LAST: 1})
    assert store.tip(job.open_cube()) == tip


@pytest.mark.slow
def test_transient_errors_of_commits_are_tried_again_with_the_same_content(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = count_bands(monkeypatch)
    timeout = icechunk.IcechunkError("  x session error\n  `-> operation timed out\n")
    disk = OSError(errno.EIO, "disk")
    seen = break_commit(monkeypatch, {STRUCTURE: [disk], DATA: [timeout, disk]})
    assert aggregate(job).done == (FIRST,)
    assert seen == [STRUCTURE, STRUCTURE, DATA, DATA, DATA]
    assert sorted(computed) == [(FIRST, 0), (FIRST, 1)], "a retry computes nothing again"
    assert content(job) == content(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["part", "write", "write_made_of"])
def test_transient_errors_of_reads_and_writes_are_tried_again_with_the_same_content(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    real, faults = getattr(layout, function), [OSError(errno.EIO, "disk")] * 2

    def faulty(*args: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return real(*args, **options)

    monkeypatch.setattr(layout, function, faulty)
    assert aggregate(job).done == (FIRST,)
    assert not faults
    assert content(job) == content(undisturbed)


def break_writing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def broken(*_args: Any) -> None:
        raise OSError(number, "broken")

    monkeypatch.setattr(layout, "write", broken)


def test_a_full_disk_ends_in_one_sentence_and_shows_no_year(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    break_writing(monkeypatch, errno.ENOSPC)
    with pytest.raises(UserError, match=r"cube\.icechunk: cannot be written any more: .* broken; .*free space"):
        aggregate(job)
    assert_nothing_shown(job)


def test_an_error_that_stays_fails_its_year_by_name_and_shows_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_writing(monkeypatch, errno.EIO)
    report = aggregate(job)
    assert (report.done, report.kept) == ((), ())
    assert report.failures.keys() == {FIRST}
    assert "broken" in report.failures[FIRST]
    assert_nothing_shown(job)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [STRUCTURE, DATA])
def test_a_commit_whose_reply_was_lost_is_found_and_not_made_twice(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    seen = break_commit(monkeypatch, {lost: ["lost"]})
    assert aggregate(job).done == (FIRST,)
    assert seen == [STRUCTURE, DATA]
    assert messages(job) == messages(undisturbed)
    assert content(job) == content(undisturbed)


def test_a_foreign_commit_is_refused_by_name_and_nothing_is_shown(job: Job) -> None:
    def progress(_name: str, done: int, _total: int) -> None:
        if done == 1:
            foreign = Committer(job.open_cube(), "elsewhere")
            foreign.commit("theirs", lambda root: root.attrs.update({"theirs": 1}))

    with pytest.raises(CommitError, match="'theirs'"):
        aggregate(job, progress=progress)
    assert messages(job)[0] == "theirs"
    assert_nothing_shown(job)


def test_a_lost_lease_stops_before_the_commit(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [True]

    def still_held() -> None:
        if not held[0]:
            raise UserError("the lease was taken by another process")

    monkeypatch.setattr(store, "sole_writer", lambda _location: nullcontext(still_held))
    with pytest.raises(UserError, match="lease was taken"):
        aggregate(job, progress=lambda *_: held.__setitem__(0, False))
    assert messages(job)[0] == STRUCTURE
    assert_nothing_shown(job)


class KilledError(BaseException):
    """An end that nothing catches, as that of a killed process."""


def killed(job: Job, monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
    """Aggregate, and end in the call of a function."""

    def kill(*_args: object, **_options: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(target, name, kill)
        with pytest.raises(KilledError):
            aggregate(job)


def assert_nothing_shown(job: Job) -> None:
    """No reader takes a year for aggregated: not the audit, no export, no table."""
    root = newest(job)
    assert all(layout.sources(root, path) == {} for path in layout.MAPS)
    assert comparable_years(root, {FIRST: Ledger(root).year_digest(FIRST)}) == ()
    with pytest.raises(UserError, match="absent or older than the results"):
        export_cogs(job, Serial(), Selection(years=(FIRST,), grid="0.5"), str(job.path.parent / "never"))
    assert_not_in_tables(job)


def assert_not_in_tables(job: Job) -> None:
    for name in tables.NAMES:
        table = tables.read_table(exports(job), name)
        assert table.empty or FIRST not in set(table["year"])


def assert_completed(job: Job, undisturbed: Job, *, done: tuple[int, ...] = (FIRST,)) -> None:
    assert aggregate(job).done == done
    assert content(job) == content(undisturbed)


@pytest.mark.slow
def test_a_kill_between_structure_and_data_shows_nothing_and_the_next_call_completes_it(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(job, monkeypatch, layout, "write_made_of")
    assert messages(job)[0] == STRUCTURE
    assert layout.FINE in newest(job)
    assert_nothing_shown(job)
    assert_completed(job, undisturbed)


@pytest.mark.slow
def test_a_kill_between_data_and_tables_is_completed_by_the_next_call_from_the_cube_alone(
    job: Job, undisturbed: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(job, monkeypatch, tables, "write")
    assert messages(job)[0] == DATA
    assert_completed(job, undisturbed, done=())


def other_results(job: Job) -> str:
    """Write other results of one tile and the first year, as a run would; return the tile's name."""
    root = newest(job)
    planned = (cube.tiles(root) or ())[-1]
    mask = cube.read_mask(root, planned.tile).mask
    with transaction(job.open_cube(), "a run") as root:
        row = write_results(root, planned.tile, FIRST, mask=mask, rng=np.random.default_rng(9))
        ledger.record(root, [row], run=0, failures={})
    return planned.tile.name


@pytest.mark.slow
def test_no_table_keeps_old_rows_of_a_year_that_was_aggregated_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed after the commit must leave no rows of before it: they would pass for up to date."""
    aggregate(job)
    other_results(job)
    killed(job, monkeypatch, tables, "write")
    assert_not_in_tables(job)


@pytest.mark.slow
def test_tables_that_were_removed_are_made_again_from_the_cube(job: Job, undisturbed: Job) -> None:
    aggregate(job)
    shutil.rmtree(tables.tables_location(exports(job)))
    assert_completed(job, undisturbed, done=())


@pytest.mark.slow
def test_only_the_bands_of_changed_tiles_are_computed_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    aggregate(job)
    name = other_results(job)
    afresh = copy_of(job, job.path.parent.parent / "afresh")
    with transaction(afresh.open_cube(), "no aggregates") as root:
        del root["aggregates"]
    aggregate(afresh)
    computed = count_bands(monkeypatch)
    assert aggregate(job).done == (FIRST,)
    (of_tile,) = (band for band in frame_of(job.region).bands if name in {tile.name for tile in band.tiles})
    assert computed == [(FIRST, of_tile.number)]
    assert content(job) == content(afresh)


@pytest.fixture(scope="module")
def two_years(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube of two complete years without aggregates."""
    return fill_cube(tmp_path_factory.mktemp("two years"), complete=True).job


@pytest.mark.slow
def test_a_kill_in_the_second_year_keeps_the_first_and_redoes_only_the_second(
    two_years: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, job = (copy_of(two_years, tmp_path / name) for name in ("whole", "killed"))
    assert aggregate(whole).done == (FIRST, LAST)
    written: list[int] = []
    real = layout.write_made_of

    def kill_in_last(root: zarr.Group, year: int, band: Band, digest: str) -> None:
        if year == LAST and written:
            raise KilledError
        written.append(year) if year == LAST else None
        real(root, year, band, digest)

    with monkeypatch.context() as patched:
        patched.setattr(layout, "write_made_of", kill_in_last)
        with pytest.raises(KilledError):
            aggregate(job)
    assert list(layout.sources(newest(job))) == [FIRST]
    computed = count_bands(monkeypatch)
    assert aggregate(job).done == (LAST,)
    assert sorted(computed) == [(LAST, 0), (LAST, 1)]
    assert content(job) == content(whole)


def test_a_stop_keeps_the_years_that_ended(two_years: Job, tmp_path: Path) -> None:
    job, stop = copy_of(two_years, tmp_path), Stop()
    report = aggregate(job, Serial(stop), progress=lambda _name, done, _total: stop.ask() if done == 3 else None)
    assert (report.stopped, report.done) == (True, (FIRST,))
    assert list(layout.sources(newest(job))) == [FIRST]
    assert set(report.region["year"]) == {FIRST}


def test_a_damaged_result_fails_its_year_alone(two_years: Job, tmp_path: Path) -> None:
    job = copy_of(two_years, tmp_path)
    first = (cube.tiles(newest(job)) or ())[0].tile
    with transaction(job.open_cube(), "damage") as root:
        rows, cols = cube.identity(root).grid.window(first)
        store.array(root, "annual/nee")[0, rows.start : rows.stop, cols.start : cols.stop] = np.nan
    report = aggregate(job)
    assert report.done == (LAST,)
    assert f"{first.name}, year {FIRST}" in report.failures[FIRST]


@pytest.mark.slow
def test_one_and_two_workers_write_the_same_bits(two_years: Job, tmp_path: Path) -> None:
    jobs = [copy_of(two_years, tmp_path / str(workers)) for workers in range(3)]
    aggregate(jobs[0])
    for workers, job in enumerate(jobs[1:], start=1):
        with open_executor(ExecutionSettings(workers=workers)) as executor:
            assert aggregate(job, executor).done == (FIRST, LAST)
    assert content(jobs[0]) == content(jobs[1]) == content(jobs[2])


@pytest.mark.slow
def test_every_half_degree_has_the_sums_of_points_inside_its_cells(two_years: Job, tmp_path: Path) -> None:
    """By brute force: 20 x 20 points in each cell stand for its area; those outside the region's box are dropped."""
    job, points, index = copy_of(two_years, tmp_path), 20, LAST - FIRST
    aggregate(job)
    root, grid, target = newest(job), job.grid, frame_of(job.region).coarse
    inside = (np.arange(points) + 0.5) / points
    x = grid.x_edges_m[0] + CELL_M * (np.arange(grid.cols)[:, None] + inside).ravel()
    y = grid.y_edges_m[0] - CELL_M * (np.arange(grid.rows)[:, None] + inside).ravel()
    lon, lat = lonlat(*np.meshgrid(x, y))
    west, south, east, north = shapely.total_bounds([zone.geometry for zone in zones(job.region)])
    kept = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    row, col = (np.floor(degrees[kept] * 2).astype(int) for degrees in (90 - lat, lon + 180))
    nee = store.part(root, "annual/nee", index).astype(np.float64)
    area = store.values(root, "static/cell_area")[:, None] * np.isfinite(nee) / points**2
    expected = np.zeros((2, *target.shape))
    for sums, layer in zip(expected, (area, np.nan_to_num(nee) * area), strict=True):
        of_points = np.kron(layer, np.ones((points, points)))[kept]
        np.add.at(sums, (row - target.first_row, col - target.first_col), of_points)
    area_m2, mean = (store.part(root, f"{layout.COARSE}/{name}", (index, 0)) for name in ("area", "nee"))
    np.testing.assert_allclose(area_m2, expected[0], rtol=5e-3)  # a row of points is 0.35 % of the region's height
    np.testing.assert_allclose(mean, expected[1] / expected[0], atol=2e-3 * np.nanstd(nee))


def test_an_incomplete_year_that_is_named_is_refused(job: Job) -> None:
    with pytest.raises(UserError, match=f"{LAST}: 1 of its tiles have no result in the cube; run `agcarbon run"):
        aggregate(job, years=(FIRST, LAST))
    with pytest.raises(UserError, match="2050: all of its tiles have no result"):
        aggregate(job, years=(2050,))


@pytest.mark.slow
def test_aggregates_of_another_structure_are_made_anew_whole(two_years: Job, tmp_path: Path) -> None:
    job, afresh = (copy_of(two_years, tmp_path / name) for name in ("older", "afresh"))
    for each in (job, afresh):
        aggregate(each)
    with transaction(job.open_cube(), "older") as root:
        group = store.subgroup(root, layout.BANDS)
        group.attrs["routes"] = ["cells", "counties", "0.0025", "0.5"]
        del root[layout.MIDDLE]
    assert comparable_years(newest(job), {FIRST: Ledger(newest(job)).year_digest(FIRST)}) == ()
    assert aggregate(job).done == (FIRST, LAST)
    assert content(job) == content(afresh)
