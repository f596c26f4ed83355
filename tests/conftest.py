"""What all tests share: the folder of real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-realdata", action="store_true", help="fail, not skip, where real files are absent")


@pytest.fixture(scope="session")
def realdata(request: pytest.FixtureRequest) -> Path:
    folder = Path(os.environ.get("AGCARBON_REALDATA", Path(__file__).parent.parent / "realdata"))
    if not folder.is_dir():
        if request.config.getoption("--strict-realdata") or os.environ.get("CI"):
            pytest.fail(f"no folder of real files at {folder}: set AGCARBON_REALDATA")
        pytest.skip(f"no folder of real files at {folder}: set AGCARBON_REALDATA")
    return folder
