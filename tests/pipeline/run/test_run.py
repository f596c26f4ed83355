"""Running, resuming, appending and redoing end with the same cube."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 (the accessor .rio)
import torch
import xarray as xr

from model.checkpoint import Checkpoint
from model.features import PUBLISHED_FEATURE_SCALERS
from model.inference import Predictor
from model.network import State
from model.year_step.usable import NUMBA
from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout, restarts
from pipeline.cube.entry import Status
from pipeline.cube.layout import KEEP_BITS
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.inputs.view import open_inputs
from pipeline.job import Job
from pipeline.run.plan import Choice
from pipeline.run.prepare import open_pinned_inputs, plan_run
from pipeline.run.run import RunReport, run
from pipeline.run.tile_inputs import gather
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, Quality
from tests.helpers.last_run import tile_years_of_last_run
from tests.helpers.random_inputs import YEARS, Fields, Setting, make_job, random_checkpoint, write_inputs


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint()


def do(job: Job, years: tuple[int, ...] = YEARS, choice: Choice | None = None) -> RunReport:
    return run(job, Serial(), years=years, choice=choice or Choice())


def content(job: Job) -> dict[str, np.ndarray]:
    """All daily and annual values of the cube."""
    root = repository.read(job.open_cube())
    found = {f"annual/{variable.name}": repository.values(root, f"annual/{variable.name}") for variable in ANNUAL}
    for year in (year for year in layout.years(root) if f"daily/{year}" in root):
        found |= {f"daily/{year}/{v.name}": repository.values(root, f"daily/{year}/{v.name}") for v in DAILY}
    return found


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Job:
    """A job that has been run in one go."""
    made = make_job(tmp_path_factory.mktemp("run"), checkpoint)
    report = do(made)
    assert not report.failures
    return made


def test_the_years_of_a_cell_equal_the_bare_network_spun_up_over_two_years(job: Job, checkpoint: Checkpoint) -> None:
    root, view = repository.read(job.open_cube()), open_inputs(job.run_file.stores.inputs)
    tile = layout.tiles(root)[0].tile  # type: ignore[index]
    mask = layout.read_mask(root, tile)
    network, state = checkpoint.network(), None
    outputs = checkpoint.scalers.outputs
    means, stds = np.array(PUBLISHED_FEATURE_SCALERS).T
    cell = 3
    rows, cols = (
        window.start + index[cell] for window, index in zip(job.grid.window(tile), np.nonzero(mask.mask), strict=True)
    )
    for step, year in enumerate([*YEARS[:2], *YEARS]):
        inputs = gather(job.region, view, tile, year, mask).inputs
        days = len(inputs.gpp_TN)
        x_TF = np.empty((days, 19))
        x_TF[:, :7] = inputs.climate_7TC[:, :, inputs.climate_of_N[cell]].T
        x_TF[:, 7], x_TF[:, 8], x_TF[:, 9] = inputs.crop_N[cell], inputs.gpp_TN[:, cell], year
        x_TF[:, 10:] = inputs.soil_9N[:, cell]
        with torch.no_grad():
            result = network(torch.tensor((x_TF - means) / stds, dtype=torch.float32)[None], state)
        state = State(*result.state)
        if step < 2:
            continue
        fluxes = result.fluxes_BT3[0].numpy()
        for index, (name, sign) in enumerate({"ra": -1, "rh": -1, "nee": 1}.items()):
            expected = sign * (fluxes[:, index] * outputs[name].std + outputs[name].mean)
            stored = np.asarray(repository.array(root, f"daily/{year}/{name}")[:, rows, cols])
            np.testing.assert_allclose(stored, expected, rtol=2.0 ** -(KEEP_BITS + 1) * 1.01, atol=1e-5)
            annual = np.asarray(repository.array(root, f"annual/{name}")[year - YEARS[0], rows, cols])
            assert annual == pytest.approx(expected.sum(), abs=0.01)
        grain = result.yield_B.item() * outputs["yield"].std + outputs["yield"].mean
        assert np.asarray(repository.array(root, "annual/yield")[year - YEARS[0], rows, cols]) == pytest.approx(
            grain, rel=1e-4
        )


def test_running_again_does_nothing(job: Job) -> None:
    before = repository.tip(job.open_cube())
    report = do(job)
    assert report.totals.tile_years == 0
    assert repository.tip(job.open_cube()) == before


@pytest.mark.slow
def test_years_one_by_one_equal_years_together(tmp_path: Path, job: Job, checkpoint: Checkpoint) -> None:
    other = make_job(tmp_path, checkpoint)
    for year in YEARS:
        assert do(other, (year,)).totals.tile_years == len(layout.tiles(repository.read(other.open_cube())) or ())
    assert_same(content(other), content(job))


@pytest.mark.slow
def test_a_later_year_alone_passes_through_the_earlier_ones(tmp_path: Path, job: Job, checkpoint: Checkpoint) -> None:
    other = make_job(tmp_path, checkpoint)
    do(other, (YEARS[-1],))
    alone, whole = content(other), content(job)
    name = f"daily/{YEARS[-1]}/nee"
    np.testing.assert_array_equal(alone[name], whole[name])
    assert np.isnan(alone["annual/nee"][:-1]).all()
    do(other)
    assert_same(content(other), whole)


def test_redoing_a_tile_gives_the_same_bits(job: Job) -> None:
    before = content(job)
    name = layout.tiles(repository.read(job.open_cube()))[1].tile.name  # type: ignore[index]
    report = do(job, choice=Choice(frozenset({name})))
    assert tile_years_of_last_run(job) == {(name, year) for year in YEARS}
    assert report.totals.tile_years == len(YEARS)
    assert_same(content(job), before)


@pytest.mark.slow
def test_dask_gives_the_same_bits_as_serial(tmp_path: Path, job: Job, checkpoint: Checkpoint) -> None:
    other = make_job(tmp_path, checkpoint, setting=Setting(scheduler="local"))
    with open_executor(other.run_file.execution) as executor:
        run(other, executor, years=YEARS)
    assert_same(content(other), content(job))


def states(job: Job) -> dict[str, np.ndarray]:
    """The carried states of the cube as maps (layer, unit, y, x)."""
    root = repository.read(job.open_cube())
    years = [int(year) for year in sorted(repository.subgroup(root, "restart").group_keys())]
    maps = {f"restart/{year}": np.full((6, 64, *job.grid.shape), np.nan, np.float32) for year in years}
    for planned in layout.tiles(root) or ():
        mask, window = layout.read_mask(root, planned.tile).mask, job.grid.window(planned.tile)
        for year in years:
            state = restarts.read_restart(root, planned.tile, year, cells=planned.cells).state_SNH
            maps[f"restart/{year}"][..., *window] = layout.on_tile(state.transpose(0, 2, 1), mask, fill=np.nan)
    return maps


@pytest.mark.slow
@pytest.mark.parametrize("edge", [8, 48])
def test_other_tiles_give_the_same_map_and_with_the_compiled_year_step_the_same_bits(
    tmp_path: Path, job: Job, checkpoint: Checkpoint, edge: int
) -> None:
    other = make_job(tmp_path, checkpoint, setting=Setting(tile_cells=edge))
    do(other)
    counts = [len(layout.tiles(repository.read(each.open_cube())) or ()) for each in (other, job)]
    assert (counts[0] > counts[1]) == (edge < job.grid.tile_cells)
    one, two = (content(each) | states(each) for each in (job, other))
    assert one.keys() == two.keys()
    assert [name for name in one if name.startswith("restart/")]
    for name in one:
        whole, values = (part.astype(np.float64) for part in _common(job, one[name], other, two[name]))
        if job.year_step == NUMBA:
            np.testing.assert_array_equal(values, whole, err_msg=name)
        assert np.array_equal(np.isnan(whole), np.isnan(values))
        if name.startswith("daily/"):
            step = np.maximum(np.spacing(np.abs(values)) * 2.0 ** (23 - KEEP_BITS), 1e-6)
            assert np.nanmax(np.abs(values - whole) / step) <= 1
        else:
            assert np.nanmax(np.abs(values - whole)) <= 1e-5 * np.nanstd(whole)


def _common(job: Job, one: np.ndarray, other: Job, two: np.ndarray) -> list[np.ndarray]:
    """The parts of two maps that show the same cells: all modelled ones."""
    grids = [job.grid, other.grid]
    first = [max(grid.first_row for grid in grids), max(grid.first_col for grid in grids)]
    last = [
        min(grid.first_row + grid.rows for grid in grids), min(grid.first_col + grid.cols for grid in grids)
    ]  # fmt: skip
    parts = []
    for grid, values in zip(grids, (one, two), strict=True):
        rows = slice(first[0] - grid.first_row, last[0] - grid.first_row)
        cols = slice(first[1] - grid.first_col, last[1] - grid.first_col)
        parts.append(values[..., rows, cols])
    return parts


@pytest.mark.slow
def test_a_changed_year_makes_that_and_later_years_of_its_tiles_stale(tmp_path: Path, checkpoint: Checkpoint) -> None:
    job = make_job(tmp_path, checkpoint)
    do(job)
    before = content(job)
    fields = Fields(gpp_factor={2012: 1.1})
    write_inputs(job, fields, years=(2012,))
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    for (_, year), state in plan.states.items():
        assert state.status is (Status.STALE if year >= 2012 else Status.DONE)
        assert year < 2012 or state.reason == "changed: gpp"
    do(job)
    after = content(job)
    np.testing.assert_array_equal(after["daily/2011/rh"], before["daily/2011/rh"])
    assert not np.array_equal(after["daily/2013/rh"], before["daily/2013/rh"], equal_nan=True)
    fresh = make_job(tmp_path / "fresh", checkpoint, fields=fields)
    do(fresh)
    assert_same(after, content(fresh))


@pytest.mark.slow
def test_a_changed_spin_up_year_makes_all_years_stale(tmp_path: Path, checkpoint: Checkpoint) -> None:
    job = make_job(tmp_path, checkpoint)
    do(job)
    write_inputs(job, Fields(gpp_factor={2011: 1.1}), years=(2011,))
    plan = plan_run(job, open_pinned_inputs(job), years=YEARS)
    assert plan.count(Status.STALE) == len(plan.states)


def _missing_cell(job: Job) -> tuple[int, int]:
    """Row and column in the grid of a modelled cell."""
    mask = repository.values(repository.read(job.open_cube()), "static/mask")
    row, col = np.argwhere(mask)[4]
    return int(row), int(col)


@pytest.mark.slow
def test_a_missing_year_gives_no_result_passes_the_state_and_flags_the_next(
    tmp_path: Path, job: Job, checkpoint: Checkpoint
) -> None:
    row, col = _missing_cell(job)
    gap = make_job(tmp_path, checkpoint, fields=Fields(missing={2012: [(row, col)]}))
    do(gap)
    found, whole = content(gap), content(job)
    assert np.isnan(found["daily/2012/nee"][:, row, col]).all()
    assert np.isnan(found["annual/dsoc"][2, row, col])
    assert found["annual/quality"][2, row, col] & Quality.MISSING
    assert found["annual/quality"][3, row, col] & Quality.GAP_YEAR_BEFORE
    others = np.ones(job.grid.shape, bool)
    others[row, col] = False
    np.testing.assert_allclose(found["annual/nee"][:, others], whole["annual/nee"][:, others], rtol=1e-4, atol=1e-3)
    tile, state, mask = _state_of(gap, 2011, checkpoint, (row, col))
    inputs = gather(gap.region, open_inputs(gap.run_file.stores.inputs), tile, 2013, mask).inputs
    cell = np.zeros(mask.cells, bool)
    cell[_number(gap, mask, tile, (row, col))] = True
    expected = Predictor(checkpoint).year(inputs.cells(cell), state[:, cell]).nee_TN[:, 0]
    np.testing.assert_allclose(found["daily/2013/nee"][:, row, col], expected, rtol=1e-3, atol=1e-4)


def _state_of(job: Job, year: int, checkpoint: Checkpoint, cell: tuple[int, int]):  # type: ignore[no-untyped-def]
    """Tile, state (6, N, 64) at the end of `year` computed afresh, and mask of the tile that holds the cell."""
    root, view = repository.read(job.open_cube()), open_inputs(job.run_file.stores.inputs)
    (tile,) = (
        planned.tile
        for planned in layout.tiles(root) or ()
        if all(w.start <= i < w.stop for w, i in zip(job.grid.window(planned.tile), cell, strict=True))
    )
    mask, predictor, state = layout.read_mask(root, tile), Predictor(checkpoint), None
    for past in [*job.region.spinup_years, *range(job.region.first_year, year + 1)]:
        state = predictor.year(gather(job.region, view, tile, past, mask).inputs, state).state_SNH
    return tile, state, mask


def _number(job: Job, mask: layout.TileMask, tile: object, cell: tuple[int, int]) -> int:
    """Position of a cell among the modelled ones of its tile."""
    rows, cols = job.grid.window(tile)  # type: ignore[arg-type]
    numbers = np.cumsum(mask.mask.ravel()).reshape(mask.mask.shape) - 1
    return int(numbers[cell[0] - rows.start, cell[1] - cols.start])


@pytest.mark.slow
@pytest.mark.parametrize("missing", [(2010,), (2011,), (2010, 2011)])
def test_a_missing_spin_up_year_is_replaced_by_a_complete_one(
    tmp_path: Path, job: Job, checkpoint: Checkpoint, missing: tuple[int, ...]
) -> None:
    cell = _missing_cell(job)
    gap = make_job(tmp_path, checkpoint, fields=Fields(missing={year: [cell] for year in missing}))
    do(gap)
    found = content(gap)
    for year in YEARS:
        values = found[f"daily/{year}/rh"][(slice(None), *cell)]
        assert np.isnan(values).all() if year in missing else np.isfinite(values).all()
    view = open_inputs(gap.run_file.stores.inputs)
    tile, _, mask = _state_of(job, 2010, checkpoint, cell)
    chosen = np.zeros(mask.cells, bool)
    chosen[_number(gap, mask, tile, cell)] = True
    spin_up = {(2010,): (2011, 2011), (2011,): (2010, 2010), (2010, 2011): (2012, 2012)}[missing]
    state, predictor = None, Predictor(checkpoint)
    complete = [year for year in YEARS if year not in missing]
    for year in [*spin_up, *complete]:
        fluxes = predictor.year(gather(gap.region, view, tile, year, mask).inputs.cells(chosen), state)
        state = fluxes.state_SNH
    np.testing.assert_allclose(found["daily/2013/rh"][(slice(None), *cell)], fluxes.rh_TN[:, 0], rtol=1e-3, atol=1e-4)


def test_annual_layers_close_the_balances(job: Job) -> None:
    annual = xr.open_zarr(job.open_cube().readonly_session("main").store, group="annual", consolidated=False).load()
    np.testing.assert_allclose(annual["reco"], annual["ra"] + annual["rh"], rtol=1e-5)
    np.testing.assert_allclose(annual["dsoc"], -annual["nee"] - annual["yield"], atol=1e-2)
    difference = annual["dsoc"] - annual["dsoc_balance"]
    np.testing.assert_allclose(annual["balance_residual"], difference, atol=1e-2)
    daily = xr.open_zarr(job.open_cube().readonly_session("main").store, group="daily/2012", consolidated=False).load()
    np.testing.assert_allclose(
        daily["nee"].sum("time", skipna=False), annual["nee"].sel(year=2012), rtol=1e-3, atol=0.5
    )


def test_the_cube_opens_in_xarray_with_cf_metadata(job: Job) -> None:
    session = job.open_cube().readonly_session("main")
    daily = xr.open_zarr(session.store, group="daily/2012", consolidated=False, decode_coords="all")
    assert daily.sizes["time"] == 366
    assert str(daily["time"].values[-1])[:10] == "2012-12-31"
    assert daily["nee"].attrs["units"] == "g m-2 d-1"
    assert "positive to the atmosphere" in daily["nee"].attrs["long_name"]
    assert daily.rio.crs is not None
    assert "Sinusoidal" in daily.rio.crs.to_wkt()
    np.testing.assert_allclose(daily["x"], job.grid.x_m)
    annual = xr.open_zarr(session.store, group="annual", consolidated=False)
    assert list(annual["year"].values) == list(YEARS)
    assert set(annual.data_vars) >= {variable.name for variable in ANNUAL}
    assert "not_grown" in annual["quality"].attrs["flag_meanings"]


def test_restart_keeps_to_its_policy(job: Job) -> None:
    held = {int(name) for name in repository.subgroup(repository.read(job.open_cube()), "restart").group_keys()}
    assert held == {2010, 2012, 2013}  # even years, and the last


def test_the_ledger_traces_every_tile_year(job: Job, checkpoint: Checkpoint) -> None:
    known = Ledger(repository.read(job.open_cube()))
    assert (known.column("cells").sum(1) == known.column("cells").sum(1)[0]).all()
    assert known.column("checksum").any(-1).all()
    record = known.runs[int(known.column("run")[0, 0])]
    assert record["checkpoint"]["sha256"] == checkpoint.sha256
    assert record["inputs"]["snapshot"] == open_inputs(job.run_file.stores.inputs).snapshot
    assert record["versions"]["torch"] == version("torch")


def test_a_second_run_is_kept_out(job: Job) -> None:
    with (
        repository.sole_writer(job.run_file.stores.cube),
        pytest.raises(UserError, match=f"process {os.getpid()} is writing"),
    ):
        do(job)


def test_a_cube_of_something_else_is_refused(job: Job) -> None:
    other = replace(job, region=replace(job.region, crop_threshold=0.7))
    with pytest.raises(UserError, match=r"crop_threshold is 0\.5 there and 0\.7 here"):
        do(other)


@pytest.mark.slow
def test_years_that_are_not_ingested_are_blocked_and_the_others_run(tmp_path: Path, checkpoint: Checkpoint) -> None:
    job = make_job(tmp_path, checkpoint)
    report = do(job, (*YEARS, 2014))
    assert report.plan.blocked == {2014: ("climate", "crop", "gpp")}
    assert {year for _, year in tile_years_of_last_run(job)} == set(YEARS)
    with pytest.raises(UserError, match=r"not ingested: 2014 \(climate, crop, gpp\)"):
        do(job, (2014,))


class Flaky(Serial):
    """Fails one tile."""

    def map(self, function, items, **options):  # type: ignore[no-untyped-def]
        for outcome in super().map(function, items, **options):
            # Blocks are computed in groups, here of one; masks are made before them.
            bad = isinstance(outcome.item, tuple) and any(task.block.tile.v == 5 for task in outcome.item)
            yield Outcome(item=outcome.item, error="disk of tile is broken") if bad else outcome


@pytest.mark.slow
def test_a_failed_tile_stops_no_other_and_is_redone(tmp_path: Path, job: Job, checkpoint: Checkpoint) -> None:
    other = make_job(tmp_path, checkpoint)
    report = run(other, Flaky(), years=YEARS)
    assert report.failures
    assert report.totals.tile_years
    states = plan_run(other, open_pinned_inputs(other), years=YEARS).states.values()
    assert {state.status for state in states} == {Status.DONE, Status.FAILED, Status.MISSING}
    do(other)
    assert not Ledger(repository.read(other.open_cube())).failures
    assert_same(content(other), content(job))


@pytest.mark.slow
def test_a_run_killed_half_way_and_started_again_gives_the_same_cube(
    tmp_path: Path, job: Job, checkpoint: Checkpoint
) -> None:
    other = make_job(tmp_path, checkpoint, setting=Setting(scheduler="local"))
    command = [sys.executable, "-m", "pipeline.cli", "run", str(other.path)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if repository.exists(other.run_file.stores.cube) and _rows(other) > 0:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = _rows(other)
    total = len(YEARS) * len(layout.tiles(repository.read(other.open_cube())) or ())
    assert 0 < done < total
    report = do(other)
    assert report.totals.tile_years == total - done
    assert_same(content(other), content(job))


def _rows(job: Job) -> int:
    root = repository.read(job.open_cube())
    return int(np.count_nonzero(Ledger(root).column("cells"))) if "ledger" in root else 0
