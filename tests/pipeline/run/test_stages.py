"""Reading and writing while a year is computed: the same cube, the errors of both, and no more than three years."""

from __future__ import annotations

import errno
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.device.predictor import DevicePredictor
from pipeline.cluster.executor import Serial
from pipeline.cube import layout
from pipeline.job import Job
from pipeline.run import block
from pipeline.run.run import run
from pipeline.run.stages import stages
from pipeline.storage.retry import RetryPolicy
from tests.helpers import device_on_cpu
from tests.helpers.cube_states import REMEASURED, assert_same, content
from tests.helpers.random_inputs import YEARS, Fields, make_job, random_checkpoint

BALANCE = "ledger/balance_residual"
FIELDS = Fields(missing={year: [(row, col) for col in range(24)] for year, row in ((2011, 20), (2012, 24))})


@pytest.fixture(autouse=True)
def _fresh_predictors() -> None:
    block._predictor.cache_clear()


def pytorch_job(folder: Path, checkpoint: Checkpoint) -> Job:
    job = make_job(folder, checkpoint, fields=FIELDS)
    job.path.write_text(job.path.read_text().replace("[model]", '[model]\nyear_step = "pytorch"'))
    return Job.open(job.path)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The cube of PyTorch on the CPU, one year after the other."""
    block._predictor.cache_clear()
    job = pytorch_job(tmp_path_factory.mktemp("serial"), random_checkpoint())
    assert not run(job, Serial(), years=YEARS).failures
    return content(job)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "open_predictor", device_on_cpu.open_predictor)


def assert_same_cube(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Every bit, but for the daily balance, whose float32 mean has an order of its own."""
    assert_same(found, expected, but=REMEASURED | {BALANCE})
    np.testing.assert_allclose(found[BALANCE], expected[BALANCE], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("device")
def test_a_run_as_on_a_device_writes_the_bits_of_a_serial_one(
    tmp_path: Path, serial: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    real = DevicePredictor.year
    monkeypatch.setattr(DevicePredictor, "year", lambda *given: used.append(1) or real(*given))
    job = pytorch_job(tmp_path, random_checkpoint())
    assert not run(job, Serial(), years=YEARS).failures
    assert used
    found = content(job)
    assert_same_cube(found, serial)
    assert (found["ledger/missing_cells"] > 0).any()


@pytest.mark.slow
@pytest.mark.usefixtures("device")
def test_an_error_of_the_writer_fails_its_block_and_the_next_run_ends_with_the_same_cube(
    tmp_path: Path, serial: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RetryPolicy, "waits", lambda self, _: iter([0.0] * self.retries))
    job = pytorch_job(tmp_path, random_checkpoint())
    real, calls = layout.write_tile_year, []

    def broken(*given: Any) -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 1:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(*given)

    monkeypatch.setattr(layout, "write_tile_year", broken)
    report = run(job, Serial(), years=YEARS[:1])
    assert len({tile for tile, _ in report.failures}) == 1
    assert all("Permission denied" in message for message in report.failures.values())
    assert report.totals.tile_years > 0
    assert all(name.startswith("writer") for name in calls)
    monkeypatch.setattr(layout, "write_tile_year", real)
    assert not run(job, Serial(), years=YEARS[:1]).failures
    found = content(job)
    for name in ("ra", "rh", "nee"):
        np.testing.assert_array_equal(found[f"daily/{YEARS[0]}/{name}"], serial[f"daily/{YEARS[0]}/{name}"])


class Array:
    """Stands for the arrays of a year."""

    def __init__(self, year: int) -> None:
        self.year = year


def test_a_year_is_read_and_one_written_while_one_is_computed() -> None:
    reading, writing = threading.Event(), threading.Event()

    def read(year: int) -> int:
        if year == 2012:
            reading.set()
        return year

    def write() -> None:
        writing.set()

    with stages(overlapped=True) as stage:
        years = stage.ahead(read, range(2010, 2013))
        next(years)
        stage.behind(write)
        assert next(years) == 2011
        # This thread computes 2011.
        assert reading.wait(30)
        assert writing.wait(30)


@pytest.mark.parametrize("overlapped", [False, True])
def test_years_are_read_and_written_in_order_and_not_held_after_that(overlapped: bool) -> None:
    alive: weakref.WeakSet[Array] = weakref.WeakSet()
    most, written = 0, []

    def read(year: int) -> Array:
        array = Array(year)
        alive.add(array)
        return array

    with stages(overlapped=overlapped) as stage:
        years = stage.ahead(read, range(2000, 2020))
        for _ in range(20):
            array = next(years)
            most = max(most, len(alive))
            stage.behind(lambda array=array: (time.sleep(0.001), written.append(array.year))[0])  # type: ignore[misc]
            del array
    assert written == list(range(2000, 2020))
    # One is written or waits for it, one is computed, and one is read.
    assert most <= (3 if overlapped else 1) + 1
    assert not alive


@pytest.mark.parametrize("overlapped", [False, True])
def test_errors_of_reading_and_writing_end_the_block_with_no_thread_left(overlapped: bool) -> None:
    def read(year: int) -> int:
        if year == 2011:
            raise OSError("not read")
        return year

    def fails() -> None:
        raise OSError("not written")

    before, done = threading.active_count(), []

    def write_all(*writes: Callable[[], None]) -> None:
        with stages(overlapped=overlapped) as stage:
            for write in writes:
                stage.behind(write)

    with pytest.raises(OSError, match="not read"), stages(overlapped=overlapped) as stage:
        done.extend(stage.ahead(read, (2010, 2011, 2012)))
    with pytest.raises(OSError, match="not written"):
        write_all(fails)
    with pytest.raises(OSError, match="not written"):
        write_all(fails, lambda: done.append(0))
    assert 0 not in done
    assert threading.active_count() == before
    with stages(overlapped=overlapped) as stage:
        assert list(stage.ahead(read, ())) == []
