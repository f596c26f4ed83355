"""Help of every command: groups, whole purposes, examples, exit codes, 80 columns; and the next command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.guide.help import Guided
from pipeline.cli.guide.lessons import GROUPS, LESSONS
from pipeline.cli.main import app
from pipeline.console import verbosity

COLUMNS = 80


def commands(command: Any = None, *above: str) -> Iterator[tuple[str, ...]]:
    """Yield the names of all commands and sub-commands."""
    for name, each in (command or typer.main.get_command(app)).commands.items():
        yield (*above, name)
        if hasattr(each, "commands"):
            yield from commands(each, *above, name)


ALL = list(commands())


def help_of(*names: str) -> str:
    shown = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": str(COLUMNS)})
    assert shown.exit_code == 0
    return shown.output


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_the_help_of_a_command_has_examples_and_exit_codes_and_fits_80_columns(names: tuple[str, ...]) -> None:
    text = help_of(*names)
    assert max(map(len, text.splitlines())) <= COLUMNS
    examples = re.search(r"Examples:\n((?:    .+\n)+)", text)
    assert examples
    for example in examples[1].splitlines():
        assert re.search(rf"\bagcarbon (?:-q )?{' '.join(names)}\b", example), example
    assert re.search(r"Exit codes:\n    0   .+\n", text)
    assert re.search(r"\n    2   .+\n", text)


@pytest.mark.parametrize("names", ALL, ids=" ".join)
def test_options_of_examples_exist(names: tuple[str, ...]) -> None:
    text = help_of(*names)
    for example in LESSONS[" ".join(names)].examples:
        of_command = shlex.split(example.partition("||")[0].partition(">")[0])[1 + len(names) :]
        if " ".join(names) in ("export", "checkpoint", "evaluate", "demo"):
            continue  # an example of a sub-command
        for option in (word for word in of_command if word.startswith("-")):
            assert re.search(rf"(?m)(?:^|[\s,]){re.escape(option)}\b", text), option


def test_the_purposes_of_all_commands_are_whole_lines_under_headings() -> None:
    text = help_of()
    for heading in GROUPS:
        assert f"\n{heading}:\n" in text
    top = [names[0] for names in ALL if len(names) == 1]
    for name in top:
        assert re.search(rf"(?m)^  {name} +[A-Z].*\.$", text), name
    assert "..." not in text.partition("Data:")[2]
    assert "\nOther:" not in text  # a command without a lesson would be there
    assert {" ".join(names) for names in ALL} == LESSONS.keys()


def guided(returned: Any) -> typer.Typer:
    """An application with the command `ingest`, which ends as given."""
    own = typer.Typer(cls=Guided, rich_markup_mode=None)

    @own.command()
    def ingest(run_file: Path, years: str | None = None) -> Any:
        if isinstance(returned, typer.Exit):
            raise returned
        return returned if run_file or years else None

    own.command("plan")(ingest)

    return own


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        (None, "next: agcarbon plan 'my run.toml'\n"),
        (typer.Exit(0), "next: agcarbon plan 'my run.toml'\n"),
        (typer.Exit(1), "next: agcarbon fetch 'my run.toml' --dry-run\n"),
        (typer.Exit(2), ""),
        ("agcarbon status", "next: agcarbon status\n"),
    ],
)
def test_a_command_names_the_next_one_on_stderr_by_how_it_ended(returned: Any, line: str) -> None:
    done = CliRunner().invoke(guided(returned), ["ingest", "my run.toml"])
    assert done.stdout == ""
    assert done.stderr == line
    with verbosity(quiet=True):
        assert CliRunner().invoke(guided(returned), ["ingest", "my run.toml"]).stderr == ""


def test_the_next_command_is_of_the_years_that_were_given() -> None:
    done = CliRunner().invoke(guided(None), ["ingest", "run.toml", "--years", "2012"])
    assert done.stderr == "next: agcarbon plan run.toml --years 2012\n"


NOTHING_FOLLOWS = {
    "view": "its output is a page to look at, or a folder to publish",
    "evaluate experiment": "its output answers the question of the experiment",
}
"""Commands that name no next one, with the reason. Groups have none either: their sub-commands name it."""


def raw_command(names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the root with its commands, and the command of this name, before it gets its lesson."""
    root: Any = typer.main.get_command(app)
    command = root
    for name in names:
        command = command.commands[name]
    return root, command


