"""The year step of a cube: chosen when it is created, kept after that, and refused where it does not work."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from model.arrays import YearInputs
from model.checkpoint import Checkpoint
from model.device import predictor
from model.inference import Predictor
from model.year_step import usable
from model.year_step.usable import NUMBA, PYTORCH, compiled
from pipeline.cluster.executor import Serial
from pipeline.console import json_text
from pipeline.cost.estimate import estimate as cost_of
from pipeline.cost.report import as_json, lines
from pipeline.cube import layout, ledger
from pipeline.cube.entry import Status
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings
from pipeline.job import Job
from pipeline.run import estimate, year_step
from pipeline.run.prepare import block_size, check_memory, context_of, open_pinned_inputs
from pipeline.run.run import run
from pipeline.run.status import read_status
from pipeline.storage import repository
from tests.helpers.random_inputs import make_job

YEARS = (2010, 2011)
needs_numba = pytest.mark.skipif(compiled().obstacle is not None, reason=str(compiled().obstacle))


def with_setting(job: Job, section: str, line: str) -> Job:
    """The job with one more line in a section of its run file."""
    text = job.path.read_text()
    assert f"[{section}]" in text
    job.path.write_text(text.replace(f"[{section}]", f"[{section}]\n{line}"))
    return Job.open(job.path)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Turns this machine into one whose processor the compiled year step does not know."""

    def move() -> None:
        monkeypatch.setattr(platform, "machine", lambda: "riscv64")
        compiled.cache_clear()

    yield move
    monkeypatch.undo()
    compiled.cache_clear()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs, and a cube of two years in which the run file leaves the choice open."""
    from tests.helpers.random_inputs import random_checkpoint

    job = make_job(tmp_path_factory.mktemp("year-step"), random_checkpoint())
    run(job, Serial(), years=YEARS)
    return job.path


@pytest.fixture
def job(prepared: Path, tmp_path: Path) -> Job:
    shutil.copytree(prepared.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / prepared.name)


def record_of_last_run(job: Job) -> dict[str, object]:
    runs = ledger.Ledger(repository.read(job.open_cube())).runs
    return dict(runs[-1])


@needs_numba
def test_a_new_cube_takes_the_compiled_year_step_and_names_it(job: Job) -> None:
    assert layout.identity(repository.read(job.open_cube())).year_step == job.year_step == NUMBA
    record = record_of_last_run(job)
    assert record["year_step"] == NUMBA
    assert {"numba", "llvmlite", "torch"} <= set(record["versions"])  # type: ignore[call-overload]
    assert block_size(job, cells=100).batch_cells == 0


@needs_numba
def test_another_year_step_is_refused_with_the_remedy_and_never_called_stale(job: Job) -> None:
    before = repository.tip(job.open_cube())
    other = with_setting(job, "model", 'year_step = "pytorch"')
    with pytest.raises(
        UserError, match=r"year_step is numba there and pytorch here; .* another location in stores\.cube"
    ):
        run(other, Serial(), years=YEARS)
    with pytest.raises(UserError, match="year_step is numba there"):
        read_status(other)
    assert repository.tip(job.open_cube()) == before


@needs_numba
def test_a_cube_of_the_compiled_year_step_is_read_anywhere_and_written_where_it_works(
    job: Job, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    there = Job.open(job.path)
    assert read_status(there).count()[Status.DONE] > 0
    with pytest.raises(
        UserError, match=r"is numba, which does not work here: the processor is of type riscv64.*pytorch"
    ):
        run(there, Serial(), years=YEARS)


@needs_numba
def test_cuda_is_refused_for_a_cube_of_the_compiled_year_step(job: Job) -> None:
    with pytest.raises(UserError, match=r"device = 'cuda', but the year step of .* is numba.*'auto' or 'cpu'"):
        run(with_setting(job, "execution", 'device = "cuda"'), Serial(), years=YEARS)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Makes PyTorch find a CUDA device, or none."""

    def found(present: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: present)

    return found


SCHEDULER = "tcp://cluster:8786"


def pytorch_job(folder: Path, checkpoint: Checkpoint, **execution: object) -> Job:
    """A new job of PyTorch's year step."""
    job = with_setting(make_job(folder, checkpoint), "model", 'year_step = "pytorch"')
    return job.with_execution(job.execution.model_copy(update=execution))


