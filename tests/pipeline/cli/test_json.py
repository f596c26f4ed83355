"""Output for programs: one document on stdout, with the keys that docs/json.md lists; how much text there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pipeline import config
from pipeline.cli.main import app
from pipeline.errors import UserError
from tests.helpers import small_archives

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
COMMANDS = (
    "plan", "ingest", "run", "status", "aggregate", "export cog", "export zarr", "export netcdf", "audit", "history",
    "tag", "gc",
)  # fmt: skip


def call(run_file: Path, command: str, *options: str) -> Result:
    return CliRunner().invoke(app, [*command.split(), str(run_file), *options], catch_exceptions=False)


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    (folder / "run.toml").write_text(config.dump(small_archives.write_archives(folder)))
    return folder / "run.toml"


@pytest.fixture(scope="module")
def results(run_file: Path) -> dict[str, Result]:
    """The commands from archives to maps, each called with --json."""
    needed = {"export netcdf": ("--variable", "nee")}
    return {command: call(run_file, command, "--json", *needed.get(command, ())) for command in COMMANDS}


def documented(command: str) -> set[str]:
    (row,) = re.findall(rf"^\| `{command}` \| (.*) \|$", PAGE, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row)))


@pytest.mark.parametrize("command", COMMANDS)
def test_stdout_is_one_document(results: dict[str, Result], command: str) -> None:
    assert results[command].exit_code == 0, results[command].output
    assert isinstance(json.loads(results[command].stdout), dict)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "plan"])
def test_its_keys_are_those_of_the_page(results: dict[str, Result], command: str) -> None:
    assert set(json.loads(results[command].stdout)) == documented(command)


def test_text_for_people_is_on_stderr(results: dict[str, Result]) -> None:
    assert "tile-years computed" in results["run"].stderr
    assert "product-years: 7 ingested" in results["ingest"].stderr
    assert "audit ok" in results["audit"].stderr


def test_the_documents_agree_with_each_other(results: dict[str, Result]) -> None:
    documents = {name: json.loads(result.stdout) for name, result in results.items()}
    assert documents["run"]["computed"] == documents["audit"]["tile_years"] == documents["status"]["counts"]["done"]
    assert documents["aggregate"]["done"] == documents["status"]["years"] == [2011, 2012]
    assert all(Path(name).exists() for name in documents["export cog"]["files"])
    assert documents["export zarr"]["complete"]
    assert documents["export zarr"]["written"] == 5 + documents["run"]["computed"] + 2  # masks, tile-years, overviews
    assert Path(documents["export netcdf"]["file"]).exists()
    assert documents["export netcdf"]["steps"] == len(documents["export netcdf"]["years"]) == 2
    assert documents["history"]["commits"][0]["snapshot"] == documents["audit"]["snapshot"]


def test_an_error_leaves_stdout_empty(run_file: Path) -> None:
    with pytest.raises(UserError, match="1890 is before 2011"):
        call(run_file, "run", "--years", "1890", "--json")
    command = [sys.executable, "-m", "pipeline.cli", "run", str(run_file), "--years", "1890", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("agcarbon: --years '1890'")


def test_a_quiet_command_prints_its_last_line_alone(run_file: Path, results: dict[str, Result]) -> None:
    assert results
    done = CliRunner().invoke(app, ["-q", "run", str(run_file)])
    assert re.fullmatch(r"0 tile-years computed in \d+\.\d s, 10 were up to date before\n", done.output)
    assert "were up to date" not in CliRunner().invoke(app, ["-q", "status", str(run_file)]).output
    assert call(run_file, "status").output.count("\n") > 3  # and the next command is not quiet


def test_the_flags_of_the_program_may_stand_behind_the_command(run_file: Path, results: dict[str, Result]) -> None:
    assert results
    for arguments in (["run", str(run_file), "-q"], ["run", "--quiet", str(run_file)]):
        assert re.fullmatch(r"0 tile-years computed in .*\n", CliRunner().invoke(app, arguments).output)
    assert CliRunner().invoke(app, ["status", str(run_file), "-v", "-q"]).exit_code == 2
    assert CliRunner().invoke(app, ["export", "cog", "--version"]).output.startswith("agcarbon ")
    assert CliRunner().invoke(app, ["status", "--", "-q"]).exit_code != 0  # a run file of that name


def test_a_verbose_command_prints_what_is_logged(run_file: Path, results: dict[str, Result]) -> None:
    assert results
    done = CliRunner().invoke(app, ["-v", "aggregate", str(run_file), "--again"])
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .*: \d+ of \d+", done.stderr, re.MULTILINE)
    assert not re.search(r"^\d\d:\d\d:\d\dZ", done.stdout, re.MULTILINE)
    assert CliRunner().invoke(app, ["-v", "-q", "status", str(run_file)]).exit_code == 2


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert CliRunner().invoke(app, ["--version"]).output == f"agcarbon {version('agcarbon')}\n"
