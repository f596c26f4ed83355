"""Tables of an evaluation, and a page that needs no other file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.checkpoint import Checkpoint
from model.data.records import DAYS
from model.evaluation.checks import Verdict
from model.evaluation.responses import ResponseCurve
from model.evaluation.scores import score
from pipeline.evaluation.published import read_published
from pipeline.evaluation.report import (
    Report,
    check_table,
    published_table,
    response_table,
    score_table,
    write_report,
)
from pipeline.evaluation.subjects import Result

VOID = {"meta", "img", "br", "hr", "link"}
CURVE = ResponseCurve("GPP", (0.0, 10.0, 20.0), (0.0, 4.0, 8.0), (0.5, 0.7, 0.6), (10.0, 200.0, 300.0))


@pytest.fixture
def report(results: tuple[Result, ...], checkpoint: Checkpoint) -> Report:
    first = replace(results[0], evaluation=replace(results[0].evaluation, responses=(CURVE,)))
    return Report(checkpoint, "a<b>.safetensors", (first, results[1]), read_published())


def test_scores_are_those_of_the_predictions_and_have_their_unit(results: tuple[Result, ...]) -> None:
    table = score_table(results).set_index(["data", "model", "output", "period", "by", "group"])
    ours = results[0]
    row = table.loc[("dice", "network", "rh", "daily", "crop", "soybean")]
    soybean = np.array([[False, True], [True, False]])
    expected = score(ours.predicted.rh_NYT[soybean], ours.subject.observed.rh_NYT[soybean])
    assert (row["n"], row["rmse"], row["unit"]) == (2 * DAYS, pytest.approx(expected.rmse), "g C m-2 d-1")
    assert table.loc[("dice", "network", "yield", "annual", "pooled", "all"), "n"] == 4
    assert table.loc[("US-X", "network", "reco", "daily", "pooled", "all"), "n"] == 2 * DAYS - 20
    assert not [key for key in table.index if key[0] == "US-X" and key[2] in ("ra", "rh", "yield", "dsoc")]


def test_a_tower_is_scored_beside_null_models_on_the_same_days(results: tuple[Result, ...]) -> None:
    table = score_table(results)
    nulls = table[(table["data"] == "US-X") & (table["model"] != "network") & (table["period"] == "daily")]
    assert {
        "mean seasonal cycle",
        "mean seasonal Reco - GPP",
        "network, on the days of the nulls",
    } == set(nulls["model"])
    assert nulls["n"].nunique() == 1
    assert {result.subject.kind for result in results if result.nulls} == {"tower"}


def test_published_scores_are_shown_beside_ours_of_the_same_output_and_period(results: tuple[Result, ...]) -> None:
    table = published_table(results, read_published())
    synthetic = table[table["data"] == "dice"]
    assert set(synthetic["output"]) == {"yield", "ra", "rh", "nee"}
    ours = results[0].evaluation.row("rh", "daily")
    assert ours is not None
    rows = synthetic[(synthetic["output"] == "rh") & (synthetic["period"] == "daily")]
    assert rows["this checkpoint"].str.startswith(f"R² {ours.score.r2:.3f}").all()
    assert "R² 0.97" in set(rows["published"])
    assert set(table.loc[table["data"] == "US-X", "output"]) == {"reco", "nee"}


def test_curves_are_a_table() -> None:
    assert response_table([CURVE])["rh_gc_m2_d"].tolist() == [0.5, 0.7, 0.6]


def test_a_failed_check_stands_out_in_the_table() -> None:
    checks = (Verdict("yield rises", True, "by 3"), Verdict("Rh rises", False, "it falls"))
    assert check_table(checks)["result"].tolist() == ["passes", "FAILS"]


class Tags(HTMLParser):
    """Collects open tags, attributes and text; a tag that closes another is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_complete_and_escaped_and_needs_no_other_file(report: Report, tmp_path: Path) -> None:
    written = write_report(report, tmp_path)
    text = (tmp_path / "index.html").read_text()
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert len(tags.sources) == 4
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in tags.sources)
    assert "http" not in re.sub('src="data:[^"]*"', "", text)  # the letters of a picture may spell anything
    assert "a<b>.safetensors" in "".join(tags.text)
    assert "synthetic: dice <i> & more." in "".join(tags.text)
    assert {path.name for path in written} == {
        "index.html",
        "scores.csv",
        "responses.csv",
        "evaluation.json",
        "dice.png",
        "US-X.png",
        "responses.png",
        "responses_yield.png",
    }
    assert len(pd.read_csv(tmp_path / "scores.csv")) == len(score_table(report.results))
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["subjects"][0]["evaluation"]["balance"]["daily"] == report.results[0].evaluation.balance.daily
    assert not re.search(r"NaN|Infinity", (tmp_path / "evaluation.json").read_text())