def test_workers_elsewhere_resolve_their_device_whatever_the_login_node_has(
    tmp_path: Path, untrained: Checkpoint, cuda: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pytorch_job(tmp_path, untrained, scheduler=SCHEDULER, batch_cells=0)
    cuda(False)
    contexts = {
        asked: context_of(each, open_pinned_inputs(each))
        for asked in ("auto", "cpu", "cuda")
        for each in [job.with_execution(job.execution.model_copy(update={"device": asked}))]
    }
    assert [context.device for context in contexts.values()] == ["auto", "cpu", "cuda"]
    opened: list[dict[str, object]] = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**35, 2**35))
    monkeypatch.setattr(usable, "predictor", lambda _, **settings: opened.append(settings))
    monkeypatch.setattr(predictor, "DevicePredictor", lambda _, **settings: opened.append(settings))
    for present in (False, True):
        cuda(present)
        for context in (contexts["auto"], contexts["cpu"]):
            year_step.open_predictor(
                untrained, year_step=PYTORCH, device=context.device, batch_cells=context.batch_cells
            )
    assert [(each["device"], each["batch_cells"]) for each in opened] == [
        ("cpu", 112), ("cpu", 112), ("cuda", 8192), ("cpu", 112),
    ]  # fmt: skip
    assert [each.get("keep_bits") for each in opened] == [None, None, layout.KEEP_BITS, None]


@pytest.mark.slow
def test_a_worker_without_the_cuda_device_that_is_asked_for_fails_its_blocks_by_name(
    tmp_path: Path, untrained: Checkpoint, cuda: Callable[[bool], None]
) -> None:
    cuda(False)
    job = pytorch_job(tmp_path, untrained, scheduler=SCHEDULER, device="cuda")
    report = run(job, Serial(), years=YEARS)
    assert report.failures
    assert not report.totals.tile_years
    assert all(f"no CUDA device on {platform.node()}" in message for message in report.failures.values())
    with pytest.raises(UserError, match="no CUDA device on"):
        run(pytorch_job(tmp_path / "here", untrained, device="cuda"), Serial(), years=YEARS)


@pytest.mark.slow
def test_a_run_on_workers_elsewhere_gives_the_bits_of_a_local_one(tmp_path: Path, untrained: Checkpoint) -> None:
    jobs = [
        pytorch_job(tmp_path / name, untrained, scheduler=name, batch_cells=0) for name in ("serial", "tcp://there:1")
    ]
    for job in jobs:
        run(job, Serial(), years=YEARS[:1])
    here, there = (repository.read(job.open_cube()) for job in jobs)
    for name in ("ra", "rh", "nee"):
        values = repository.array(here, f"daily/{YEARS[0]}/{name}")[...]
        np.testing.assert_array_equal(values, repository.array(there, f"daily/{YEARS[0]}/{name}")[...])
    assert [record_of_last_run(job)["device"] for job in jobs] == ["cpu", "auto"]


def test_a_run_takes_the_cuda_devices_that_it_sees_and_is_refused_where_a_batch_does_not_fit(
    tmp_path: Path, untrained: Checkpoint, cuda: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = pytorch_job(tmp_path, untrained, scheduler="local", batch_cells=0)
    cuda(False)
    assert year_step.cuda_devices(job) == ()
    cuda(True)
    sizes = [2**36, 2**33]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(sizes))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=sizes[index]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert year_step.cuda_devices(job) == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7")
    assert year_step.cuda_devices(job) == ("3", "GPU-7")
    on_cpus = job.execution.model_copy(update={"device": "cpu"})
    assert year_step.cuda_devices(job.with_execution(on_cpus)) == ()
    refusal = (
        r"batches of 8,192 cells need \d+MiB of a CUDA device's memory \(projected\), and 8192MiB are .* to 4096 or"
    )
    with pytest.raises(UserError, match=refusal):
        run(job, Serial(), years=YEARS)
    assert not repository.exists(job.stores.cube)
    sizes[1] = 2**35
    check_memory(job, cells=100)
    # A worker looks at what is free, which others may have taken.
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**31, 2**36))
    with pytest.raises(UserError, match="2048MiB are available"):
        year_step.open_predictor(untrained, year_step=PYTORCH, device="auto", batch_cells=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED\nat RNN.cpp"),
            "cpu fails: cuDNN error: CUDNN_STATUS_E",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when"),
            "cpu fails: CUDA error: CUBLAS_STATUS_INTERNAL_",
        ),
        (torch.AcceleratorError("an illegal memory access"), "cpu fails: an illegal memory access on"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "do not fit into memory of cpu; lower batch_cells"),
    ],
)
def test_an_error_of_a_device_fails_its_block_by_name_and_stops_no_other(
    tmp_path: Path, untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, said: str
) -> None:
    real, calls = Predictor._members, count()

    def members(self: Predictor, *args: Any) -> Any:
        if next(calls) == 0:
            raise error
        return real(self, *args)

    monkeypatch.setattr(Predictor, "_members", members)
    report = run(pytorch_job(tmp_path, untrained), Serial(), years=YEARS[:1])
    assert len({tile for tile, _ in report.failures}) == 1
    assert all(said in message for message in report.failures.values())
    assert report.totals.tile_years > 0


