"""Anomalies equal those of all cells at once, and soils have the class of the texture triangle."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis.extremes import ANALYSIS, Extremes
from pipeline.analysis.findings import MAIN, Findings
from pipeline.analysis.soil_classes import TEXTURES, soil_classes, texture
from pipeline.analysis.subject import Subject
from pipeline.inputs.view import open_inputs
from tests.pipeline.analysis.conftest import Whole


@pytest.fixture(scope="module")
def found(subject: Subject) -> Findings:
    assert ANALYSIS.obstacle(subject) is None
    return ANALYSIS.analyse(subject)


def test_the_driest_and_hottest_years_are_those_of_the_weather(whole: Whole, found: Findings) -> None:
    view = open_inputs(whole.job.stores.inputs)
    lon, lat = whole.lonlat
    rain, heat = [], []
    for year in whole.cube.years:
        group, leap = view.root[f"climate/{year}"], year % 4 == 0
        row = np.abs(group["lat"][:] - lat[:, None]).argmin(axis=1)
        col = np.abs(group["lon"][:] - lon[:, None]).argmin(axis=1)
        season = group["precn"][:][90 + leap : 273 + leap].sum(axis=0, dtype=float)[row, col]
        summer = group["tmax_air"][:][151 + leap : 243 + leap].mean(axis=0, dtype=float)[row, col]
        rain.append(np.average(season, weights=whole.area_m2))
        heat.append(np.average(summer, weights=whole.area_m2))
    table = found.tables["years"]
    np.testing.assert_allclose(table["precipitation_apr_sep_mm"], rain, rtol=1e-5)
    np.testing.assert_allclose(table["tmax_jun_aug_degc"], heat, rtol=1e-6)
    assert "driest" in table["extreme"][int(np.argmin(rain))]
    assert "hottest" in table["extreme"][int(np.argmax(heat))]


def test_anomalies_are_those_of_all_cells(whole: Whole, found: Findings) -> None:
    years, table = list(whole.cube.years), found.tables[MAIN]
    extreme = found.tables["years"].set_index("year")["extreme"]
    ordinary = [years.index(year) for year in years if not extreme[year]]
    crop, quality, yields = (whole.layer(name) for name in ("crop", "quality", "yield"))
    grown = (quality.astype(int) & 1) == 0
    water = whole.soil("tfc") - whole.soil("twp")
    names = np.select(
        [water < 0.10, water < 0.15], ["below 0.10 m3 m-3", "0.10 to 0.15 m3 m-3"], "0.15 m3 m-3 and more"
    )
    rows = table[table["scheme"] == "available water"]
    assert len(rows) >= 4
    for _, row in rows.iterrows():
        chosen = grown & (crop == (1 if row["crop"] == "corn" else 5)) & (names == row["soil"]) & np.isfinite(yields)
        weights = np.where(chosen, whole.area_m2, 0)

        def mean(places: list[int], weights: np.ndarray = weights) -> float:
            return float(np.nansum(yields[places] * weights[places]) / weights[places].sum())

        now, usual = mean([years.index(int(row["years"]))]), mean(ordinary)
        assert row["yield_anomaly_g_m2_yr"] == pytest.approx(now - usual, rel=1e-4, abs=1e-3)
        assert row["yield_anomaly_percent"] == pytest.approx(100 * (now - usual) / abs(usual), rel=1e-4, abs=1e-3)
        assert row["area_km2"] == pytest.approx(weights.sum() / len(years) / 1e6, rel=1e-4)


def test_one_year_in_ten_is_extreme() -> None:
    years = tuple(range(2000, 2021))
    rain = np.arange(21.0)
    climate = np.stack([np.ones(21), rain, 30 - rain])
    assert Extremes(climate).chosen(years) == {"driest": [2000, 2001], "hottest": [2000, 2001]}


@pytest.mark.parametrize(
    ("sand", "silt", "name"),
    [
        # Points well inside the twelve classes of the USDA triangle.
        (92, 5, "sand"), (82, 12, "loamy sand"), (65, 25, "sandy loam"), (40, 40, "loam"), (20, 65, "silt loam"),
        (7, 87, "silt"), (60, 13, "sandy clay loam"), (33, 34, "clay loam"), (10, 56, "silty clay loam"),
        (52, 7, "sandy clay"), (7, 47, "silty clay"), (20, 20, "clay"),
    ],
)  # fmt: skip
def test_textures_are_those_of_the_triangle(sand: float, silt: float, name: str) -> None:
    assert TEXTURES[int(texture(np.array([sand], float), np.array([silt], float))[0])] == name


def test_every_soil_has_a_class() -> None:
    sand, silt = np.meshgrid(np.arange(101.0), np.arange(101.0))
    inside = sand + silt <= 100
    found = texture(sand[inside], silt[inside])
    assert set(found) == set(range(len(TEXTURES)))
    soil_9N = np.zeros((9, 2))
    soil_9N[3], soil_9N[4] = [0.30, 0.30], [0.10, 0.25]
    assert soil_classes(soil_9N)["available water"].tolist() == [2, 0]
