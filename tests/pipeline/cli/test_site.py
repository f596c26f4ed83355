"""`agcarbon site` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from typer.testing import CliRunner

from model.checkpoint import Checkpoint
from pipeline.cli.site import app
from pipeline.errors import UserError
from pipeline.site.table import write_site_csv


def test_a_table_gives_a_folder_of_results(site_days: pd.DataFrame, untrained: Checkpoint, tmp_path: Path) -> None:
    write_site_csv(tmp_path / "here.csv", site_days)
    untrained.save(tmp_path / "random.safetensors")
    options = [
        "--checkpoint",
        str(tmp_path / "random.safetensors"),
        "-o",
        str(tmp_path / "out"),
        "--note",
        "It rained.",
    ]
    result = CliRunner().invoke(app, [str(tmp_path / "here.csv"), *options])
    assert result.exit_code == 0, result.output
    assert "It rained." in result.output
    assert (tmp_path / "out" / "site.png").exists()


def test_the_template_is_written_and_nothing_is_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--template", str(tmp_path / "template.csv")])
    assert result.exit_code == 0
    assert "TMAX_AIR [degC]" in (tmp_path / "template.csv").read_text()


def test_half_given_or_doubly_given_inputs_are_refused() -> None:
    half = CliRunner().invoke(app, ["--weather", "w"])
    assert isinstance(half.exception, UserError)
    assert str(half.exception).startswith("--soil, --tower, --crop missing")
    double = CliRunner().invoke(app, ["here.csv", "--weather", "w"])
    assert isinstance(double.exception, UserError)
    assert "were both given" in str(double.exception)
