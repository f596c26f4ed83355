"""Rotations equal those of a loop over cells and years."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis.findings import MAIN, Findings
from pipeline.analysis.rotation import ANALYSIS, CLASSES, classify
from pipeline.analysis.subject import Subject
from tests.pipeline.analysis.conftest import Whole


def class_of(crops: list[float], years: list[int]) -> str:
    """The class of one cell, by counting."""
    known = [(year, crop) for year, crop in zip(years, crops, strict=True) if crop in (1, 5)]
    if len(known) < 2 or len(known) < len(years) / 2:
        return "unknown"
    corn = sum(crop == 1 for _, crop in known)
    even = sum((crop == 1) == (year % 2 == 0) for year, crop in known)
    for name, count in (
        ("continuous corn", corn),
        ("corn in even years", even),
        ("corn in odd years", len(known) - even),
    ):
        if 10 * count >= 9 * len(known):
            return name
    return "mostly corn" if 3 * corn >= 2 * len(known) else "mixed"


@pytest.mark.parametrize("count", [3, 6, 7, 21])
def test_classes_are_those_of_counting(count: int) -> None:
    rng, years = np.random.default_rng(count), list(range(2000, 2000 + count))
    pattern = np.where(np.arange(count) % 2 == 0, 1.0, 5.0)
    bases = [np.ones(count), pattern, 6 - pattern, np.where(rng.random(count) < 0.7, 1.0, 5.0)]
    cells = np.stack([bases[number % 4] for number in range(600)], axis=1)
    cells = np.where(rng.random(cells.shape) < 0.08, 6 - cells, cells)
    cells = np.where(rng.random(cells.shape) < 0.2, np.nan, cells)
    found = [list(CLASSES)[number] for number in classify(cells, years)]
    assert found == [class_of(list(column), years) for column in cells.T]
    assert len(set(found)) >= 5


@pytest.fixture(scope="module")
def found(subject: Subject) -> Findings:
    return ANALYSIS.analyse(subject)


def test_areas_and_means_by_class_are_those_of_all_cells(whole: Whole, found: Findings) -> None:
    crop, quality, dsoc, yields = (whole.layer(name) for name in ("crop", "quality", "dsoc", "yield"))
    grown = np.where(quality.astype(int) & 1, np.nan, crop)
    names = np.array([class_of(list(column), list(whole.cube.years)) for column in grown.T])
    rows = found.tables[MAIN].query("area == 'region'").set_index("class")
    assert set(rows.index) == set(names)
    assert len(rows) >= 3
    for name in rows.index:
        chosen = names == name
        area = whole.area_m2[chosen]
        mean = np.nanmean(dsoc[:, chosen], axis=0)
        row = rows.loc[name]
        assert row["area_km2"] == pytest.approx(area.sum() / 1e6, rel=1e-5)
        assert row["share_of_area"] == pytest.approx(area.sum() / whole.area_m2.sum(), rel=1e-5)
        assert row["dsoc_g_m2_yr"] == pytest.approx(np.average(mean, weights=area), rel=1e-5)
        known = np.isfinite(grown[:, chosen]).mean(axis=0)
        assert row["share_of_known_years"] == pytest.approx(np.average(known, weights=area), rel=1e-5)
        for code, crop_name in ((1, "corn"), (5, "soybean")):
            weights = np.where((grown[:, chosen] == code) & np.isfinite(yields[:, chosen]), area, 0)
            column = row[f"{crop_name}_yield_g_m2_yr"]
            expected = (np.nan_to_num(yields[:, chosen]) * weights).sum() / weights.sum() if weights.any() else np.nan
            assert column == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_too_few_years_are_an_obstacle(whole: Whole) -> None:
    two = Subject.open(whole.job, years="2010-2011")
    assert ANALYSIS.obstacle(two) == "needs 3 years with results; there are 2"
