"""Small archives that are ingested and reported, and a copy of their store for a test that changes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import config
from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from pipeline.inputs.report import InputsReport, Wanted
from pipeline.job import Job
from tests.helpers import small_archives
from tests.helpers.input_reports import change, filled_with, survey_stores


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Small archives, ingested; their humidity has no course of the day, which is implausible: here it gets one."""
    folder = tmp_path_factory.mktemp("small")
    run_file = small_archives.write_archives(folder)
    ingest(plan_ingest(run_file), executor=Serial())
    (folder / "run.toml").write_text(config.dump(run_file))
    job = Job.open(folder / "run.toml")
    for year in small_archives.YEARS:
        change(job, f"climate/{year}/hdif_air", filled_with(0.3))
    return job


@pytest.fixture(scope="session")
def report(job: Job) -> InputsReport:
    return survey_stores(job, Wanted(job.region.years))


@pytest.fixture
def copied(job: Job, tmp_path: Path) -> Job:
    """The same store in a folder of its own, without the archives."""
    source = job.path.parent
    shutil.copytree(source / "inputs.icechunk", tmp_path / "inputs.icechunk")
    shutil.copy(source / "small.toml", tmp_path)
    changed = job.run_file.model_dump_json().replace(str(source), str(tmp_path))
    (tmp_path / "run.toml").write_text(config.dump(RunFile.model_validate_json(changed)))
    return Job.open(tmp_path / "run.toml")
