"""Predicted and surveyed yields are paired by county, year and crop, and scored as by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.analysis.findings import MAIN
from pipeline.analysis.subject import Options, Subject
from pipeline.analysis.yields import ANALYSIS, predicted, scores, side_by_side, with_deviations
from pipeline.sources.quickstats import write_quickstats
from regions import zones
from tests.pipeline.analysis.conftest import Whole


@pytest.fixture(scope="module")
def surveyed(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Twelve years of survey for the counties of the region, and another county; soybean is missing in one year."""
    rng = np.random.default_rng(0)
    rows = [
        {"fips": fips, "year": year, "crop": crop, "yield_gc_m2": rng.normal(350 if crop == 1 else 150, 20)}
        for fips in (*(zone.fips for zone in zones(subject.region)), "19001")
        for year in range(2002, 2014)
        for crop in (1, 5)
        if (year, crop) != (2011, 5)
    ]
    folder = tmp_path_factory.mktemp("data")
    (folder / "nass").mkdir()
    write_quickstats(folder / "nass" / "made.csv", pd.DataFrame(rows))
    return Subject(subject.job, subject.cube, subject.years, Options(data=folder))


def test_predicted_yields_are_means_over_the_area_of_a_crop(subject: Subject, whole: Whole) -> None:
    """Of the region as a whole, from the cells: the shares of a crop where it is grown weight the yields."""
    crop, quality, yields = (whole.layer(name) for name in ("crop", "quality", "yield"))
    table = predicted(subject)
    for code, name in ((1, "corn"), (5, "soybean")):
        fraction = whole.layer(f"{name}_fraction")
        for index, year in enumerate(subject.years):
            chosen = (crop[index] == code) & (quality[index].astype(int) & 1 == 0) & np.isfinite(yields[index])
            weights = np.where(chosen, whole.area_m2 * fraction[index], 0)
            rows = table[(table["crop"] == code) & (table["year"] == year)]
            assert rows["area_km2"].sum() == pytest.approx(weights.sum() / 1e6, rel=1e-5)
            mean = np.average(rows["predicted_g_m2_yr"], weights=rows["area_km2"])
            assert mean == pytest.approx(np.nansum(yields[index] * weights) / weights.sum(), rel=1e-5)


def test_scores_are_those_of_the_pairs(surveyed: Subject) -> None:
    assert ANALYSIS.obstacle(surveyed) is None
    found = ANALYSIS.analyse(surveyed)
    table, by_crop = found.tables[MAIN], found.tables["scores"].set_index(["crop", "years"])
    assert set(table["fips"]) <= {zone.fips for zone in zones(surveyed.region)}
    assert not ((table["year"] == 2011) & (table["crop"] == "soybean")).any()
    for crop, rows in table.groupby("crop"):
        observed, ours = rows["observed_g_m2_yr"].to_numpy(), rows["predicted_g_m2_yr"].to_numpy()
        row = by_crop.loc[(crop, "all")]
        assert row["count"] == len(rows)
        assert row["r2"] == pytest.approx(1 - ((ours - observed) ** 2).mean() / observed.var())
        assert row["bias_g_m2_yr"] == pytest.approx((ours - observed).mean())
    assert "predicted county-years have no yield" in found.notes[0]


def test_extreme_years_are_those_far_from_a_countys_line() -> None:
    years = np.arange(2000, 2020)
    values = 300 + 2.0 * (years - 2000) + np.random.default_rng(1).normal(0, 5, 20)
    values[12] -= 60
    survey = pd.DataFrame({"fips": "17001", "year": years, "crop": 1, "yield_gc_m2": values})
    found = with_deviations(survey)
    line = stats.linregress(years, values)
    residual = values - line.intercept - line.slope * years
    np.testing.assert_allclose(found["deviation_sd"], residual / np.sqrt((residual**2).sum() / 18), rtol=1e-6)
    ours = pd.DataFrame({"fips": "17001", "year": years, "crop": 1, "predicted_g_m2_yr": 330.0})
    table = side_by_side(ours, survey)
    assert table.loc[table["extreme"], "year"].tolist() == [2012]
    assert set(scores(table)["years"]) >= {"all", "extreme", "ordinary", "2012"}


def test_a_short_record_has_no_extreme_years() -> None:
    survey = pd.DataFrame({"fips": "17001", "year": range(5), "crop": 1, "yield_gc_m2": [1.0, 1, 9, 1, 1]})
    assert with_deviations(survey)["deviation_sd"].isna().all()


def test_missing_surveys_are_an_obstacle(subject: Subject, tmp_path: Path) -> None:
    assert "--data" in (ANALYSIS.obstacle(subject) or "")
    (tmp_path / "nass").mkdir()
    rows = pd.DataFrame({"fips": ["19001"], "year": [2010], "crop": [1], "yield_gc_m2": [350.0]})
    write_quickstats(tmp_path / "nass" / "other.csv", rows)
    elsewhere = Subject(subject.job, subject.cube, subject.years, Options(data=tmp_path))
    assert "of others" in (ANALYSIS.obstacle(elsewhere) or "")


def test_synthetic_archives_make_the_comparison_meaningless(surveyed: Subject) -> None:
    made = Subject(surveyed.job, surveyed.cube, surveyed.years, surveyed.options)
    made.__dict__["synthetic"] = True
    assert "means nothing" in ANALYSIS.analyse(made).limits
