"""The memory of a worker: the projection agrees with the measured peak, and blocks that do not fit are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.memory import Case, measure
from model.checkpoint import Checkpoint
from model.year_step.usable import PYTORCH
from pipeline.cluster.dask import worker_memory
from pipeline.cluster.executor import Serial
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.job import Job
from pipeline.run import memory
from pipeline.run.memory import BlockSize
from pipeline.run.run import run
from pipeline.storage import repository
from tests.helpers.random_inputs import YEARS, make_job

EDGES = [edge for edge in range(1, 481) if 4800 % edge == 0]
GIB = 2**30


@given(
    edge=st.sampled_from(EDGES),
    share=st.floats(0.01, 1),
    members=st.integers(1, 5),
    batch=st.integers(1, 2**16),
    limit=st.integers(2**28, 2**36),
)
def test_the_settings_that_a_refusal_names_fit_and_no_larger_ones_do(
    edge: int, share: float, members: int, batch: int, limit: int
) -> None:
    size = BlockSize(edge, max(1, int(share * edge**2)), members, batch)
    smaller_batch, smaller_edge = size.smaller_batch(limit), size.smaller_edge(limit)
    if smaller_batch:
        assert smaller_batch < batch
        assert replace(size, batch_cells=smaller_batch).worker_bytes <= 0.95 * limit
    if smaller_edge:
        cells = min(smaller_edge**2, size.cells)
        assert replace(size, edge=smaller_edge, cells=cells).worker_bytes <= 0.95 * limit
        larger = [other for other in EDGES if smaller_edge < other < edge]
        assert not any(replace(size, edge=e, cells=min(e**2, size.cells)).fits(limit) for e in larger)
    if size.fits(limit):
        memory.check(size, limit)
    else:
        with pytest.raises(UserError, match=f"tiles of {edge} x {edge} cells"):
            memory.check(size, limit)


def test_the_limit_that_a_refusal_names_is_enough() -> None:
    size = BlockSize(240, 240**2, 1, 128)
    with pytest.raises(UserError, match=r"execution\.memory_limit to '") as refusal:
        memory.check(size, GIB)
    named = str(refusal.value).partition("execution.memory_limit to '")[2].partition("'")[0]
    memory.check(size, worker_memory(ExecutionSettings(memory_limit=named)))


def test_a_tile_of_the_midwest_fits_a_worker_of_4_gib_alone_and_as_an_ensemble_of_three() -> None:
    assert BlockSize(240, 240**2, 1, 128).fits(4 * GIB)
    assert BlockSize(240, 240**2, 3, 128).fits(4 * GIB)


def test_the_limit_of_a_scheduler_elsewhere_is_not_guessed() -> None:
    assert worker_memory(ExecutionSettings(scheduler="tcp://somewhere:8786")) is None
    assert worker_memory(ExecutionSettings(memory_limit="1GiB")) == GIB
    whole, share = (worker_memory(ExecutionSettings(scheduler=name)) for name in ("serial", "local"))
    assert whole is not None
    assert share is not None
    assert share <= whole
    with pytest.raises(UserError, match=r"execution\.memory_limit = 'much' is not a size; write it as 4GiB"):
        worker_memory(ExecutionSettings(memory_limit="much"))


@pytest.mark.slow
def test_a_run_that_needs_more_than_its_workers_have_computes_nothing(tmp_path: Path, untrained: Checkpoint) -> None:
    job = make_job(tmp_path, untrained)
    execution = job.run_file.execution.model_copy(update={"memory_limit": "400MiB"})
    poor = Job(job.path, job.run_file.model_copy(update={"execution": execution}), job.region)
    refusal = r"tiles of 24 x 24 cells, \d+ of them modelled, need \d+MiB of a worker's memory, .* 400MiB; set exec"
    with pytest.raises(UserError, match=refusal):
        run(poor, Serial(), years=YEARS)
    assert not repository.exists(job.run_file.stores.cube)
    run(job, Serial(), years=YEARS[:1])
    before = repository.tip(job.open_cube())
    with pytest.raises(UserError, match=refusal):
        run(poor, Serial(), years=YEARS)
    assert repository.tip(job.open_cube()) == before


@given(batch=st.integers(1, 2**17), available=st.integers(0, 2**38))
def test_a_cuda_device_is_refused_if_its_memory_is_too_small_with_a_batch_that_fits(batch: int, available: int) -> None:
    # The forward pass, and two slots: GPP and three fluxes, states before and after, yield and four sums, those of the
    # member, and its months.
    slot = 4 * 366 * 4 + 2 * 6 * 64 * 4 + 4 + 4 * 8 + 4 * 8 + 3 * 12 * 4
    needed = 2**30 + batch * (366 * (4 * 19 + 11 * 64) * 4 + 2 * slot)
    if needed <= available:
        memory.check_device(batch, available)
        return
    with pytest.raises(UserError, match=f"batches of {batch:,} cells need {needed // 2**20}MiB") as refusal:
        memory.check_device(batch, available)
    _, named, rest = str(refusal.value).partition("batch_cells to ")
    if not named:
        assert memory.device_bytes(1) > available
        return
    smaller = int(rest.split()[0])
    assert smaller < batch
    memory.check_device(smaller, available)
    with pytest.raises(UserError):
        memory.check_device(2 * smaller, available)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        Case(edge=48, batch=128, years=1, members=1),
        Case(edge=96, batch=128, years=3, members=1, year_step=PYTORCH),
        Case(edge=48, batch=64, years=1, members=3, spin_up=False),
        Case(edge=12, batch=16, years=1, members=1, tiles=4),
        Case(edge=12, batch=16, years=1, members=1, tiles=64, year_step=PYTORCH),
        Case(edge=96, batch=112, years=4, members=1, year_step=PYTORCH, overlapped=True),
        Case(edge=48, batch=112, years=3, members=1, tiles=4, year_step=PYTORCH, overlapped=True, together=True),
    ],
    ids=str,
)
def test_a_worker_takes_what_was_projected_and_not_much_less(tmp_path: Path, case: Case) -> None:
    found = measure(case, tmp_path)
    assert 1 <= found.ratio <= 1.3, found
