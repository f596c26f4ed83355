"""The generated pages hold all that the code declares."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from docs import reference
from pipeline.aggregate.tables import NAMES
from pipeline.config import RunFile
from pipeline.variables import ANNUAL, DAILY, Quality
from tests.helpers.code_blocks import blocks


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: "\n".join(lines) for name, lines in reference.pages().items()}


def test_every_command_and_option_has_its_line(pages: dict[str, str]) -> None:
    names = [name for name, _ in reference.commands()]
    assert {"agcarbon run", "agcarbon export cog", "agcarbon checkpoint import"} <= set(names)
    for name, command in reference.commands():
        section = pages["commands"].partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        options = {option for each in command.params for option in each.opts if option.startswith("--")}
        missing = [option for option in options if f"`{option}`" not in section]
        assert not [option for option in missing if "completion" not in option], name


def test_the_settings_add_up_to_a_run_file(pages: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run-file.md").write_text(pages["run-file"])
    text = "\n".join(block.text for block in blocks(tmp_path / "run-file.md") if block.language == "toml")
    assert RunFile.model_validate(tomllib.loads(text)) == RunFile()


def test_variables_bits_and_keys_are_there(pages: dict[str, str]) -> None:
    assert all(f"| `{variable.name}` |" in pages["variables"] for variable in (*DAILY, *ANNUAL))
    assert all(f"| {int(bit)} | `{bit.name}`".lower() in pages["variables"] for bit in Quality)
    assert all(f"| `{key}" in pages["region-file"] for key in ("title", "states", "bbox", "mask_years", "tile_cells"))


def test_the_tables_are_all_there_with_their_keys_and_values(pages: dict[str, str]) -> None:
    sections = {part.partition("`")[0]: part for part in pages["tables"].split("## `")[1:]}
    keys = {"counties.csv": "fips", "states.csv": "state", "region.csv": "route"}
    keys |= {"counties_monthly.csv": "month", "states_monthly.csv": "month"}
    assert sections.keys() == keys.keys() == {f"{name}.csv" for name in NAMES}
    assert all(f"`{key}`" in sections[name] and "`nee_g_m2`" in sections[name] for name, key in keys.items())


def test_a_page_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    reference.write(tmp_path / "reference")
    pages = sorted((tmp_path / "reference").iterdir())
    before = [page.stat().st_mtime_ns for page in pages]
    pages[0].write_text("old")
    reference.write(tmp_path / "reference")
    assert [page.stat().st_mtime_ns for page in pages][1:] == before[1:]
    assert pages[0].read_text() != "old"
