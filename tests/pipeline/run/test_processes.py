"""Runs in processes of their own that are killed, stopped or crowded out: the same command ends with the same cube."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cube.ledger import Ledger
from pipeline.job import Job
from pipeline.storage import repository
from tests.helpers.copied_runs import WANTED, Undisturbed, assert_equal, undisturbed
from tests.helpers.random_inputs import random_checkpoint

pytestmark = pytest.mark.slow

YEARS = f"{WANTED[0]}-{WANTED[-1]}"
TIMEOUT = 300  # seconds, for a machine that is busy

# A process that calls the command with one step replaced: `step` is the function; `act` is called at its call
# `at`, before or after it.
CHILD = """
import importlib, os, signal, sys, time
owner, name, when, at, what = sys.argv[1:6]
module, _, attribute = owner.partition(":")
target = importlib.import_module(module)
target = getattr(target, attribute) if attribute else target
real, calls = getattr(target, name), []
def act():
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    print("reached", flush=True)
    if what != "say":
        time.sleep(2)
def instead(*args, **kwargs):
    calls.append(1)
    if len(calls) == int(at) and when == "before":
        act()
    result = real(*args, **kwargs)
    if len(calls) == int(at) and when == "after":
        act()
    return result
setattr(target, name, instead)
sys.argv[1:] = sys.argv[6:]
from pipeline.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("processes"), random_checkpoint())


def child(job: Job, *step: str, scheduler: str = "serial") -> subprocess.Popen[str]:
    """Start the command with a step replaced; see `CHILD`."""
    command = [sys.executable, "-c", CHILD, *step, "run", str(job.path), "--years", YEARS, "--scheduler", scheduler]
    return subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ICECHUNK_LOG": "error"},
    )  # fmt: skip


def wait_for_step(process: subprocess.Popen[str]) -> None:
    """Return once the child has reached its step; it must not end before."""
    assert process.stdout
    while "reached" not in process.stdout.readline():
        assert process.poll() is None


def assert_ends_well(job: Job, wanted: Undisturbed) -> None:
    """The same command, undisturbed, ends with the cube of a run that never was disturbed."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "run", str(job.path), "--years", YEARS, "--scheduler", "serial"],
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_equal(job, wanted)


def tile_years(job: Job) -> int:
    root = repository.read(job.open_cube())
    return int((Ledger(root).column("cells") > 0).sum()) if "ledger" in root else 0


STEPS = {
    "while a cube is made": ("icechunk:Session", "commit", "before", "1"),
    "before masks are committed": ("icechunk:Session", "commit", "before", "2"),
    "after room was made": ("icechunk:Session", "commit", "after", "3"),
    "before a tile-year is written": ("pipeline.cube.layout", "write_tile_year", "before", "2"),
    "after a tile-year was written": ("pipeline.cube.layout", "write_tile_year", "after", "2"),
    "before its state is written": ("pipeline.cube.restarts", "write_restart", "before", "1"),
    "after a merge": ("icechunk:Session", "merge", "after", "4"),
    "before the rows are written": ("pipeline.cube.ledger", "record", "before", "1"),
    "before a commit": ("icechunk:Session", "commit", "before", "5"),
    "after a commit": ("icechunk:Session", "commit", "after", "5"),
    "before it is counted": ("pipeline.run.coordinator:RunTotals", "add", "before", "2"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_killed_at_a_step(tmp_path: Path, whole: Undisturbed, step: tuple[str, ...]) -> None:
    job = whole.copy(tmp_path)
    process = child(job, *step, "kill")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -signal.SIGKILL, errors
    assert_ends_well(job, whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_after_the_blocks_in_flight(
    tmp_path: Path, whole: Undisturbed, number: signal.Signals
) -> None:
    job = whole.copy(tmp_path)
    process = child(job, "pipeline.cube.layout", "write_tile_year", "before", "2", "pause")
    wait_for_step(process)
    os.killpg(process.pid, number)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert f"to resume: agcarbon run {job.path}" in output.replace("\n", "")
    assert "stopping" in errors
    assert tile_years(job) == 2  # the one that was committed, and the one in flight
    assert_ends_well(job, whole)


def test_ctrl_c_reaches_no_worker(tmp_path: Path, whole: Undisturbed) -> None:
    """A terminal interrupts all processes of the run at once."""
    job = whole.copy(tmp_path)
    process = child(job, "pipeline.run.coordinator:RunTotals", "add", "after", "1", "pause", scheduler="local")
    wait_for_step(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert "KeyboardInterrupt" not in errors
    assert "Restarting worker" not in errors
    assert tile_years(job) > 0
    assert_ends_well(job, whole)


def test_ctrl_c_while_workers_start_ends_the_run_when_they_have(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)
    process = child(job, "distributed.nanny:WorkerProcess", "start", "before", "1", "say", scheduler="local")
    wait_for_step(process)
    time.sleep(0.5)  # the interpreter of a worker takes longer to start
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert "Traceback" not in output + errors
    assert_ends_well(job, whole)


def test_a_second_signal_drops_the_block_in_flight(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)
    process = child(job, "pipeline.cube.layout", "write_tile_year", "before", "2", "pause")
    wait_for_step(process)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert tile_years(job) == 1
    assert_ends_well(job, whole)


def test_a_second_run_is_kept_out_and_the_first_one_ends(tmp_path: Path, whole: Undisturbed) -> None:
    job = whole.copy(tmp_path)
    first = child(job, "pipeline.cube.layout", "write_tile_year", "before", "2", "pause")
    wait_for_step(first)
    first.send_signal(signal.SIGSTOP)
    second = child(job, "time", "sleep", "before", "0", "pause")
    _, errors = second.communicate(timeout=TIMEOUT)
    assert second.returncode == 2
    assert f"process {first.pid} is writing it" in errors
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=TIMEOUT)
    assert first.returncode == 0, errors
    assert_equal(job, whole)
