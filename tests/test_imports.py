"""Who may import whom; see docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODEL_MAY_IMPORT = {"model", "torch", "numpy", "scipy", "safetensors"}


def imports(path: Path) -> Iterator[str]:
    """Yield the full names of all modules that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def files(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, package
    return found


@pytest.mark.parametrize("path", files("model"), ids=str)
def test_the_model_knows_no_grid_file_or_cluster(path: Path) -> None:
    import sys

    foreign = {name.split(".")[0] for name in imports(path)} - MODEL_MAY_IMPORT - set(sys.stdlib_module_names)
    assert not foreign


@pytest.mark.parametrize("path", files("regions"), ids=str)
def test_regions_know_neither_pipeline_nor_model(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"pipeline", "model"}


def test_only_the_executor_knows_the_scheduler() -> None:
    knows = {path.name for path in files("pipeline") if any(name.startswith("distributed") for name in imports(path))}
    assert knows == {"executor.py"}
