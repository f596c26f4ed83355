"""Who imports whom: modules by folder, arrows between packages, arrows that point up, cycles.

`python -m tests.imports` prints the structure; `tests/test_imports.py` holds its rules.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TOP = ("regions", "model", "pipeline", "agcarbon")
# From the lowest floor upwards: what stands on a floor imports what stands on lower floors only.
FLOORS: Mapping[str, Sequence[Sequence[str]]] = {
    "regions": (("boundaries", "messages"), ("lookup",), ("region",), ("template",), ("pack",)),
    "model": (
        ("arrays", "features", "shipped", "unpickling"),
        ("network", "ranges"),
        ("checkpoint", "losses"),
        ("authors_files", "inference", "recipe", "synthetic"),
        ("data", "device", "year_step"),
        ("evaluation",),
        ("training",),
        ("experiments",),
    ),
    "pipeline": (
        ("errors",),
        ("progress", "digests", "variables", "years"),
        ("console",),
        ("grid", "simulate"),
        ("basemap", "execution", "sources", "storage"),
        ("config", "inputs", "cube", "site"),
        ("job", "cluster", "fetch", "demo", "training"),
        ("ingest", "run", "aggregate", "evaluation"),
        ("access",),
        ("changes", "export", "audit"),
        ("analysis", "cost", "view"),
        ("report",),
        ("cli",),
    ),
    "agcarbon": (("_command", "_shadowing", "commands", "cube"),),
}
_INNER = re.compile(r"^Inner modules?: ([\w, \n]+)\.", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Import:
    """One import statement: the importing module, the imported name with all its dots, and the line.

    `imported` is the module where `module` imports one, and the module and name where it imports a name from one.
    """

    module: str
    imported: str
    line: int = 0


def module_of(path: Path, root: Path = ROOT) -> str:
    """Return the dotted name of a file: `pipeline.run.block`; of an `__init__`, its package."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def files(package: str, root: Path = ROOT) -> list[Path]:
    """Return the modules of a top-level package, at any depth."""
    return sorted((root / package).rglob("*.py"))


def imports_of(path: Path, root: Path = ROOT) -> Iterator[Import]:
    """Yield all imports of a file, at any depth of its code."""
    module = module_of(path, root)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (Import(module, f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def all_imports(root: Path = ROOT) -> list[Import]:
    """Return all imports of the packages."""
    return [each for package in TOP for path in files(package, root) for each in imports_of(path, root)]


def unit_of(name: str) -> str | None:
    """Return the package or module that stands on a floor, `pipeline.run` of `pipeline.run.block`; None of others."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in TOP and len(parts) > 1 else None


def floor_of(unit: str) -> int | None:
    """Return the floor of a package or module, 0 the lowest; None where it has none."""
    top, _, name = unit.partition(".")
    return next((floor for floor, names in enumerate(FLOORS[top]) if name in names), None)


def arrows(found: Iterable[Import]) -> dict[tuple[str, str], list[Import]]:
    """Return the imports between packages (and modules outside packages) of one top-level package, by arrow."""
    between: dict[tuple[str, str], list[Import]] = {}
    for each in found:
        start, end = unit_of(each.module), unit_of(each.imported)
        if start and end and start != end and start.split(".")[0] == end.split(".")[0]:
            between.setdefault((start, end), []).append(each)
    return between


def upwards(found: Iterable[Import]) -> list[Import]:
    """Return the imports of something that does not stand on a lower floor, or has no floor at all."""
    return sorted(
        each
        for (start, end), imports in arrows(found).items()
        for each in imports
        if (above := floor_of(start)) is None or (below := floor_of(end)) is None or below >= above
    )


def cycles(found: Iterable[Import]) -> list[tuple[str, ...]]:
    """Return the groups of packages that import each other, directly or through others."""
    graph: dict[str, set[str]] = {}
    for start, end in arrows(found):
        graph.setdefault(start, set()).add(end)
    reached = {unit: _reached(graph, unit) for unit in graph}
    groups = {tuple(sorted(other for other in reached[unit] if unit in reached.get(other, ()))) for unit in graph}
    return sorted(group for group in groups if group)


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen, waiting = set[str](), [start]
    while waiting:
        for end in graph.get(waiting.pop(), set()) - seen:
            seen.add(end)
            waiting.append(end)
    return seen


def inner_modules(root: Path = ROOT) -> set[str]:
    """Return the modules that the docstrings of their packages name as inner."""
    inner = set()
    for path in (path for package in TOP for path in files(package, root) if path.name == "__init__.py"):
        named = _INNER.search(ast.get_docstring(ast.parse(path.read_text())) or "")
        for name in re.split(r",\s*", named[1]) if named else ():
            inner.add(f"{module_of(path, root)}.{name}")
    return inner


def imports_of_inner(found: Iterable[Import], inner: set[str]) -> list[Import]:
    """Return the imports of inner modules from outside their packages."""
    return sorted(
        each
        for each in found
        for name in inner
        if _lies_in(each.imported, name) and not _lies_in(each.module, name.rpartition(".")[0])
    )


def _lies_in(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def module_counts(root: Path = ROOT) -> Counter[str]:
    """Return the number of modules in each folder, `__init__` included."""
    return Counter(
        str(path.parent.relative_to(root)) for package in TOP for path in files(package, root) if path.is_file()
    )


def main() -> int:
    """Print the structure; the exit code is 1 if an arrow points up or packages import each other."""
    found = all_imports()
    for folder, count in sorted(module_counts().items()):
        print(f"{count:3} {folder}")
    up, round_trips = upwards(found), cycles(found)
    print(f"arrows between packages {len(arrows(found))}, up {len(up)}, cycles {len(round_trips)}")
    for each in up:
        print(f"up: {each.module}:{each.line} imports {each.imported}")
    for group in round_trips:
        print(f"cycle: {' '.join(group)}")
    return int(bool(up or round_trips))


if __name__ == "__main__":
    sys.exit(main())
