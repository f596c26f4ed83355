"""Report of a site: verdicts, printed tables and files."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from model.checkpoint import Checkpoint
from model.evaluation.scores import Score
from pipeline.site.point import run_site
from pipeline.site.report import Report, print_report, site_figure, verdict, write_report
from pipeline.site.skill import Comparison
from pipeline.site.table import site_inputs
from tests.helpers.pictures import letters_on_data, overlapping


@pytest.fixture
def report(site_days: pd.DataFrame, untrained: Checkpoint) -> Report:
    site = site_inputs(site_days, name="Here [1]", notes=("The pump was on.",))
    return Report(run_site(untrained, site), untrained, "random.safetensors")


def test_skill_is_claimed_only_above_the_best_null_model() -> None:
    nulls = {"weak": Score(0.1, 3.0, 0.0, 90), "strong": Score(0.9, 1.0, 0.0, 90)}
    better, worse = (Comparison("NEE", "daily", Score(0.9, rmse, 0.0, 90), nulls) for rmse in (0.5, 1.5))
    assert verdict(better) == (
        "NEE, daily, n = 90: the network beats the best null model, strong (RMSE 0.5 against 1, skill +0.75)."
    )
    assert "does not beat the best null model, strong" in verdict(worse)
    assert "no skill is claimed" in verdict(worse)
    assert "no skill is claimed" in verdict(replace(better, nulls={}))
    assert "too few pairs to claim skill" in verdict(replace(better, period="annual", network=Score(0.9, 0.5, 0.0, 3)))


def test_the_printed_report_has_null_models_origin_and_caveats(report: Report) -> None:
    text = StringIO()
    print_report(report, Console(file=text, width=160))
    printed = text.getvalue()
    for words in ("Here [1], 2003–2005", "random weights", "mean seasonal Reco - GPP", "The pump was on.", "spun up"):
        assert words in printed


def test_tables_figure_and_provenance_are_written(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path / "out")
    assert [path.name for path in paths] == ["daily.csv", "annual.csv", "scores.csv", "site.json", "site.png"]
    daily = pd.read_csv(paths[0])
    np.testing.assert_allclose(daily["nee_gc_m2_d"], report.result.nee, rtol=1e-5)
    np.testing.assert_allclose(daily["reco_observed_gc_m2_d"], report.result.site.reco, rtol=1e-5)
    scores = pd.read_csv(paths[2])
    assert len(scores) == 2 * (1 + 1) + 2 * (1 + 2)
    record = json.loads(paths[3].read_text())
    assert record["checkpoint_sha256"] == report.checkpoint.sha256
    assert "The pump was on." in record["notes"]
    assert paths[4].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("notes", "record"), [((), "observed"), (("synthetic: drawn",), "simulated")])
def test_no_letters_of_the_figure_lie_on_data_or_others_and_simulated_fluxes_are_called_so(
    site_days: pd.DataFrame, untrained: Checkpoint, notes: tuple[str, ...], record: str
) -> None:
    drawing = site_figure(Report(run_site(untrained, site_inputs(site_days, name="here", notes=notes)), untrained, "x"))
    assert overlapping(drawing) == []
    assert [letters_on_data(axes) for axes in drawing.axes] == [[]] * 4
    legend = drawing.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [record, "predicted"]
    assert drawing.axes[1].get_xlabel() == f"Reco {record}"


def test_without_observations_there_are_no_scores(
    site_days: pd.DataFrame, untrained: Checkpoint, tmp_path: Path
) -> None:
    site = site_inputs(site_days.drop(columns=["RECO", "NEE"]), name="here")
    blind = Report(run_site(untrained, site), untrained, "x")
    assert blind.scores == []
    text = StringIO()
    print_report(blind, Console(file=text, width=160))
    assert "No observations" in text.getvalue()
    assert [path.name for path in write_report(blind, tmp_path)] == ["daily.csv", "annual.csv", "site.json", "site.png"]
