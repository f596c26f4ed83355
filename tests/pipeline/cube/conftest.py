"""A cube with a history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.cluster.executor import Serial
from pipeline.job import Job
from pipeline.run.run import run
from tests.helpers.random_inputs import YEARS, make_job, random_checkpoint

HALF = YEARS[:2]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a job that has been run for two years, and then for two more."""
    job = make_job(tmp_path_factory.mktemp("history"), random_checkpoint())
    for years in (HALF, YEARS):
        assert not run(job, Serial(), years=years).failures
    return job.path


@pytest.fixture
def job(base: Path, tmp_path: Path) -> Job:
    """The same in a folder of its own."""
    shutil.copytree(base.parent, tmp_path, dirs_exist_ok=True)
    return Job.open(tmp_path / base.name)
