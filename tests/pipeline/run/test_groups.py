"""Tiles in groups: the cube of tiles one by one, in full batches, and one bad tile fails alone."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.arrays import YearFluxes, YearInputs
from model.checkpoint import Checkpoint
from model.device.predictor import DevicePredictor
from pipeline.cluster.dask import open_executor
from pipeline.cluster.executor import Outcome, Serial
from pipeline.cube import layout, restarts
from pipeline.errors import DamagedError
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs import view
from pipeline.job import Job
from pipeline.progress import on_heartbeat
from pipeline.run import block, coordinator
from pipeline.run.groups import ALONE, MOST_TILES, Packing, batches_of, grouped
from pipeline.run.plan import Block
from pipeline.run.run import run
from pipeline.storage.retry import RetryPolicy
from pipeline.variables import ENSEMBLE_STD
from tests.helpers import device_on_cpu
from tests.helpers.cube_states import REMEASURED, assert_same, content
from tests.helpers.random_inputs import YEARS, Fields, Setting, make_job, random_checkpoint

pytestmark = pytest.mark.slow

PACKING = Packing(16, batches=1)  # of the run file of `make_job`: three groups
# A year is missing in all cells of some tiles, and in single cells of others.
FIELDS = Fields(missing={2010: [(4, 7)], 2011: [(r, c) for r in range(6) for c in range(15)], 2012: [(9, 4)]})


@pytest.fixture(scope="module")
def ensemble() -> Checkpoint:
    return Checkpoint.ensemble([random_checkpoint(1), random_checkpoint(2)])


@pytest.fixture(autouse=True)
def _device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy, "waits", lambda self, _: iter([0.0] * self.retries))
    monkeypatch.setattr(block, "open_predictor", device_on_cpu.open_whole)
    block._predictor.cache_clear()


@pytest.fixture
def grouping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.run.run.packing_of", lambda *_, **__: PACKING)


def small_tiles(folder: Path, checkpoint: Checkpoint, scheduler: str = "serial") -> Job:
    """A job of 11 tiles with 1 to 8 modelled cells."""
    job = make_job(folder, checkpoint, fields=FIELDS, setting=Setting(tile_cells=3, scheduler=scheduler))
    job.path.write_text(job.path.read_text().replace("[model]", '[model]\nyear_step = "pytorch"'))
    return Job.open(job.path)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory, ensemble: Checkpoint) -> dict[str, np.ndarray]:
    """The cube of the same device with each tile alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "open_predictor", device_on_cpu.open_whole)
        block._predictor.cache_clear()
        job = small_tiles(tmp_path_factory.mktemp("alone"), ensemble)
        assert not run(job, Serial(), years=YEARS).failures
    return content(job)


@pytest.mark.usefixtures("grouping")
def test_a_cube_made_in_groups_has_the_bits_of_one_made_tile_by_tile(
    tmp_path: Path, ensemble: Checkpoint, one_by_one: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    years, reads = list[int](), Counter[tuple[Any, ...]]()
    year, read = DevicePredictor.year, view._read

    def counted_year(predictor: DevicePredictor, inputs: YearInputs, *given: Any, **named: Any) -> YearFluxes:
        years.append(inputs.year)
        return year(predictor, inputs, *given, **named)

    def counted_read(of: Any, product: str, year: int | None, name: str, selection: Any) -> Any:
        reads[product, year, name, str(selection)] += product in {"soil", "crop"}
        return read(of, product, year, name, selection)

    monkeypatch.setattr(DevicePredictor, "year", counted_year)
    monkeypatch.setattr(view, "_read", counted_read)
    job = small_tiles(tmp_path, ensemble)
    report = run(job, Serial(), years=YEARS)
    assert not report.failures
    assert min(tile.cells for tile in report.plan.tiles) == 1
    found = content(job)
    assert_same(found, one_by_one, but=REMEASURED)
    assert {f"annual/{spread.name}" for spread in ENSEMBLE_STD.values()} <= found.keys()
    assert (found["ledger/missing_cells"] == found["ledger/cells"]).any()
    # The last year has no newcomers: one call for each group.
    groups = grouped([chain[-1] for chain in report.plan.chains], PACKING)
    assert 1 < len(groups) < len(report.plan.tiles)
    assert years.count(YEARS[-1]) == len(groups)
    # Once for the mask, and once for the groups of a tile, whatever the other tiles are.
    assert max(reads.values()) == 2
    assert (found["ledger/seconds"][found["ledger/cells"] > 0] > 0).all()


def assert_same_fluxes(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], years: tuple[int, ...]) -> None:
    for flux in (f"daily/{year}/{name}" for year in years for name in ("ra", "rh", "nee")):
        np.testing.assert_array_equal(found[flux], expected[flux], err_msg=flux)


