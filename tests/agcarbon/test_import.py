"""Importing agcarbon: light, typed, and not confused by folders of the user's own."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import agcarbon

ROOT = Path(agcarbon.__file__).parent.parent


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, ''); {code}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_loads_no_heavy_package(tmp_path: Path) -> None:
    heavy = ["numpy", "xarray", "torch", "zarr", "icechunk", "pandas", "distributed"]
    done = python(f"import agcarbon; print([name for name in {heavy} if name in sys.modules])", tmp_path)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("hiding", ["pipeline", "model", "regions"])
@pytest.mark.parametrize("kind", ["package", "module", "folder"])
def test_a_package_of_the_users_that_hides_ours_is_named(tmp_path: Path, hiding: str, kind: str) -> None:
    if kind == "module":
        (tmp_path / f"{hiding}.py").write_text("")
    else:
        (tmp_path / hiding).mkdir()
        (tmp_path / hiding / ("__init__.py" if kind == "package" else "notes.txt")).write_text("")
    done = python("import agcarbon", tmp_path)
    if kind == "folder":  # a folder without __init__.py yields to a package anywhere else on the path
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"ImportError: {tmp_path / hiding}")
    assert f"hides agcarbon's package '{hiding}': rename it" in message


def test_the_command_names_it_in_one_line(tmp_path: Path) -> None:
    """A folder of PYTHONPATH comes before the packages of agcarbon for the command too."""
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("")
    # What the installed script holds, with the name that it has.
    script = "import sys; sys.argv = ['/usr/bin/agcarbon', '--version']; from agcarbon._command import main; main()"
    done = python(script, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"agcarbon: {tmp_path / 'pipeline'} hides agcarbon's package 'pipeline': rename it")
    assert done.stderr.count("\n") == 1
    (tmp_path / "pipeline" / "__init__.py").unlink()
    assert python(script, tmp_path).stdout == f"agcarbon {agcarbon.__version__}\n"


def test_the_script_that_is_installed_is_that_command() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["scripts"] == {"agcarbon": "agcarbon._command:main"}


def test_every_public_name_can_be_had_and_a_wrong_one_lists_them() -> None:
    assert set(agcarbon.__all__) <= set(dir(agcarbon))
    for name in agcarbon.__all__:
        assert getattr(agcarbon, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'opne'; it has Cube, aggregate"):
        agcarbon.opne  # noqa: B018
    assert agcarbon.__version__.count(".") == 2


def test_public_names_are_typed_and_imported_late() -> None:
    tree = ast.parse(Path(agcarbon.__file__).read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    named = {alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert named == set(agcarbon.__all__)
    assert (Path(agcarbon.__file__).parent / "py.typed").exists()
