"""Correlations and regressions equal those over all cells at once."""

from __future__ import annotations

import numpy as np
import pytest

from model.features import CLIMATE_NAMES, SOIL_NAMES
from pipeline.analysis.attribution import ANALYSIS, RESULTS
from pipeline.analysis.findings import MAIN, Findings
from pipeline.analysis.moments import Moments
from pipeline.analysis.subject import Subject
from pipeline.inputs.view import open_inputs
from tests.pipeline.analysis.conftest import Whole


@pytest.fixture(scope="module")
def found(subject: Subject) -> Findings:
    assert ANALYSIS.obstacle(subject) is None
    return ANALYSIS.analyse(subject)


@pytest.fixture(scope="module")
def columns(whole: Whole) -> dict[str, np.ndarray]:
    """Every variable of every cell (N,), from the stores' arrays; the climate is that of the nearest NLDAS-2 cell."""
    view = open_inputs(whole.job.stores.inputs)
    lon, lat = whole.lonlat
    group = view.root["climate/2010"]
    row = np.abs(group["lat"][:] - lat[:, None]).argmin(axis=1)
    col = np.abs(group["lon"][:] - lon[:, None]).argmin(axis=1)
    years = whole.cube.years

    def mean_of(year: int, name: str) -> np.ndarray:
        return view.root[f"climate/{year}/{name.lower()}"][:].mean(axis=0, dtype=float)[row, col]

    climate = {name: np.mean([mean_of(year, name) for year in years], axis=0) for name in CLIMATE_NAMES}
    soil = {name: whole.soil(name.lower()) for name in SOIL_NAMES}
    return climate | soil | {name: np.nanmean(whole.layer(name), axis=0) for name in RESULTS}


def test_correlations_are_those_of_all_cells(whole: Whole, found: Findings, columns: dict[str, np.ndarray]) -> None:
    names = [*CLIMATE_NAMES, *SOIL_NAMES, *RESULTS]
    covariance = np.cov(np.stack([columns[name] for name in names]), aweights=whole.area_m2)
    scale = np.sqrt(np.diag(covariance))
    expected = covariance / np.outer(scale, scale)
    matrix = found.tables[MAIN]
    assert matrix["input"].tolist() == names[:16]
    np.testing.assert_allclose(matrix[list(RESULTS)], expected[:16, 16:], atol=2e-4)


def test_explained_variance_is_that_of_least_squares(
    whole: Whole, found: Findings, columns: dict[str, np.ndarray]
) -> None:
    def r2(names: tuple[str, ...]) -> float:
        root = np.sqrt(whole.area_m2)
        inputs = np.stack([columns[name] for name in names], axis=1)
        inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
        matrix = np.column_stack([inputs, np.ones(root.size)]) * root[:, None]
        dsoc = columns["dsoc"]
        fit = np.linalg.lstsq(matrix, dsoc * root, rcond=1e-6)[0]
        left = dsoc * root - matrix @ fit
        spread = (dsoc - np.average(dsoc, weights=whole.area_m2)) * root
        return float(1 - left @ left / (spread @ spread))

    row = found.tables["variance"].set_index("result").loc["dsoc"]
    soil, climate, both = r2(SOIL_NAMES), r2(CLIMATE_NAMES), r2((*SOIL_NAMES, *CLIMATE_NAMES))
    assert row["soil"] == pytest.approx(soil, abs=2e-3)
    assert row["climate"] == pytest.approx(climate, abs=2e-3)
    assert row["both"] == pytest.approx(both, abs=2e-3)
    assert row["overlap"] == pytest.approx(row["soil"] + row["climate"] - row["both"])
    assert "climate series" in found.notes[0]


def test_moments_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(1e6, 1, (3, 400)), rng.random(400)
    values[2] += 0.5 * values[0]
    values[0, 7] = np.nan
    parts = Moments(["a", "b", "c"])
    for part in (slice(0, 150), slice(150, 151), slice(151, None)):
        parts.add(values[:, part], weights[part])
    there = np.isfinite(values[0])
    expected = np.cov(values[:, there], aweights=weights[there], ddof=0)
    np.testing.assert_allclose(parts.products_VV / parts.weight, expected, rtol=1e-6, atol=1e-9)
    assert parts.count == 399
    assert parts.explained("c", ["a"]) == pytest.approx(expected[0, 2] ** 2 / expected[0, 0] / expected[2, 2])


def test_a_repeated_input_explains_no_more() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300))
    moments = Moments(["a", "again", "b"])
    moments.add(np.stack([a, 2 * a, a + b]), np.ones(300))
    assert moments.explained("b", ["a", "again"]) == pytest.approx(moments.explained("b", ["a"]))
