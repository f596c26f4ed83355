"""Slurm's commands for one machine without Slurm: `sbatch` starts the script of a job at once, `scancel` ends it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

_SBATCH = """#!/bin/sh
# The number of a job is that of its process group. As in Slurm, the script may be deleted once it is submitted.
cp "$1" {folder}/job-$$.sh
setsid sh {folder}/job-$$.sh > {folder}/job-$$.log 2>&1 &
echo $! >> {folder}/jobs
echo "Submitted batch job $!"
"""
_SCANCEL = """#!/bin/sh
echo "$1" >> {folder}/cancelled
kill -TERM -- "-$1" 2> /dev/null || true
"""


def install(folder: Path) -> str:
    """Write the commands; return the folder to be put before PATH."""
    place = folder / "bin"
    place.mkdir()
    for name, text in (("sbatch", _SBATCH), ("scancel", _SCANCEL)):
        (place / name).write_text(text.format(folder=folder))
        (place / name).chmod(0o755)
    return str(place)


def jobs(folder: Path) -> list[int]:
    """Return the jobs that were submitted."""
    return [int(line) for line in (folder / "jobs").read_text().split()]


def kill(job: int) -> None:
    """End a job as a machine that is lost does."""
    assert os.getpgid(job) == job  # no other group of processes
    os.killpg(job, signal.SIGKILL)
