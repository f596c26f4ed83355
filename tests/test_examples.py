"""The examples run where agcarbon is installed as users install it: from a wheel, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from tests.helpers.filled_cube import FIRST, LAST, fill_cube

ROOT = Path(__file__).parent.parent
PACKAGES = ("agcarbon", "model", "pipeline", "regions")


def call(*command: object, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of the wheel alone; the wheel is built from a copy, with what is installed here."""
    folder = tmp_path_factory.mktemp("wheel")
    source, target = folder / "source", folder / "target"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    call("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source, folder=folder)
    (wheel,) = folder.glob("agcarbon-*.whl")
    call("-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel, folder=folder)
    return target


@pytest.mark.slow
def test_the_example_runs_from_an_installed_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    cube, empty = tmp_path / "cube", tmp_path / "empty"
    cube.mkdir()
    empty.mkdir()
    fill_cube(cube, complete=True)
    settings = {"PYTHONPATH": str(installed), "MPLBACKEND": "agg"}
    code = f"print(*(__import__(name).__file__ for name in {PACKAGES}))"
    assert all(path.startswith(str(installed)) for path in call("-c", code, folder=empty, **settings).split())
    shutil.copy(ROOT / "examples" / "county_map.py", tmp_path / "county_map.py")
    said = call(tmp_path / "county_map.py", cube / "run.toml", folder=empty, **settings)
    assert [line.split()[0] for line in said.splitlines()[2:]] == [str(FIRST), str(LAST)]
    assert matplotlib.image.imread(empty / "logan.png").std() > 0.1
    assert [path.name for path in empty.iterdir() if path.suffix] == ["logan.png"]


def test_the_example_is_short() -> None:
    code = [line for line in (ROOT / "examples" / "county_map.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 20
