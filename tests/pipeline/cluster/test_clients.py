"""Clusters elsewhere: jobs of Slurm, and a scheduler and workers that are processes of their own in other folders."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.cluster import clients
from pipeline.cluster.dask import open_executor, worker_count, worker_memory
from pipeline.errors import UserError
from pipeline.execution import ExecutionSettings, SlurmSettings, TlsSettings
from pipeline.job import Job
from tests.helpers import certificates, copied_runs, fake_slurm
from tests.helpers.cluster_work import by_number, work
from tests.helpers.random_inputs import random_checkpoint

ROOT = Path(__file__).parents[3]
ITEMS = 40


def test_a_machine_without_writable_shared_memory_is_refused_before_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("multiprocessing.synchronize.Lock", refused)
    with pytest.raises(UserError, match=r"Permission denied for shared memory in /dev/shm.*serial"):
        clients._local_cluster(ExecutionSettings(workers=1), 1)


@contextmanager
def process(folder: Path, *arguments: str, inside: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask in a folder of its own, started by the command `inside`."""
    folder.mkdir()
    # The code of this project, as it is installed on a worker's machine.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [*inside, sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
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


@pytest.fixture
def namespace() -> Iterator[tuple[str, str, str]]:
    """A network namespace, the address of this one as seen from there, and that of the other."""
    name, here, there = f"agcarbon{os.getpid()}", "10.231.7.1", "10.231.7.2"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {error}")
    try:
        for command in (
            f"ip link add {name} type veth peer name eth0 netns {name}",
            f"ip addr add {here}/24 dev {name}",
            f"ip link set {name} up",
            f"ip -n {name} addr add {there}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
        yield name, here, there
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.slow
def test_workers_in_network_namespaces_of_their_own_do_all_items(
    tmp_path: Path, namespace: tuple[str, str, str]
) -> None:
    name, here, there = namespace
    file, marks = tmp_path / "scheduler.json", tmp_path / "marks"
    marks.mkdir()
    worker = ("dask_worker", f"tcp://{here}:8786", "--host", there, "--nthreads", "1", "--memory-limit", "1GiB")
    with process(tmp_path / "scheduler", "dask_scheduler", "--scheduler-file", str(file), "--host", here):
        wait_for(file)
        with (
            process(tmp_path / "worker", *worker, inside=("ip", "netns", "exec", name)),
            open_executor(ExecutionSettings(scheduler=f"tcp://{here}:8786")) as executor,
        ):
            found = by_number(executor.map(work, [("is done", str(marks), number) for number in range(ITEMS)]))
            (address,) = {outcome.result for outcome in executor.map(address_of_worker, [1])}
    assert found.keys() == set(range(ITEMS))
    assert address == there


def address_of_worker(_item: int) -> str:
    from distributed import get_worker

    return str(get_worker().ip)


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
    monkeypatch.setattr(clients, "SLURM_CONFIG", {})  # a job that is lost is missed after 15 s
    monkeypatch.setenv("PATH", fake_slurm.install(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
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


@pytest.mark.slow
def test_the_job_script_runs_scheduler_workers_and_command(tmp_path: Path) -> None:
    """Beside the same run in one process: the cubes hold the same."""
    wanted = copied_runs.undisturbed(tmp_path / "alone", random_checkpoint())
    job = wanted.copy(tmp_path / "job")
    settings = job.path.read_text().replace('scheduler = "serial"', 'scheduler = "scheduler.json"')
    job.path.write_text(settings)
    commands = {
        "srun": 'exec "$@"',
        "dask": f'exec {sys.executable} -m dask "$@"',
        "agcarbon": f'exec {sys.executable} -m pipeline.cli "$@" --years 2010-2011',
    }
    (tmp_path / "bin").mkdir()
    for name, body in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_MEM_PER_NODE": "4096",
    }

    ran = subprocess.run(
        [str(ROOT / "docs/clusters/slurm-job.sh"), "small-run.toml"],
        cwd=tmp_path / "job",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    copied_runs.assert_equal(Job.open(job.path), wanted)


def test_the_manifest_of_kubernetes_satisfies_the_schema_of_the_operator() -> None:
    """That of dask-kubernetes 2026.3.0 (BSD 3-Clause), without descriptions; unknown names are refused."""
    schema = closed(json.loads(gzip.decompress((ROOT / "tests/data/daskjob-schema.json.gz").read_bytes())))
    manifest = yaml.safe_load((ROOT / "docs/clusters/kubernetes.yaml").read_text())
    assert (manifest.pop("apiVersion"), manifest.pop("kind")) == ("kubernetes.dask.org/v1", "DaskJob")
    manifest.pop("metadata")
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(manifest))
    manifest["spec"]["cluster"]["spec"]["worker"]["spec"]["containers"][0]["imege"] = "x"
    assert "imege" in next(validator.iter_errors(manifest)).message


def closed(schema: Any) -> Any:
    """The schema with objects that refuse other names than theirs, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found:
        found["additionalProperties"] = bool(found.get("x-kubernetes-preserve-unknown-fields"))
    if found.pop("x-kubernetes-int-or-string", False):
        found = {"type": ["integer", "string"]}
    return found


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
