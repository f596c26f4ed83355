"""`agcarbon evaluate` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import model.experiments.run as experiments
import pipeline.evaluation.budgets as budgets
import pipeline.evaluation.mead as mead
import pipeline.evaluation.towers as towers
from model.checkpoint import Checkpoint
from model.data.published_layout import write_published_layout
from model.data.records import SiteSequences
from model.experiments.rows import Row, write_rows
from model.experiments.run import KGML, PURE_ML
from model.features import FEATURE_NAMES
from model.shipped import checkpoint_file
from pipeline.cli.evaluate import FORMS
from pipeline.cli.main import app
from pipeline.errors import UserError
from pipeline.evaluation.experiments import SCORES
from tests.helpers.random_carbon import random_sequences
from tests.helpers.tower_fluxes import random_years, recorded

FIGURES = (0.5, 0.6, 0.7, 1.0, 0.8, 0.9, 2.0, 0.1, 0.03, 5.0, -1.0)
RECIPES = Path(experiments.__file__).parent / "recipes"


@pytest.fixture
def sequences() -> SiteSequences:
    return random_sequences()


def test_a_file_of_sequences_is_scored(sequences: SiteSequences, tmp_path: Path) -> None:
    write_published_layout(tmp_path / "dice.safetensors", sequences)
    options = ["--on", str(tmp_path / "dice.safetensors"), "--no-curves", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["evaluate", "scores", *options])
    assert result.exit_code == 0, result.output
    assert "dice: yield R²" in result.output
    assert (tmp_path / "out" / "index.html").exists()
    assert not (tmp_path / "out" / "responses.csv").exists()


def test_failed_checks_are_reported_as_json_and_by_the_exit_code(sequences: SiteSequences, tmp_path: Path) -> None:
    nothing_grows = sequences.x_NYTF.copy()
    nothing_grows[..., FEATURE_NAMES.index("GPP")] = 0
    fluxes = sequences.fluxes_NYT3.copy()
    fluxes[..., 2] = -fluxes[..., :2].sum(-1)
    dead = replace(sequences, x_NYTF=nothing_grows, fluxes_NYT3=fluxes, yield_NY=np.zeros_like(sequences.yield_NY))
    write_published_layout(tmp_path / "dead.safetensors", dead)
    options = ["--on", str(tmp_path / "dead.safetensors"), "--no-curves", "--json", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["evaluate", "scores", *options])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [(one["check"], one["holds"]) for one in record["verdicts"]] == [("dead: 0 < yield < 0.5 GPP", False)]
    bounds = record["subjects"][0]["evaluation"]["yield_bounds"]
    assert bounds["negative"] + bounds["above"] == bounds["count"] == 4
    assert CliRunner().invoke(app, ["evaluate", "scores", *options, "--check"]).exit_code == 1


def test_the_towers_command_prints_scores_and_budgets_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint.load(checkpoint_file("simulated-2"))
    networks = {towers.NETWORK: checkpoint, towers.BEFORE: checkpoint}
    fluxes = towers.tower_fluxes(random_years(monthly=True), networks=networks)
    monkeypatch.setattr(towers, "read_towers", lambda *_, **__: (fluxes,))
    monkeypatch.setattr(budgets, "read_annual_nee", lambda *_: pd.DataFrame(columns=["nee", "nee_sd"], dtype=float))
    monkeypatch.setattr(towers, "evaluated_towers", lambda *_: towers.recorded_towers(recorded(checkpoint)))
    result = CliRunner().invoke(
        app, ["evaluate", "towers", "simulated-2", "--before", "simulated-2", "-o", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "towers.csv")
    assert {towers.NETWORK, towers.BEFORE} <= set(table["model"])
    assert (pd.read_csv(tmp_path / "budgets.csv")["year"].value_counts() == 2).all()
    assert (tmp_path / "towers.png").read_bytes()[:4] == b"\x89PNG"
    assert "US-Ne1, known by months: judged 2003, 2004, 2005, 2006, 2007" in result.output
    assert "ecosys has a GPP of its own" in result.output


def test_the_yields_command_prints_the_ratio_and_the_balance(tmp_path: Path) -> None:
    options = ["--sites", "2", "--data", str(tmp_path), "-o", str(tmp_path)]
    result = CliRunner().invoke(app, ["evaluate", "yields", *options])
    assert result.exit_code == 0, result.output
    assert "over 36 site-years" in result.output
    assert pd.read_csv(tmp_path / "yields.csv")["crop"].tolist() == ["corn", "soybean"]


def test_the_mead_command_prints_the_budget_and_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carbon = mead.Carbon.of_sites(random_sequences())
    place = mead.Place("Mead", "tower", np.array([2001, 2002]), observed=carbon, network=carbon, simulator=carbon)
    monkeypatch.setattr(mead, "read_mead", lambda *_, **__: (place,))
    result = CliRunner().invoke(app, ["evaluate", "mead", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    gpp = float(carbon.gpp_NYT.sum(-1, dtype=np.float64).mean())
    assert f"{gpp:.0f}" in result.output
    assert "winter_reco" in result.output
    assert (tmp_path / "mead.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_tiny_recipe_is_trained_and_leaves_the_table(tmp_path: Path) -> None:
    arguments = ["evaluate", "experiment", "sample-size", str(RECIPES / "tiny.toml"), "-o", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "sample-size-table.csv")
    assert list(zip(table["samples"], table["variant"], strict=True)) == [
        (0, KGML.name),
        *((size, variant.name) for size in (1, 2) for variant in (KGML, PURE_ML)),
    ]
    scores = table[[name for name in SCORES if name != "yield_r2"]]  # one test site
    assert np.isfinite(scores.to_numpy()).all()
    assert (table["imbalance"] > 0).all()


def test_an_experiment_needs_a_recipe_and_leaves_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = CliRunner().invoke(app, ["evaluate", "experiment", "ablation"])
    assert without.exit_code == 2
    assert "missing argument 'recipe'" in without.output.lower()

    def table(name: str, _recipe: object, folder: Path, **_: object) -> tuple[Row, ...]:
        rows = tuple(
            Row("r", variant, size, 0, "test sites", *FIGURES)
            for variant in ("ML", "ML + GPP", "ML + GPP + KG")
            for size in (1, 2)
        )
        folder.mkdir()
        write_rows(folder / f"{name}.csv", rows)
        return rows

    monkeypatch.setattr(experiments, "run_experiment", table)
    arguments = ["evaluate", "experiment", "ablation", str(RECIPES / "tiny.toml"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "ablation.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("former", "form"),
    [
        (["recipe.toml", "--experiment", "ablation", "-o", "out"], "experiment"),
        (["--experiment=ablation", "recipe.toml"], "experiment"),
        (["--figure", "mead", "--data", "realdata"], "mead"),
        (["us-ne1", "--before", "default", "--data", "realdata"], "towers"),
        (["tower", "us-ne1"], "towers"),
        (["mine.safetensors", "--on", "synthetic", "--check"], "scores"),
        (["--on", "counties"], "scores"),
    ],
)
def test_a_call_without_sub_command_is_refused_with_the_new_form(former: list[str], form: str) -> None:
    refused = CliRunner().invoke(app, ["evaluate", *former])
    assert isinstance(refused.exception, UserError)
    assert str(refused.exception).startswith(f"{former[0]!r} is not a sub-command of evaluate; write `{FORMS[form]}`")


def test_a_former_call_ends_with_exit_code_2_and_one_line() -> None:
    command = [sys.executable, "-m", "pipeline.cli", "evaluate", "recipe.toml", "--experiment", "ablation"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("agcarbon: ")
    assert "agcarbon evaluate experiment NAME RECIPE" in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_lists_the_sub_commands_and_each_has_only_its_own_options() -> None:
    listed = CliRunner().invoke(app, ["evaluate", "--help"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in FORMS)
    for name in FORMS:
        shown = CliRunner().invoke(app, ["evaluate", name, "--help"]).output
        assert ("--before" in shown) == (name == "towers")
        assert ("--on" in shown) == (name == "scores")
        assert ("--data" in shown) == (name != "experiment")
