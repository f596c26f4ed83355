"""County yields, predicted and observed: means over points, level and spread beside a survey's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.data.records import CountySet
from model.evaluation.scores import predicted_carbon
from model.features import CORN, SOYBEAN
from pipeline.evaluation.counties import CountyResult, evaluate_counties, read_surveys, simulated_counties
from pipeline.evaluation.published import read_published
from pipeline.evaluation.report import Report, headline, write_report
from pipeline.training.files import write_county_yields


@pytest.fixture(scope="module")
def counties() -> CountySet:
    return simulated_counties(3, counties=2, years=range(2010, 2013))


@pytest.fixture
def result(checkpoint: Checkpoint, counties: CountySet, tmp_path: Path) -> CountyResult:
    (tmp_path / "nass").mkdir()
    write_county_yields(tmp_path / "nass" / "a.csv", counties)
    return evaluate_counties(checkpoint, counties, surveys=read_surveys(tmp_path))


def test_a_county_is_predicted_to_yield_the_mean_of_its_points(
    result: CountyResult, checkpoint: Checkpoint, counties: CountySet
) -> None:
    grain = predicted_carbon(checkpoint.network(), counties.points.x_NYTF, scalers=checkpoint.scalers).yield_NY
    assert len(result.table) == np.isfinite(counties.observed_CYK).sum() > 6
    for row in result.table.to_dict(orient="records"):
        county, year = counties.fips.index(row["fips"]), row["year"] - 2010
        grown = (counties.county_P == county) & (counties.points.crop_NY[:, year] == row["crop"])
        assert row["predicted_gc_m2"] == pytest.approx(grain[grown, year].mean(), rel=1e-5)
        k = (CORN, SOYBEAN).index(row["crop"])
        assert row["observed_gc_m2"] == pytest.approx(counties.observed_CYK[county, year, k])


def test_scores_are_by_crop_and_levels_by_source(result: CountyResult) -> None:
    assert [row.group for row in result.rows] == ["all", "corn", "soybean"]
    assert result.rows[0].score.count == result.rows[1].score.count + result.rows[2].score.count
    corn = result.table[result.table["crop"] == CORN]
    rmse = ((corn["predicted_gc_m2"] - corn["observed_gc_m2"]) ** 2).mean() ** 0.5
    assert result.rows[1].score.rmse == pytest.approx(rmse)
    levels = result.levels.set_index(["source", "crop"])
    assert set(result.levels["source"]) == {"simulated survey", "predicted", "NASS"}
    # The survey here holds the same yields, to the tenth of a bushel per acre.
    for crop in (CORN, SOYBEAN):
        same = levels.loc[("simulated survey", crop), "mean"]
        assert levels.loc[("NASS", crop), "mean"] == pytest.approx(same, rel=1e-3)


def test_a_note_says_that_there_is_no_survey(checkpoint: Checkpoint, counties: CountySet, tmp_path: Path) -> None:
    assert read_surveys(tmp_path) is None
    alone = evaluate_counties(checkpoint, counties, surveys=None)
    assert "NASS" not in set(alone.levels["source"])
    assert any("yields of real counties are not shown" in note for note in alone.notes)


def test_a_report_can_be_of_counties_alone(result: CountyResult, checkpoint: Checkpoint, tmp_path: Path) -> None:
    report = Report(checkpoint, "a.safetensors", (), read_published(), result)
    names = {path.name for path in write_report(report, tmp_path)}
    assert names == {
        "index.html", "scores.csv", "counties.csv", "county_levels.csv", "evaluation.json", "counties.png"
    }  # fmt: skip
    assert [line.split(",")[1].strip() for line in headline(report)] == ["all", "corn", "soybean"]
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert [row["group"] for row in record["counties"]["rows"]] == ["all", "corn", "soybean"]
    assert "<h2>County yields</h2>" in (tmp_path / "index.html").read_text()


@pytest.mark.realdata
def test_real_surveys_have_a_level(realdata: Path, counties: CountySet, checkpoint: Checkpoint) -> None:
    surveys = read_surveys(realdata)
    assert surveys is not None
    levels = evaluate_counties(checkpoint, replace(counties), surveys=surveys).levels
    nass = levels[levels["source"] == "NASS"].iloc[0]
    assert nass["crop"] == CORN
    assert 300 < nass["mean"] < 420