def test_a_bug_is_no_error_of_a_device(tmp_path: Path, untrained: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    def members(*_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Predictor, "_members", members)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(pytorch_job(tmp_path, untrained), Serial(), years=YEARS[:1])


@pytest.mark.slow
def test_a_plan_probes_a_full_batch_and_names_no_time_for_cuda_elsewhere(
    tmp_path: Path, untrained: Checkpoint, cuda: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[int] = []

    def year(inputs: YearInputs) -> None:
        probed.append(len(inputs.crop_N))

    monkeypatch.setattr(estimate, "open_predictor", lambda *_, **__: SimpleNamespace(year=year))
    monkeypatch.setattr(estimate, "_seconds", lambda function, clock: (function(), clocks.append(clock), 1.0)[-1])
    clocks: list[Callable[[], float]] = []
    cuda(True)
    job = pytorch_job(tmp_path, untrained, scheduler="local", batch_cells=0)
    assert estimate.network_rate(job) == estimate.Rate(
        8192, "measured now, network only; written to a cube, GPU: not measured"
    )
    assert set(clocks) == {time.perf_counter}
    on_cpu = job.with_execution(job.execution.model_copy(update={"device": "cpu"}))
    assert estimate.network_rate(on_cpu) == estimate.Rate(112, "measured now, network only")
    assert clocks[-1] is time.process_time
    there = job.with_execution(job.execution.model_copy(update={"scheduler": SCHEDULER}))
    anywhere = estimate.network_rate(there)
    assert anywhere == estimate.Rate(112, "measured now, network only, on a CPU; GPU: not measured")
    assert probed == [8192] * 4 + [112] * 8
    cuda(False)
    there = pytorch_job(tmp_path / "there", untrained, scheduler=SCHEDULER, device="cuda")
    cost = cost_of(there, years=YEARS)
    steps = json.loads(json_text(as_json(there, cost)))["steps"]
    assert next(step for step in steps if step["name"] == "run")["cpu_seconds"] is None
    assert any(line.startswith("  run") and line.count("GPU: not measured") == 3 for line in lines(there, cost))


@needs_numba
def test_a_new_cube_is_pytorchs_where_cuda_is_here_or_is_asked_for_elsewhere(
    tmp_path: Path, untrained: Checkpoint, cuda: Callable[[bool], None]
) -> None:
    first = make_job(tmp_path, untrained)
    chosen = {}
    for present in (False, True):
        cuda(present)
        for scheduler, device in product(("local", SCHEDULER), ("auto", "cpu", "cuda")):
            job = first.with_execution(ExecutionSettings(scheduler=scheduler, device=device))
            chosen[present, scheduler, device] = job.year_step == PYTORCH
    assert {key for key, pytorch in chosen.items() if pytorch} == {
        *((present, scheduler, "cuda") for present in (False, True) for scheduler in ("local", SCHEDULER)),
        (True, "local", "auto"),
    }


@pytest.mark.slow
def test_pytorch_is_the_fallback_and_says_why_and_its_cube_stays_with_it(
    tmp_path: Path, untrained: Checkpoint, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    job = make_job(tmp_path, untrained)
    assert job.year_step == PYTORCH
    line = year_step.sentence(job)
    assert line is not None
    assert line.startswith(
        "year step: PyTorch, since the compiled one does not work here: the processor is of type ris"
    )
    run(job, Serial(), years=YEARS[:1])
    assert record_of_last_run(job)["year_step"] == PYTORCH
    platform.machine = lambda: "x86_64"  # undone by the fixture
    compiled.cache_clear()
    again = Job.open(job.path)
    assert again.year_step == PYTORCH
    assert year_step.sentence(again) is None
    assert block_size(again, cells=100).batch_cells == 16
    run(again, Serial(), years=YEARS)
    assert read_status(again).count()[Status.DONE] > 0
