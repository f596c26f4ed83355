"""Soil carbon change equals that of all cells at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.areas import REGION
from pipeline.analysis.carry_over import CarryOver
from pipeline.analysis.dsoc import ANALYSIS, trend
from pipeline.analysis.findings import MAIN, Findings
from pipeline.analysis.subject import Subject
from tests.pipeline.analysis.conftest import Whole


@pytest.fixture(scope="module")
def found(subject: Subject) -> Findings:
    assert ANALYSIS.obstacle(subject) is None
    return ANALYSIS.analyse(subject)


def test_the_region_is_that_of_all_cells_at_once(whole: Whole, found: Findings) -> None:
    dsoc, stock, area = whole.layer("dsoc"), whole.soil("soc_stock_200"), whole.area_m2
    assert np.isnan(dsoc).sum() > 0
    mean = np.nanmean(dsoc, axis=0)
    percent = 100 * mean / stock
    low, high = np.quantile(percent, [0.1, 0.9], weights=area, method="inverted_cdf")
    row = found.tables[MAIN].iloc[0]
    assert row["area"] == REGION
    assert row["area_km2"] == pytest.approx(area.sum() / 1e6, rel=1e-6)
    assert row["dsoc_g_m2_yr"] == pytest.approx(np.average(mean, weights=area), rel=1e-6)
    assert row["stock_200cm_kg_m2"] == pytest.approx(np.average(stock, weights=area) / 1000, rel=1e-6)
    assert row["dsoc_percent_yr"] == pytest.approx(100 * (mean @ area) / (stock @ area), rel=1e-6)
    within = area[abs(percent) <= 0.5].sum() / area.sum()
    assert 0.02 < within < 0.98
    assert row["share_within_half_percent"] == pytest.approx(within, rel=1e-6)
    assert row["q10_percent_yr"] == pytest.approx(max(low, -4), abs=0.003)
    assert row["q90_percent_yr"] == pytest.approx(min(high, 4), abs=0.003)


def test_a_year_is_the_mean_over_the_cells_that_have_it(whole: Whole, found: Findings) -> None:
    of_region = found.tables["years"].query("area == 'region'")
    expected = [
        np.average(of_year[np.isfinite(of_year)], weights=whole.area_m2[np.isfinite(of_year)])
        for of_year in whole.layer("dsoc")
    ]
    np.testing.assert_allclose(of_region["dsoc_g_m2_yr"], expected, rtol=1e-6)
    line = stats.linregress(of_region["year"], expected)
    row = found.tables[MAIN].iloc[0]
    assert row["trend_g_m2_yr2"] == pytest.approx(line.slope, rel=1e-6)
    assert row["trend_standard_error_g_m2_yr2"] == pytest.approx(line.stderr, rel=1e-6)


def test_residue_carried_over_is_a_regression_with_a_constant_for_each_cell(whole: Whole, found: Findings) -> None:
    rh, residue, gpp, dsoc = (whole.layer(name) for name in ("rh", "residue", "gpp", "dsoc"))
    cells = np.isfinite(rh).all(axis=0)
    count, root = cells.sum(), np.sqrt(whole.area_m2[cells])
    own = np.tile(np.eye(count), (3, 1))  # a column for each cell
    columns = np.column_stack([residue[:-1, cells].ravel(), gpp[1:, cells].ravel(), own])
    weights = np.tile(root, 3)
    share, *_ = np.linalg.lstsq(columns * weights[:, None], rh[1:, cells].ravel() * weights, rcond=None)[0]
    number = {each.name: each.value for each in found.numbers}
    assert number["share of residue respired in the year after"] == pytest.approx(share, rel=1e-4)
    carried = share * np.diff(residue[:, cells], axis=0)

    def variance(values: np.ndarray) -> float:
        return float((values - values.mean(axis=0)).__pow__(2).sum(axis=0) @ root**2)

    left = variance(dsoc[1:, cells] - carried) / variance(dsoc[1:, cells])
    explained = number["variance between years that is residue carried over"]
    assert explained == pytest.approx(100 * (1 - left), rel=1e-3, abs=1e-3)


def test_a_known_share_of_residue_is_found() -> None:
    rng, years = np.random.default_rng(0), range(2000, 2012)
    residue, gpp = rng.normal(300, 50, (2, 12, 40))
    rh = np.zeros_like(residue)
    rh[1:] = 0.4 * residue[:-1] + 0.1 * gpp[1:] + rng.normal(100, 20, 40)
    carried = CarryOver()
    carried.add(years, {"dsoc": residue - rh, "residue": residue, "rh": rh, "gpp": gpp}, np.ones(40))
    assert carried.share == pytest.approx(0.4)


def test_pairs_with_a_gap_between_them_are_left_out() -> None:
    layers = {name: np.ones((3, 2), np.float32) for name in ("dsoc", "residue", "rh", "gpp")}
    carried = CarryOver()
    carried.add([2000, 2002, 2004], layers, np.ones(2))
    assert not carried.products_55.any()
    assert np.isnan(carried.share)


def test_two_years_have_no_trend() -> None:
    assert np.isnan(trend([2010, 2011], np.array([1.0, 2.0]))).all()
