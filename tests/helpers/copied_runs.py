"""Runs of two years, of a few tiles in two waves, to be disturbed: copies of one job, and the cube of a run that was
not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from pipeline.cluster.executor import Serial
from pipeline.job import Job
from pipeline.run.run import run
from pipeline.storage import repository
from tests.helpers.random_inputs import Setting, make_job

WANTED = (2010, 2011)
MEASURED = {"ledger/seconds", "ledger/cpu_seconds", "ledger/run"}  # differ between any two runs

Content = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Undisturbed:
    """A folder with inputs and no cube, and what the cube of an undisturbed run holds."""

    folder: Path
    content: Content

    def copy(self, folder: Path) -> Job:
        """Return a job of its own, with the same inputs and no cube."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Job.open(folder / "small-run.toml")


def undisturbed(folder: Path, checkpoint: Checkpoint) -> Undisturbed:
    """Write inputs, and run a copy of the job in one go."""
    job = make_job(folder / "inputs", checkpoint, setting=Setting())
    settings = job.path.read_text().replace("block_years = 2", "block_years = 1")
    job.path.write_text(settings.replace("batch_cells = 16", "batch_cells = 64"))
    made = Undisturbed(folder / "inputs", {})
    whole = made.copy(folder / "whole")
    report = run(whole, Serial(), years=WANTED)
    assert not report.failures
    return Undisturbed(made.folder, content(whole))


def content(job: Job) -> Content:
    """All arrays of the cube but those that are measurements of the run."""
    return dict(_arrays(repository.read(job.open_cube())))


def _arrays(root: zarr.Group) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for path, member in sorted(root.members(max_depth=None)):
        if isinstance(member, zarr.Array) and path not in MEASURED:
            yield path, np.asarray(member[...])


def assert_equal(job: Job, wanted: Undisturbed) -> None:
    """The cube of the job is that of the undisturbed run, bit for bit, checksums and fingerprints included."""
    found = content(job)
    assert found.keys() == wanted.content.keys()
    for name, values in wanted.content.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
