"""The code blocks of the documents: all are valid, and those that can run on the demo do."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.config import RunFile
from regions import region
from tests.helpers.code_blocks import NEEDS, Block, blocks, command_lines, fault

ROOT = Path(__file__).parents[2]
EXECUTED = ("docs/tutorial.md", "README.md", *(f"docs/howto/{name}.md" for name in (
    "own-region", "append-a-year", "year-without-slope", "own-checkpoint", "own-towers", "s3", "qgis", "notebook",
    "audit-and-repair", "hand-over-a-release")))  # fmt: skip
"""In the order in which they are run, in one folder: some use what an earlier one made."""
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "model/weights/README.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in path.parts),
]
ALL = [block for document in DOCUMENTS for block in blocks(document)]


def executable() -> list[Block]:
    found = [block for name in EXECUTED for block in blocks(ROOT / name)]
    return [block for block in found if block.language in ("sh", "python") and not block.needs]


def of_language(name: str) -> list[Block]:
    return [block for block in ALL if block.language == name]


@pytest.mark.parametrize("block", of_language("sh"), ids=str)
def test_every_command_in_a_document_has_the_options_that_are_given(block: Block) -> None:
    assert not [f"{' '.join(line)}: {said}" for line in command_lines(block.text) if (said := fault(line))]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["run", "run.toml", "--yeers", "2012"], "--yeers"),
        (["runn", "run.toml"], "runn"),
        (["export", "cog", "run.toml", "--period", "weekly"], "weekly"),
        (["diff", "run.toml", "v1"], "after"),
        (["run", "run.toml", "--years", "2012"], ""),
        (["--version"], ""),
    ],
)
def test_a_command_line_that_is_refused_is_found(line: list[str], said: str) -> None:
    found = fault(line)
    assert said.lower() in found.lower()
    assert bool(found) == bool(said)


def test_blocks_that_are_not_run_give_a_known_reason() -> None:
    assert not [str(block) for block in ALL if block.needs and block.needs not in NEEDS]
    assert len(executable()) > 15
    assert set(EXECUTED) >= {f"docs/howto/{path.name}" for path in (ROOT / "docs/howto").glob("*.md")}


@pytest.mark.parametrize("block", of_language("python"), ids=str)
def test_every_python_block_is_valid(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", of_language("toml"), ids=str)
def test_every_toml_block_is_a_valid_part_of_a_run_file_or_a_region_file(block: Block) -> None:
    table: dict[str, Any] = tomllib.loads(block.text)
    if table.keys() <= RunFile.model_fields.keys():
        assert not settings_faults(table)
    else:
        assert not list(region._faults(table))


def settings_faults(table: dict[str, Any]) -> list[Any]:
    """Return the faults of single settings; those of several together may concern sections that a block leaves out."""
    try:
        RunFile.model_validate(table)
    except ValidationError as error:
        return [fault for fault in error.errors() if fault["loc"]]
    return []


def test_an_unknown_setting_and_a_wrong_value_are_found() -> None:
    assert settings_faults({"execution": {"worker": 3}})
    assert settings_faults({"execution": {"workers": -3}})


@pytest.mark.slow
def test_the_blocks_of_tutorial_readme_and_pages_run_in_order(tmp_path: Path) -> None:
    settings = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
    }
    run = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    for block in executable():
        command = [*run[block.language], block.text]
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert (tmp_path / "mine/exports/map-2011.png").stat().st_size > 20_000
