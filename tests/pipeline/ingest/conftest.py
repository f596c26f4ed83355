"""Small archives that are ingested: once for all tests that only read, or a copy of them for one that writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.cluster.executor import Serial
from pipeline.config import RunFile
from pipeline.ingest.plan import plan_ingest
from pipeline.ingest.run import ingest
from tests.helpers import small_archives


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    run_file = small_archives.write_archives(tmp_path_factory.mktemp("small"))
    ingest(plan_ingest(run_file), executor=Serial())
    return run_file


@pytest.fixture
def copied(ingested: RunFile, tmp_path: Path) -> RunFile:
    """The same archives and store in a folder of their own; file times are kept."""
    source = Path(ingested.region).parent
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    return RunFile.model_validate_json(ingested.model_dump_json().replace(str(source), str(tmp_path)))
