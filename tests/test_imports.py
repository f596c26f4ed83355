"""Who may import whom; `tests/imports.py` reads the imports, and its `FLOORS` are the layout of the packages."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests import imports
from tests.imports import Import

MODEL_MAY_IMPORT = {"model", "torch", "numpy", "scipy", "numba", "llvmlite", "safetensors"}
FOUND = imports.all_imports()
MOST_MODULES = 25


def importing(*packages: str, within: str = "") -> set[str]:
    """Return the modules below `within` that import one of the packages."""
    return {
        each.module
        for each in FOUND
        if each.module.startswith(within)
        if any(f"{each.imported}.".startswith(f"{package}.") for package in packages)
    }


def packages() -> list[Path]:
    return [path.parent for top in imports.TOP for path in imports.files(top) if path.name == "__init__.py"]


def test_a_package_imports_packages_of_lower_floors_only() -> None:
    assert not imports.upwards(FOUND)


def test_no_two_packages_import_each_other() -> None:
    assert not imports.cycles(FOUND)


def test_every_package_and_module_has_one_floor_and_every_floor_stands() -> None:
    for top, floors in imports.FLOORS.items():
        named = [name for floor in floors for name in floor]
        folder = imports.ROOT / top
        there = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        there |= {path.parent.name for path in folder.glob("*/__init__.py")}
        assert sorted(named) == sorted(there)


def test_no_package_of_sources_imports_another() -> None:
    folders = {path.parent.name for path in (imports.ROOT / "pipeline" / "sources").glob("*/__init__.py")}
    assert len(folders) >= 6
    for folder in folders:
        others = (f"pipeline.sources.{other}" for other in folders - {folder})
        assert not importing(*others, within=f"pipeline.sources.{folder}.")


def test_inner_modules_are_imported_by_their_own_package_alone() -> None:
    inner = imports.inner_modules()
    assert len(inner) > 20
    modules = {imports.module_of(path) for top in imports.TOP for path in imports.files(top)}
    assert not inner - modules
    assert not imports.imports_of_inner(FOUND, inner)


def test_only_the_cluster_package_imports_distributed() -> None:
    modules = importing("distributed", "dask.distributed", "dask_jobqueue")
    assert modules == {"pipeline.cluster.clients", "pipeline.cluster.dask", "pipeline.cluster.flight"}


def test_only_the_committer_changes_a_repository() -> None:
    """Every call of Icechunk that commits, tags, or moves a branch: elsewhere `commit` is the committer's."""
    changing = re.compile(
        r"\bsession\.(commit|flush|amend)\(|\.(create_tag|delete_tag|create_branch|delete_branch|reset_branch|transaction)\("
    )
    lines = [
        (imports.module_of(path), line)
        for path in imports.files("pipeline")
        for line in path.read_text().splitlines()
        if changing.search(line) and "committer." not in line
    ]
    assert {module for module, _ in lines} == {"pipeline.storage.commit"}, lines


def test_only_the_command_line_imports_typer() -> None:
    assert importing("typer")
    assert all(module.startswith("pipeline.cli.") for module in importing("typer"))


def test_grids_and_tile_years_know_no_file_and_no_cluster() -> None:
    foreign = ("zarr", "icechunk", "rasterio", "distributed", "dask")
    assert not importing(*foreign, within="pipeline.grid.") | importing(*foreign, within="pipeline.simulate.")


def test_the_model_knows_no_grid_file_or_cluster() -> None:
    for each in FOUND:
        if each.module.startswith("model"):
            allowed = MODEL_MAY_IMPORT | ({"pydantic"} if each.module.startswith("model.recipe.") else set())
            assert each.imported.split(".")[0] in allowed | set(sys.stdlib_module_names), each


def test_no_package_knows_the_python_interface() -> None:
    assert importing("agcarbon") == {"agcarbon"}


def test_regions_know_neither_pipeline_nor_model() -> None:
    assert not importing("pipeline", "model", within="regions")


def test_no_folder_holds_more_modules_than_a_reader_can_survey() -> None:
    assert max(imports.module_counts().values()) <= MOST_MODULES


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(imports.ROOT)))
def test_the_docstring_of_a_package_names_its_modules_and_what_it_imports(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    listed = dict(re.findall(r"^(Public modules|Inner modules|May import): ([\w, \n]+)\.", text, re.MULTILINE))
    named = {name for key in ("Public modules", "Inner modules") for name in re.split(r",\s*", listed.get(key, ""))}
    if package.parent == imports.ROOT or package.name == "cli":
        return
    there = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert named - {""} == there
    unit = imports.module_of(package / "__init__.py")
    if unit.count(".") == 1:
        used = {end.partition(".")[2] for start, end in imports.arrows(FOUND) if start == unit}
        assert used <= set(re.split(r",\s*", listed["May import"]))


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (Import("pipeline.grid.latlon", "pipeline.storage.cf"), "up"),
        (Import("pipeline.storage.cf", "pipeline.sources.raster"), "up"),  # the same floor
        (Import("pipeline.run.plan", "pipeline.unheard_of.module"), "up"),
        (Import("model.network", "model.training.course"), "up"),
        (Import("pipeline.run.plan", "pipeline.cube.ledger"), ""),
        (Import("pipeline.run.plan", "model.training.course"), ""),  # between top-level packages
        (Import("pipeline.run.plan", "pipeline.storage.lease.Lease"), "inner"),
        (Import("pipeline.storage.commit", "pipeline.storage.lease.Lease"), ""),
    ],
)
def test_a_broken_rule_is_found(made: Import, found: str) -> None:
    assert imports.upwards([made]) == ([made] if found == "up" else [])
    assert imports.imports_of_inner([made], {"pipeline.storage.lease"}) == ([made] if found == "inner" else [])


def test_a_cycle_is_found_through_a_third_package() -> None:
    chain = [Import("pipeline.a.x", "pipeline.b.y"), Import("pipeline.b.y", "pipeline.c.z")]
    assert not imports.cycles(chain)
    assert imports.cycles([*chain, Import("pipeline.c.z", "pipeline.a.x")]) == [
        ("pipeline.a", "pipeline.b", "pipeline.c")
    ]
