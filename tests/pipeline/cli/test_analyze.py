"""`agcarbon analyze` lists, runs and leaves out analyses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.analysis.registry import ANALYSES
from pipeline.cli.main import app
from pipeline.errors import UserError
from pipeline.job import Job
from tests.helpers.filled_cube import fill_cube


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A cube without an inputs store."""
    return fill_cube(tmp_path_factory.mktemp("analyze")).job


def analyze(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["analyze", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_without_a_name_all_are_listed() -> None:
    lines = analyze().splitlines()
    assert [line.split()[0] for line in lines] == [*(analysis.name for analysis in ANALYSES), "next:"]


def test_all_reports_what_is_left_out_and_why(job: Job, tmp_path: Path) -> None:
    said = analyze("all", job.path, "-o", tmp_path)
    assert "note: 2012: 1 of" in said
    assert "left out: dsoc: needs the stock of soil carbon" in said
    assert not (tmp_path / "dsoc").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "RUN"), "no analysis 'nothing'; choose among dsoc"),
        (("dsoc",), "no run file given; write `agcarbon analyze dsoc run.toml`"),
        (("dsoc", "RUN"), "`dsoc` needs the stock of soil carbon"),
        (("all", "RUN", "--years", "2020"), "has no results of 2020"),
    ],
)
def test_faults_are_named(job: Job, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        analyze(*(str(job.path) if each == "RUN" else each for each in arguments))
