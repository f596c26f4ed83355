"""The distribution: its command, its data files and types, and the releases that are tested together."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("agcarbon", "model", "pipeline", "regions")


def requirements() -> list[Requirement]:
    project = PYPROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in (*project["dependencies"], *extras)]


def pinned() -> dict[str, str]:
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in lines}


def test_the_command_is_a_function() -> None:
    (target,) = PYPROJECT["project"]["scripts"].values()
    module, _, name = target.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_data_file_of_a_package_is_installed_with_it(package: str) -> None:
    folder = ROOT / package
    files = {path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}}
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"][package]
    assert files == {path for pattern in patterns for path in folder.glob(pattern)}
    assert folder / "py.typed" in files


def test_what_is_pinned_for_python_3_11_is_what_the_project_admits_there() -> None:
    pins = pinned()
    wanted = [each for each in requirements() if not each.marker or each.marker.evaluate({"python_version": "3.11"})]
    for each in wanted:
        if each.name in pins:
            assert each.specifier.contains(pins[each.name]), each
    not_pinned = {each.name.lower() for each in wanted} - pins.keys()
    assert not_pinned == {"agcarbon", "bokeh"}  # an extra that no test needs


def test_what_is_pinned_runs_on_the_python_of_debian_12() -> None:
    # Debian 12 has Python 3.11.2. A pin that asks for a later one has pip search all releases of all packages instead.
    pins = pinned()
    same = [each for each in distributions() if pins.get(each.name.lower().replace("_", "-")) == each.version]
    assert len(same) > 100
    needed = {each.name: each.metadata.get("Requires-Python") for each in same}
    assert not {name: text for name, text in needed.items() if text and "3.11.2" not in SpecifierSet(text)}


@pytest.mark.parametrize(("python", "release"), [("3.11", "1.1"), ("3.12", "2.3"), ("3.13", "2.3")])
def test_each_python_has_one_major_release_of_icechunk(python: str, release: str) -> None:
    (icechunk,) = (
        each
        for each in requirements()
        if each.name == "icechunk" and each.marker and each.marker.evaluate({"python_version": python})
    )
    assert icechunk.specifier.contains(release)
    assert not icechunk.specifier.contains("1.0" if release == "1.1" else "1.1.21")