def works(names: tuple[str, ...]) -> bool:
    """Whether a command does work of its own, and is not merely the group of others."""
    _, command = raw_command(names)
    return not hasattr(command, "commands") or command.invoke_without_command


def invoked(root: Any, *arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        root.main(arguments, prog_name="agcarbon")
    return int(end.value.code or 0)


def end(names: tuple[str, ...], code: int, *options: str) -> None:
    """Have a command end with this code, given the least that it needs, without any work."""
    root, command = raw_command(names)

    def work(**_given: Any) -> None:
        raise typer.Exit(code)

    command.callback = work
    needed: list[str] = []
    for each in (each for each in command.params if each.required):
        choices = [one for one in get_args(each.type_descriptor.annotation) if isinstance(one, str)]
        value = next(iter(choices), "given.toml")
        needed += [value] if each.param_type_name == "argument" else [each.opts[0], value]
    before = [option for option in options if option == "-q"]
    after = [option for option in options if option != "-q"]
    assert invoked(root, *before, *names, *needed, *after) == code


WORKING = [names for names in ALL if works(names)]


@pytest.mark.parametrize("names", WORKING, ids=" ".join)
def test_every_command_names_a_next_one_that_exists_after_each_exit_code_but_2(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    known = {*map(" ".join, WORKING), "the same"}
    name = " ".join(names)
    for code in {0, *LESSONS[name].exits}:
        end(names, code)
        line = capsys.readouterr().err
        if name in NOTHING_FOLLOWS:
            assert line == ""
            continue
        found = re.fullmatch(r"next: (?:agcarbon )?(([\w-]+)(?: [\w-]+)?)(?:[ ,].*)?\n", line)
        assert found, line
        assert {found[1], found[2]} & known, line
        assert "{" not in line
        assert "None" not in line


@pytest.mark.parametrize("names", WORKING, ids=" ".join)
def test_no_next_command_is_named_for_programs_nor_where_it_is_quiet_nor_beside_a_remedy(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    end(names, 0, "-q")
    end(names, 2)
    if any("--json" in each.opts for each in raw_command(names)[1].params):
        end(names, 0, "--json")
    assert capsys.readouterr().err == ""


def test_the_exceptions_are_commands_without_a_next_one() -> None:
    assert NOTHING_FOLLOWS.keys() <= {" ".join(names) for names in WORKING}
    assert len(WORKING) == len(ALL) - 3  # export, checkpoint, evaluate


def test_a_sub_command_names_its_next_one_and_not_also_that_of_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    root, command = raw_command(("demo", "archives"))
    command.callback = lambda **_given: None
    assert invoked(root, "demo", "archives", "folder") == 0
    assert capsys.readouterr().err == "next: agcarbon init demo\n"


HEAVY = ("torch", "numba", "pandas", "geopandas", "icechunk", "dask", "distributed", "rasterio", "scipy", "zarr")


def loaded(program: str) -> set[str]:
    """Return the heavy packages that a program has loaded."""
    script = f"{program}\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_modules_of_all_commands_load_no_heavy_package() -> None:
    folder = Path(__file__).parents[4] / "pipeline" / "cli"
    modules = [".".join(file.relative_to(folder.parents[1]).with_suffix("").parts) for file in folder.rglob("*.py")]
    imported = [name for name in modules if not name.endswith(("__main__", "cli.tour"))]  # tour is the body of `demo`
    assert not loaded("\n".join(f"import {name}" for name in imported))


def test_a_command_that_computes_nothing_loads_no_pytorch_numba_or_pandas() -> None:
    found = loaded("import pipeline.job, pipeline.run.status, pipeline.cube.history_report, pipeline.cube.rollback")
    assert found <= {"icechunk", "zarr", "dask"}
