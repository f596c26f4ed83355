"""Models and cube are compared cell by cell of 0.5 degree as in an explicit loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.beside.trendy import (
    ANALYSIS,
    OURS,
    TOWERS,
    CoarseFluxes,
    coarse_grid,
    models_in,
    of_model,
    ours,
    rows_of,
    tower_rows,
)
from pipeline.analysis.findings import MAIN
from pipeline.analysis.subject import Options, Subject
from pipeline.demo.trendy import write_trendy
from pipeline.sources.trendy.fluxes import read_trendy
from tests.pipeline.analysis.conftest import Whole


@pytest.fixture(scope="module")
def beside(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("data")
    write_trendy(folder / "trendy")
    return Subject.open(subject.job, years="2010-2012", options=Options(data=folder))


def test_the_cubes_fluxes_are_means_over_its_cells(beside: Subject, whole: Whole) -> None:
    base, area_m2 = ours(beside, beside.years)
    for name, values in zip(("gpp", "reco", "nee"), base.annual_FYRC, strict=True):
        layer = whole.layer(name)[: len(beside.years)]
        present = np.isfinite(layer)
        for index, _ in enumerate(beside.years):
            total = (np.where(present[index], layer[index], 0) * whole.area_m2).sum()
            assert np.nansum(values[index] * area_m2[index]) == pytest.approx(total, rel=1e-5)
            assert area_m2[index].sum() == pytest.approx(whole.area_m2[present[index]].sum(), rel=1e-5)


def test_rows_are_weighted_over_cells_that_both_have() -> None:
    rng = np.random.default_rng(0)
    mine, theirs = rng.normal(500, 100, (2, 3, 2, 4, 5))
    theirs[:, 0, 0, 0] = np.nan
    area = rng.uniform(0, 10, (2, 4, 5)).round()
    rows = list(rows_of(CoarseFluxes("model", theirs), CoarseFluxes(OURS, mine), area))
    for flux, row in enumerate(rows):
        weight = total = bias = square = 0.0
        pairs = []
        for place in np.ndindex(area.shape):
            a, b, w = theirs[flux][place], mine[flux][place], area[place]
            if np.isfinite(a) and w > 0:
                weight, total, bias, square = weight + w, total + w * a, bias + w * (a - b), square + w * (a - b) ** 2
                pairs.append((a, w))
        assert row["mean_g_m2_yr"] == pytest.approx(total / weight)
        assert row["bias_g_m2_yr"] == pytest.approx(bias / weight)
        assert row["rmse_g_m2_yr"] == pytest.approx((square / weight) ** 0.5)
        assert row["cell_years"] == len(pairs)
        ordered = np.array(sorted(pairs))
        median = ordered[np.searchsorted(ordered[:, 1].cumsum(), weight / 2), 0]
        assert row["q50_g_m2_yr"] == pytest.approx(median, abs=0.51)


def test_the_demos_files_are_read_in_each_models_format(beside: Subject) -> None:
    assert beside.options.data is not None
    folder = beside.options.data / "trendy"
    assert models_in(folder) == ["CLM5.0", "DLEM", "JULES-ES-1p0"]
    fluxes = read_trendy(folder / "DLEM", model="DLEM", years=[2011], window=coarse_grid(beside))
    lat = coarse_grid(beside).lat
    july = 9.0 * (1 + 0.05 * np.sin(2011)) * (1 - 0.02 * (lat - 40)) * 31
    np.testing.assert_allclose(fluxes.gpp_TYX[6, :, 0], july, rtol=1e-4)
    np.testing.assert_allclose(fluxes.ra_TYX, 0.48 * fluxes.gpp_TYX, rtol=1e-4)
    gpp, reco, nee = of_model(fluxes).annual_FYRC[:, 0]
    np.testing.assert_allclose(gpp, fluxes.gpp_TYX.sum(axis=0))
    np.testing.assert_allclose(reco, (0.48 + 0.42) * gpp, rtol=1e-4)
    np.testing.assert_allclose(nee, reco - gpp)


def test_findings_name_synthetic_files_and_all_models(beside: Subject) -> None:
    assert ANALYSIS.obstacle(beside) is None
    found = ANALYSIS.analyse(beside)
    assert list(found.tables[MAIN]["source"].unique()) == [OURS, "CLM5.0", "DLEM", "JULES-ES-1p0"]
    assert "synthetic" in found.notes[0]
    own = found.tables[MAIN].set_index(["source", "flux"]).loc[OURS]
    assert (own["bias_g_m2_yr"] == 0).all()


def test_the_models_are_beside_the_cube_with_the_papers_direction(beside: Subject) -> None:
    found = ANALYSIS.analyse(beside)
    table, numbers = found.tables[MAIN], {number.name: number for number in found.numbers}
    for flux, title in (("gpp", "GPP"), ("reco", "Reco"), ("nee", "NEE (positive to the atmosphere)")):
        means = table[table["flux"] == flux].set_index("source")["mean_g_m2_yr"]
        number = numbers[f"that median - this cube, {title}"]
        assert number.value == pytest.approx(np.median(means[means.index != OURS]) - means[OURS])
        assert (number.paper is None) == (flux == "gpp")
        assert flux == "gpp" or "(paper: above 0 g C m-2 yr-1, Liu et al. 2024" in str(number)


def test_towers_count_alike() -> None:
    table = pd.DataFrame({"site": ["a", "a", "b"], "gpp": [1.0, 2, 6], "reco": [2.0, 2, 2], "nee": [1.0, 0, -4]})
    gpp, reco, nee = tower_rows(table)
    assert (gpp["source"], gpp["cells"], gpp["cell_years"]) == (TOWERS, 2, 3)
    assert (gpp["mean_g_m2_yr"], gpp["q50_g_m2_yr"]) == (3, 2)
    assert (reco["mean_g_m2_yr"], nee["mean_g_m2_yr"], nee["q50_g_m2_yr"]) == (2, -1, 0)


def test_missing_files_are_an_obstacle(subject: Subject) -> None:
    assert "--data" in (ANALYSIS.obstacle(subject) or "")
