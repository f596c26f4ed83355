"""Clusters elsewhere: jobs of Slurm, and a scheduler and workers that are processes of their own in other folders."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.cluster.dask import open_executor, worker_count, worker_memory
from pipeline.config import ExecutionSettings, SlurmSettings, TlsSettings
from pipeline.errors import UserError
from tests.helpers import certificates, fake_slurm
from tests.helpers.cluster_work import by_number, work

ITEMS = 40


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask in a folder of its own."""
    folder.mkdir()
    # The code of this project, as it is installed on a worker's machine.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def options_of(tls: TlsSettings) -> Sequence[str]:
    return ("--tls-ca-file", tls.ca, "--tls-cert", tls.certificate, "--tls-key", tls.key)


@pytest.mark.slow
def test_workers_over_tls_of_which_one_is_killed_and_one_joins_do_all_items(tmp_path: Path) -> None:
    tls = certificates.write(tmp_path)
    file = tmp_path / "scheduler.json"
    common = ("--scheduler-file", str(file), *options_of(tls))
    worker = ("dask_worker", *common, "--nthreads", "1", "--nanny", "--memory-limit", "1GiB", "--death-timeout", "60")
    marks = tmp_path / "marks"
    marks.mkdir()
    with process(tmp_path / "scheduler", "dask_scheduler", *common, "--protocol", "tls", "--host", "127.0.0.1"):
        wait_for(file)
        with process(tmp_path / "first", *worker) as first, process(tmp_path / "second", *worker):
            settings = ExecutionSettings(scheduler=str(file), tls=tls, block_minutes=1)
            with open_executor(settings) as executor:
                kinds = ["beats"] * 2 + ["is done"] * (ITEMS - 2)
                outcomes = executor.map(work, [(kind, str(marks), number) for number, kind in enumerate(kinds)])
                found = [next(outcomes)]
                first.kill()
                with process(tmp_path / "third", *worker):
                    found += outcomes
    assert sorted(outcome.result or 0 for outcome in found) == list(range(ITEMS))
    assert not any(outcome.error for outcome in found)


def wait_for(file: Path) -> None:
    for _ in range(600):
        if file.is_file():
            return
        time.sleep(0.1)
    raise TimeoutError(file)


def test_a_cluster_over_tls_refuses_a_client_without_certificates(tmp_path: Path) -> None:
    tls = certificates.write(tmp_path)
    common = ("--scheduler-file", str(tmp_path / "scheduler.json"), *options_of(tls))
    with process(tmp_path / "scheduler", "dask_scheduler", *common, "--protocol", "tls", "--host", "127.0.0.1"):
        wait_for(tmp_path / "scheduler.json")
        settings = ExecutionSettings(scheduler=str(tmp_path / "scheduler.json"))
        with open_executor(settings) as executor, pytest.raises(UserError, match="no Dask scheduler answers there"):
            list(executor.map(str, [1]))


def test_an_absent_scheduler_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    settings = ExecutionSettings(scheduler=str(tmp_path / "scheduler.json"))
    with open_executor(settings) as executor, pytest.raises(UserError, match="dask scheduler --scheduler-file"):
        list(executor.map(str, [1]))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExecutionSettings:
    """Two jobs of one worker on a machine whose `sbatch` starts them at once."""
    monkeypatch.setenv("PATH", fake_slurm.install(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    jobs = SlurmSettings(
        jobs=2, workers=1, memory="1GiB", queue="short", account="carbon", interface="lo", logs=tmp_path / "logs"
    )
    return ExecutionSettings(scheduler="slurm", slurm=jobs, block_minutes=1)


@pytest.mark.slow
def test_jobs_of_slurm_do_all_items_and_a_job_that_is_lost_is_submitted_again(
    tmp_path: Path, slurm: ExecutionSettings
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    with open_executor(slurm) as executor:
        outcomes = executor.map(work, [("beats", str(marks), number) for number in range(8)])
        found = [next(outcomes)]
        fake_slurm.kill(fake_slurm.jobs(tmp_path)[0])
        found += outcomes
    assert by_number(iter(found)).keys() == set(range(8))
    assert not any(outcome.error for outcome in found)
    assert len(fake_slurm.jobs(tmp_path)) >= 3
    script = next(tmp_path.glob("job-*.sh")).read_text()
    for option in ("-p short", "-A carbon", "--cpus-per-task=1", "--mem=1G", "-t 04:00:00"):
        assert f"#SBATCH {option}\n" in script
    assert "--nthreads 1" in script
    assert "--lifetime 230m" in script


def test_no_job_that_begins_in_time_is_refused_with_the_places_to_look(
    tmp_path: Path, slurm: ExecutionSettings
) -> None:
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho Submitted batch job 7\n")
    waits = slurm.slurm.model_copy(update={"wait_minutes": 0.02})
    with open_executor(slurm.model_copy(update={"slurm": waits})) as executor, pytest.raises(UserError) as refusal:
        list(executor.map(str, [1]))
    assert "no worker of 2 jobs joined within 1.2 s; see `squeue --me` and the logs in" in str(refusal.value)
    assert "execution.slurm.wait_minutes" in str(refusal.value)


def test_workers_of_jobs_share_their_memory() -> None:
    jobs = SlurmSettings(jobs=3, workers=16, memory="64GiB")
    settings = ExecutionSettings(scheduler="slurm", slurm=jobs)
    assert worker_count(settings) == 48
    assert worker_memory(settings) == 4 * 2**30
    wrong = settings.model_copy(update={"slurm": jobs.model_copy(update={"memory": "much"})})
    with pytest.raises(UserError, match=r"execution\.slurm\.memory = 'much' is not a size"):
        worker_memory(wrong)
