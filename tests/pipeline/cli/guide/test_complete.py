"""Names that the shell completes."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.guide import complete
from pipeline.cli.main import app


def test_regions_are_those_included_and_files_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    assert complete.region_names("") == ["demo", "midwest", "three_i", "mine.toml"]
    assert complete.region_names("mi") == ["midwest", "mine.toml"]


def test_in_a_list_the_part_after_the_last_comma_is_completed_and_nothing_twice() -> None:
    assert complete.state_names("IL,IN,I") == ["IL,IN,ID", "IL,IN,IA"]
    assert complete.variable_names("nee,yi") == ["nee,yield"]


class _Line:
    """The line up to the word that is completed."""

    def __init__(self, run_file: Path | None) -> None:
        self.params = {"run_file": run_file}


@pytest.mark.parametrize("run_file", [None, Path("absent.toml")])
def test_without_a_readable_cube_no_release_is_offered(run_file: Path | None) -> None:
    line: typer.Context = _Line(run_file)  # type: ignore[assignment]
    assert complete.release_names(line, "v") == []


def test_the_shell_is_given_the_names() -> None:
    environment = {"_AGCARBON_COMPLETE": "complete_bash", "COMP_WORDS": "agcarbon init mid", "COMP_CWORD": "2"}
    shown = CliRunner().invoke(app, [], prog_name="agcarbon", env=environment)
    assert shown.output.split() == ["midwest"]
