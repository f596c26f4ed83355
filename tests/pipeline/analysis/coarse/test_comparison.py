"""The coarse run equals one on inputs that are averaged cell by cell, and its scores those of all pairs at once."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from model.arrays import YearInputs
from model.features import CLIMATE_NAMES, SOIL_NAMES
from model.inference import Predictor
from pipeline.aggregate.frame import Frame
from pipeline.analysis.coarse.comparison import ANALYSIS, AVERAGED, PERCENT, REPLICATED, Comparison
from pipeline.analysis.coarse.run import VARIABLES, CoarseMap, run_coarse
from pipeline.analysis.findings import MAIN, Findings
from pipeline.analysis.subject import Options, Subject
from pipeline.inputs.view import open_inputs
from tests.pipeline.analysis.conftest import Whole

PER_DEGREE = 20


@pytest.fixture(scope="module")
def frame(subject: Subject) -> Frame:
    return Frame.of(subject.job.domain, subject.zones)


@pytest.fixture(scope="module")
def coarse(subject: Subject, frame: Frame) -> CoarseMap:
    return run_coarse(subject, frame, per_degree=PER_DEGREE)


@pytest.fixture(scope="module")
def found(subject: Subject) -> Findings:
    assert ANALYSIS.obstacle(subject) is None
    return ANALYSIS.analyse(subject)


def year_of_one_cell(whole: Whole, year: int, weights: np.ndarray, crop: int) -> tuple[YearInputs, float]:
    """The weighted means of all inputs, and corn / (corn + soybean)."""
    root, mask = open_inputs(whole.job.stores.inputs).root, whole.mask
    lon, lat = whole.lonlat
    group = root[f"climate/{year}"]
    row = np.abs(group["lat"][:] - lat[:, None]).argmin(axis=1)
    col = np.abs(group["lon"][:] - lon[:, None]).argmin(axis=1)
    climate = np.stack([group[name.lower()][:][:, row, col] @ weights for name in CLIMATE_NAMES]) / weights.sum()
    gpp = root[f"gpp/{year}/gpp"][:][:, mask].astype(float)
    there = np.where(np.isfinite(gpp).all(axis=0), weights, 0)
    soil = np.array([root[f"soil/{name.lower()}"][:][mask] @ weights for name in SOIL_NAMES]) / weights.sum()
    corn, soybean = (root[f"crop/{year}/{name}_fraction"][:][mask] @ weights for name in ("corn", "soybean"))
    inputs = YearInputs(
        year,
        climate[..., None].astype(np.float32),
        np.zeros(1, np.intp),
        (np.nan_to_num(gpp) @ there / there.sum())[:, None].astype(np.float32),
        np.array([crop], np.uint8),
        soil[:, None].astype(np.float32),
    )
    return inputs, corn / (corn + soybean)


def one_cell(whole: Whole, weights: np.ndarray) -> dict[str, float]:
    """Means over the years of the two rotations, computed by PyTorch for one coarse cell."""
    predictor, years, totals = Predictor(whole.job.checkpoint), whole.cube.years, dict.fromkeys(VARIABLES, 0.0)
    states = {}
    for phase in (0, 1):
        state = None
        for year in years[:2]:
            inputs, _ = year_of_one_cell(whole, year, weights, 1 if (year + phase) % 2 == 0 else 5)
            state = predictor.year(inputs, state).state_SNH
        states[phase] = state
    for year in years:
        for phase in (0, 1):
            crop = 1 if (year + phase) % 2 == 0 else 5
            inputs, corn = year_of_one_cell(whole, year, weights, crop)
            fluxes = predictor.year(inputs, states[phase])
            states[phase] = fluxes.state_SNH
            share = (corn if crop == 1 else 1 - corn) / len(years)
            gpp, grain = inputs.gpp_TN.sum(dtype=float), float(fluxes.yield_N[0])
            ra, rh, nee = (flux.sum(dtype=float) for flux in (fluxes.ra_TN, fluxes.rh_TN, fluxes.nee_TN))
            values = {"gpp": gpp, "ra": ra, "rh": rh, "reco": ra + rh, "nee": nee, "yield": grain}
            for name, value in (values | {"dsoc": -nee - grain}).items():
                totals[name] += share * value
    return totals


@pytest.mark.slow
def test_the_run_is_that_of_the_reference_network_on_averaged_inputs(whole: Whole, coarse: CoarseMap) -> None:
    grid, seen = coarse.grid, 0
    for row, col in np.argwhere(np.isfinite(coarse.area_m2_YX)):
        north, west = 90 - (grid.first_row + row) / PER_DEGREE, (grid.first_col + col) / PER_DEGREE - 180
        box = west, north - 1 / PER_DEGREE, west + 1 / PER_DEGREE, north
        whole_m2 = whole.area_inside(-180, -90, 180, 90)
        weights = whole.area_inside(*box) / whole_m2 * whole.area_m2
        assert coarse.area_m2_YX[row, col] == pytest.approx(weights.sum(), rel=1e-4)
        stock = np.average(whole.soil("soc_stock_200"), weights=weights)
        assert coarse.stock_YX[row, col] == pytest.approx(stock, rel=1e-4)
        expected = one_cell(whole, weights)
        for name, value in zip(VARIABLES, coarse.means_VYX[:, row, col], strict=True):
            assert value == pytest.approx(expected[name], rel=2e-3, abs=0.3), name
        seen += 1
    assert seen == 4


def test_gpp_is_conserved(whole: Whole, coarse: CoarseMap, found: Findings) -> None:
    """GPP is an input: its mean over the coarse cells is that of the fine ones, but for the cells without a year."""
    area = coarse.area_m2_YX[np.isfinite(coarse.area_m2_YX)]
    mean = np.average(coarse.means_VYX[0][np.isfinite(coarse.means_VYX[0])], weights=area)
    gpp = np.nanmean(whole.layer("gpp"), axis=0)
    assert mean == pytest.approx(np.average(gpp, weights=whole.area_m2), rel=1e-3)
    rows = found.tables[MAIN].set_index(["degree", "comparison", "variable"])
    assert abs(rows.loc[("0.05", AVERAGED, "gpp"), "bias"]) < 0.5
    assert rows.loc[("0.05", AVERAGED, "gpp"), "rmse"] < 1


def test_scores_are_those_of_all_pairs_at_once(whole: Whole, coarse: CoarseMap, found: Findings) -> None:
    group = whole.cube.root["aggregates/0p0025"]
    values = group["dsoc"][:][:, 0]
    area, years = group["area"][:][:, 0].mean(axis=0), np.isfinite(values).sum(axis=0)
    fine = np.where(years > 0, np.nansum(values, axis=0) / np.maximum(years, 1), np.nan)
    lon, lat = group["lon"][:], group["lat"][:]
    row = np.floor((90 - lat) * PER_DEGREE + 1e-9).astype(int) - coarse.grid.first_row
    col = np.floor((lon + 180) * PER_DEGREE + 1e-9).astype(int) - coarse.grid.first_col
    replicated = coarse.means_VYX[VARIABLES.index("dsoc")][row][:, col]
    pairs = np.isfinite(fine) & np.isfinite(replicated) & (area > 0)
    difference, weights = (replicated - fine)[pairs], area[pairs]
    low, high = np.quantile(fine[pairs], [0.25, 0.75], weights=weights, method="inverted_cdf")
    rmse = np.sqrt(np.average(difference**2, weights=weights))
    found_row = found.tables[MAIN].set_index(["degree", "comparison", "variable"]).loc[("0.05", REPLICATED, "dsoc")]
    assert found_row["rmse"] == pytest.approx(rmse, rel=1e-6)
    assert found_row["fine_q1"] == pytest.approx(low, abs=0.11)
    assert found_row["nrmse_percent"] == pytest.approx(100 * rmse / (high - low), rel=0.01)
    assert found_row["bias"] == pytest.approx(np.average(difference, weights=weights), rel=1e-6)
    assert found_row["cells"] == pairs.sum()
    percent = 100 * difference / coarse.stock_YX[row][:, col][pairs]
    found_row = found.tables[MAIN].set_index(["degree", "comparison", "variable"]).loc[("0.05", REPLICATED, PERCENT)]
    assert found_row["unit"] == "% yr-1"
    assert found_row["rmse"] == pytest.approx(np.sqrt(np.average(percent**2, weights=weights)), rel=1e-6)
    assert found_row["bias"] == pytest.approx(np.average(percent, weights=weights), rel=1e-6)


def test_few_coarse_cells_have_no_nrmse(found: Findings) -> None:
    rows = found.tables[MAIN].set_index(["degree", "comparison", "variable"])
    assert np.isnan(rows.loc[("0.05", AVERAGED, "dsoc"), "nrmse_percent"])
    assert any("too few for quartiles" in note for note in found.notes)


def test_all_cells_with_gpp_are_averaged_on_request(subject: Subject, whole: Whole, frame: Frame) -> None:
    every = Subject(subject.job, subject.cube, subject.years, Options(every_cell=True))
    found = run_coarse(every, frame, per_degree=2)
    grid = whole.cube.grid
    inside = Whole(whole.job)
    inside.__dict__["mask"] = np.ones(grid.shape, bool)  # the store of the test has GPP in all cells
    assert np.nansum(found.area_m2_YX) == pytest.approx(inside.area_m2.sum(), rel=1e-4)
    assert np.nansum(found.area_m2_YX) > whole.area_m2.sum() * 1.05


def test_fields_are_priced_by_the_difference(subject: Subject, coarse: CoarseMap, whole: Whole, tmp_path: Path) -> None:
    boxes = [shapely.box(-89.53, 39.975, -89.51, 39.99), shapely.box(-89.49, 40.005, -89.47, 40.02)]
    path = tmp_path / "fields.gpkg"
    gpd.GeoDataFrame({"name": ["a", "b"]}, geometry=boxes, crs=4326).to_file(path)
    priced = Subject(subject.job, subject.cube, subject.years, Options(fields=path, label="name", price=40.0))
    table = ANALYSIS.analyse(priced).tables["fields"].query("degree == '0.05'").set_index("label")
    for name, box, place in zip("ab", boxes, ((1, 0), (0, 1)), strict=True):
        area = whole.area_inside(*box.bounds)
        fine = np.mean([np.average(x[~np.isnan(x)], weights=area[~np.isnan(x)]) for x in whole.layer("dsoc")])
        rows = np.flatnonzero(np.isfinite(coarse.area_m2_YX).any(axis=1))
        cols = np.flatnonzero(np.isfinite(coarse.area_m2_YX).any(axis=0))
        value = coarse.means_VYX[VARIABLES.index("dsoc"), rows[place[0]], cols[place[1]]]
        tonnes = (value - fine) * area.sum() * 44 / 12 * 1e-6
        assert table.loc[name, "area_ha"] == pytest.approx(area.sum() / 1e4, rel=1e-3)
        assert table.loc[name, "difference_usd_yr"] == pytest.approx(40 * tonnes, rel=5e-3)


def test_a_cube_without_aggregates_or_of_another_network_is_left_out(subject: Subject) -> None:
    other = Subject.open(subject.job)
    other.__dict__["provenance"] = {**subject.provenance, "checkpoint_sha256": ["00"]}
    assert "another one" in (ANALYSIS.obstacle(other) or "")


def test_a_comparison_of_equal_fields_has_no_error() -> None:
    comparison, values = Comparison.empty("dsoc"), np.linspace(-50, 50, 101)
    comparison.add(values, values, np.ones(101))
    row = comparison.row()
    assert row["rmse"] == row["nrmse_percent"] == row["bias"] == 0
    assert row["fine_q3"] - row["fine_q1"] == pytest.approx(50, abs=1.2)