class BadTile:
    """Has a function fail for one tile, whose name it knows by its position among the function's arguments."""

    def __init__(self, owner: Any, name: str, *, position: int, error: Exception) -> None:
        self.real: Callable[..., Any] = getattr(owner, name)
        self.position, self.error, self.tile = position, error, ""

    def __call__(self, *given: Any, **named: Any) -> Any:
        tile: Tile = given[self.position]
        if tile.name == self.tile:
            raise self.error
        return self.real(*given, **named)


@pytest.mark.usefixtures("grouping")
@pytest.mark.parametrize(
    ("owner", "name", "position", "error"),
    [
        (block, "gather", 2, DamagedError("gpp/2010: the tile holds other values than were ingested")),
        (layout, "write_tile_year", 1, PermissionError(errno.EACCES, "Permission denied")),
        pytest.param(restarts, "read_restart", 1, DamagedError("the state is damaged")),
    ],
    ids=["inputs", "write", "state"],
)
def test_a_tile_that_fails_leaves_the_others_of_its_group_done_and_a_later_run_does_it(
    tmp_path: Path,
    ensemble: Checkpoint,
    one_by_one: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    position: int,
    error: Exception,
) -> None:
    job, bad = small_tiles(tmp_path, ensemble), BadTile(owner, name, position=position, error=error)
    bad.tile = job.domain.tiles[4].name
    monkeypatch.setattr(owner, name, bad)
    # A state is first read by the second block.
    years = YEARS[:2] if name == "read_restart" else YEARS[:1]
    first = years[-1]
    report = run(job, Serial(), years=years)
    ((failed, message),) = report.failures.items()
    assert failed == (bad.tile, first)
    assert str(error.args[-1]) in message
    done = len(report.plan.tiles) * len(years) - 1
    assert report.totals.tile_years == done
    monkeypatch.setattr(owner, name, bad.real)
    assert run(job, Serial(), years=years).totals.tile_years == 1
    assert_same_fluxes(content(job), one_by_one, years)


class Killed(Serial):
    """Workers that a group with one tile kills, however often it is sent."""

    def __init__(self, tile: str) -> None:
        super().__init__()
        self.tile, self.sent = tile, list[int]()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> Iterator[Outcome[Any, Any]]:
        for item in items:
            if isinstance(item, tuple):
                self.sent.append(len(item))
                if any(task.block.tile.name == self.tile for task in item):
                    yield Outcome(error="its worker was killed", item=item)
                    continue
            yield from super().map(function, [item], **options)


@pytest.mark.usefixtures("grouping")
def test_a_tile_that_kills_its_workers_fails_alone(tmp_path: Path, ensemble: Checkpoint) -> None:
    job = small_tiles(tmp_path, ensemble)
    executor = Killed(job.domain.tiles[4].name)
    report = run(job, executor, years=YEARS[:1])
    assert report.failures == {(executor.tile, YEARS[0]): "its worker was killed"}
    assert report.totals.tile_years == len(report.plan.tiles) - 1
    groups = grouped(report.plan.blocks, PACKING)
    (lost,) = (group for group in groups if executor.tile in {each.tile.name for each in group})
    assert sorted(executor.sent) == sorted([len(group) for group in groups] + [1] * len(lost))


