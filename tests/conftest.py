"""Fixtures of all tests: the folders of real files and of small inputs with known values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-realdata", action="store_true", help="fail, not skip, where real files are absent")


def _folder(request: pytest.FixtureRequest, variable: str, name: str, meaning: str) -> Path:
    """Return a folder of files that are not in the repository; skip, or fail in CI, where it is absent."""
    folder = Path(os.environ.get(variable, Path(__file__).parent.parent / name))
    if not folder.is_dir():
        message = f"no folder of {meaning} at {folder}: set {variable}"
        if request.config.getoption("--strict-realdata") or os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def realdata(request: pytest.FixtureRequest) -> Path:
    return _folder(request, "AGCARBON_REALDATA", "realdata", "real files")


@pytest.fixture(scope="session")
def cases(request: pytest.FixtureRequest) -> Path:
    return _folder(request, "AGCARBON_CASES", "cases", "small inputs with known values")
