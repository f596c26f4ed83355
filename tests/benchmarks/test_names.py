"""Names that benchmarks and examples import from this project, inside functions too, are there: not all of them run."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("agcarbon", "benchmarks", "model", "pipeline", "regions", "tests")
SCRIPTS = sorted(path for folder in ("benchmarks", "docs", "examples") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_is_there(script: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if node.module and node.module.partition(".")[0] in OURS:
            module = import_module(node.module)
            absent = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            modules = [name for name in absent if not _is_module(f"{node.module}.{name}")]
            assert not modules, f"{script.name}:{node.lineno}: {node.module} has no {', '.join(modules)}"


def _is_module(name: str) -> bool:
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True