@pytest.mark.usefixtures("grouping")
@pytest.mark.parametrize(("kills", "years"), [(1, YEARS), (100, YEARS[:1])])
def test_the_group_of_a_worker_that_is_killed_is_done_by_others(
    tmp_path: Path,
    ensemble: Checkpoint,
    one_by_one: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    kills: int,
    years: tuple[int, ...],
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    # Killed each time, a group falls apart, and its tiles are done alone.
    monkeypatch.setattr(coordinator, "run_blocks", partial(device_on_cpu.run_blocks_of_a_killed_worker, killed, kills))
    job = small_tiles(tmp_path / "job", ensemble, scheduler="local")
    with open_executor(job.execution) as executor:
        report = run(job, executor, years=years)
    assert not report.failures
    assert len(list(killed.iterdir())) >= min(kills, 4)
    assert_same_fluxes(content(job), one_by_one, years)


def test_each_tile_that_is_read_and_written_is_a_heartbeat(tmp_path: Path, ensemble: Checkpoint) -> None:
    job, beats = small_tiles(tmp_path, ensemble), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.run.run.packing_of", lambda *_, **__: Packing(1024))
        with on_heartbeat(lambda: beats.append(1)):
            report = run(job, Serial(), years=YEARS[:1])
    # Of two spin-up years and one that is written, and one for the year.
    assert len(beats) == 4 * len(report.plan.tiles) + 1


def block_of(cells: int, *, number: int = 0, years: Sequence[int] = (2010, 2011), spin_up: bool = False) -> Block:
    return Block(Tile(11, 4, 0, number, 48), cells, years[0], tuple(years), (), (), spin_up)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.booleans(), st.booleans()), max_size=60),
    st.integers(1, 64),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_every_block_is_in_one_group_of_the_same_years_that_has_room_for_it(
    drawn: list[tuple[int, bool, bool]], batch: int, batches: int, workers: int
) -> None:
    packing = Packing(batch, batches, workers)
    wave = [
        block_of(cells, number=number, years=(2010, 2011) if short else (2010, 2012), spin_up=spin_up)
        for number, (cells, short, spin_up) in enumerate(drawn)
    ]
    groups = grouped(wave, packing)
    assert sorted(each.tile.name for group in groups for each in group) == sorted(each.tile.name for each in wave)
    for group in groups:
        assert len({(each.computed, each.spin_up) for each in group}) == 1
        largest = max(each.cells for each in group)
        assert sum(each.cells for each in group) <= packing.most_cells(largest, len(group))
        assert len(group) <= MOST_TILES
    work = [sum(each.cell_years for each in group) for group in groups]
    assert work == sorted(work, reverse=True)
    assert groups == grouped(wave[::-1], packing)
    assert grouped(wave, ALONE) == [(each,) for each in wave]


def test_the_batches_of_a_region_like_the_midwest_are_full_and_groups_hardly_larger_than_its_largest_tile() -> None:
    share = np.random.default_rng(0).beta(1.0, 3.44, 771)
    wave = [block_of(int(cells), number=number) for number, cells in enumerate(share * 240**2)]
    groups, cells = grouped(wave, Packing(8192)), sum(each.cells for each in wave)
    assert cells > 0.99 * 8192 * batches_of(groups, 8192)
    assert cells < 0.75 * 8192 * batches_of([(each,) for each in wave], 8192)
    assert max(sum(each.cells for each in group) for group in groups) <= 240**2


def test_a_wave_is_spread_over_the_devices() -> None:
    wave = [block_of(40, number=number) for number in range(8)]
    assert [len(group) for group in grouped(wave, Packing(100))] == [8]
    assert [len(group) for group in grouped(wave, Packing(100, workers=3))] == [2, 2, 2, 2]
