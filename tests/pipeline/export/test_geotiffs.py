"""Exported GeoTIFFs hold what the cube holds, lie where it lies, and say what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import CRS
from rasterio.warp import transform
from rio_cogeo import cog_validate
from typer.testing import CliRunner

from pipeline.cli.exports.cog import app
from pipeline.cluster.executor import Serial
from pipeline.cube.entry import Status, TileYearState
from pipeline.cube.ledger import Ledger
from pipeline.errors import UserError
from pipeline.export.clip import Area
from pipeline.export.geotiffs import export_cogs
from pipeline.export.selection import Selection
from pipeline.grid.sinusoidal import CELL_M, RADIUS_M, SINUSOIDAL
from pipeline.run import provenance
from pipeline.run.plan import Plan
from pipeline.storage import repository
from pipeline.variables import ANNUAL, DAILY, FLUXES, Quality
from tests.helpers.filled_cube import LAST, ORIGIN, SHA, Filled

BY_NAME = {variable.name: variable for variable in ANNUAL}


def _cube(filled: Filled, group: str) -> xr.Dataset:
    session = filled.job.open_cube().readonly_session(repository.BRANCH)
    return xr.open_zarr(session.store, group=group, consolidated=False)


def _export(filled: Filled, folder: Path, **chosen: object) -> list[np.ma.MaskedArray]:
    report = export_cogs(filled.job, Serial(), Selection(**chosen), str(folder))  # type: ignore[arg-type]
    return [rasterio.open(file).read(1, masked=True) for file in report.files]


@pytest.mark.parametrize("name", ["nee", "crop", "quality"])
def test_an_annual_layer_holds_the_values_of_the_cube(filled: Filled, tmp_path: Path, name: str) -> None:
    (exported,) = _export(filled, tmp_path, years=(2011,), variables=(name,))
    annual, mask = _cube(filled, "annual").sel(year=2011), _cube(filled, "static")["mask"].values == 1
    expected = np.ma.masked_invalid(np.ma.array(annual[name].values, mask=~mask))
    np.testing.assert_array_equal(exported.mask, np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(exported.compressed(), expected.compressed())
    assert exported.dtype == BY_NAME[name].dtype


def test_standard_deviations_are_exported_only_from_the_cube_of_an_ensemble(filled: Filled, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--variables nee_spread: no ensemble has computed this cube"):
        _export(filled, tmp_path, years=(2011,), variables=("nee", "nee_spread"))
    with pytest.raises(UserError, match=r"--variables nee_spread: no ensemble has computed this cube"):
        _export(filled, tmp_path, years=(2011,), variables=("nee_spread",), grid="0.5")
    assert not list(tmp_path.iterdir())


def test_a_month_is_the_sum_of_its_days_and_a_day_is_itself(filled: Filled, tmp_path: Path) -> None:
    daily = _cube(filled, "daily/2012")["nee"].sel(time="2012-02")
    (month,) = _export(filled, tmp_path, variables=("nee",), period="monthly", dates=("2012-02",))
    np.testing.assert_allclose(month.filled(np.nan), daily.values.sum(0, dtype=np.float64), rtol=1e-6, atol=1e-6)
    days = _export(filled, tmp_path, variables=("nee",), period="daily", dates=("2012-02-28", "2012-02-29"))
    assert len(days) == 2
    np.testing.assert_array_equal(days[-1].filled(np.nan), daily.sel(time="2012-02-29").values)
    assert (tmp_path / "small_nee_2012-02-29.tif").exists()


@pytest.mark.parametrize(("mask", "crops"), [("grown", (1, 5)), ("corn", (1,)), ("soybean", (5,))])
def test_a_mask_leaves_the_cells_where_the_crop_is_grown(
    filled: Filled, tmp_path: Path, mask: str, crops: tuple[int, ...]
) -> None:
    (exported,) = _export(filled, tmp_path, years=(2011,), variables=("quality",), mask=mask)
    annual = _cube(filled, "annual").sel(year=2011)
    grown = (annual["quality"].values & Quality.NOT_GROWN) == 0
    modelled = _cube(filled, "static")["mask"].values == 1
    expected = modelled & grown & np.isin(annual["crop"].values, crops)
    np.testing.assert_array_equal(~np.ma.getmaskarray(exported), expected)
    assert (tmp_path / f"small_quality_2011_{mask}.tif").exists()


def test_units_convert_yields_by_the_crop_of_the_cell_and_leave_the_others(filled: Filled, tmp_path: Path) -> None:
    asked: dict[str, object] = {"years": (2011,), "mask": "grown"}
    crop, grain, dsoc = _export(filled, tmp_path / "native", variables=("crop", "yield", "dsoc"), **asked)
    units = ("t/ha", "bu/acre", "tCO2e/acre")
    selection = Selection(years=(2011,), mask="grown", variables=("yield", "dsoc", "nee"), units=units)
    files = export_cogs(filled.job, Serial(), selection, str(tmp_path)).files
    names = ("yield_t_ha", "yield_bu_acre", "dsoc_tco2e_acre", "nee")
    assert [Path(file).name for file in files] == [f"small_{name}_2011_grown.tif" for name in names]
    opened = [rasterio.open(file) for file in files]
    assert [found.units[0] for found in opened] == ["t ha-1 yr-1", "bu acre-1 yr-1", "t acre-1 yr-1", "g m-2 yr-1"]
    t_ha, bu_acre, tco2e_acre, _ = (found.read(1, masked=True) for found in opened)
    # By hand: 0.01 / 0.45 / 0.844 and 0.01 / 0.54 / 0.87; a bushel of corn is 2.383916 g C m-2, of soybean 3.159455.
    corn = crop.filled(0) == 1
    np.testing.assert_array_equal(np.ma.getmaskarray(t_ha), np.ma.getmaskarray(grain))
    np.testing.assert_allclose(t_ha.filled(0), grain.filled(0) * np.where(corn, 0.02632965, 0.02128565), rtol=1e-5)
    np.testing.assert_allclose(bu_acre.filled(0), grain.filled(0) / np.where(corn, 2.383916, 3.159455), rtol=1e-5)
    np.testing.assert_allclose(tco2e_acre.filled(0), dsoc.filled(0) * 0.01483847, rtol=1e-5)


@pytest.mark.parametrize(("mask", "factor"), [("corn", 0.02632965), ("soybean", 0.02128565)])
def test_units_convert_means_under_one_crop(filled: Filled, tmp_path: Path, mask: str, factor: float) -> None:
    asked: dict[str, object] = {"years": (2011,), "variables": ("yield",), "grid": "0.5", "mask": mask}
    (native,), (found,) = _export(filled, tmp_path, **asked), _export(filled, tmp_path, units=("t/ha",), **asked)
    assert found.count() > 0
    np.testing.assert_allclose(found.filled(0), native.filled(0) * factor, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("crs", "epsg"), [("EPSG:5070", 5070), ("EPSG:4326", 4326)])
def test_totals_in_another_projection_are_those_of_the_cube(
    filled: Filled, tmp_path: Path, crs: str, epsg: int
) -> None:
    names, cell = tuple(flux.name for flux in FLUXES), filled.job.grid.cell_area_m2()[:, None]
    selection = Selection(years=(2011,), variables=(*names, "crop"), crs=crs)  # type: ignore[arg-type]
    report = export_cogs(filled.job, Serial(), selection, str(tmp_path))
    assert [Path(file).name for file in report.files] == [f"small_{v}_2011_epsg{epsg}.tif" for v in (*names, "crop")]
    annual, mask = _cube(filled, "annual").sel(year=2011), _cube(filled, "static")["mask"].values == 1
    for name, file in zip(names, report.files, strict=False):
        values = np.where(mask, annual[name].values.astype(np.float64), np.nan)
        with rasterio.open(file) as found:
            mean, area = found.read().astype(np.float64)
            assert (found.crs.to_epsg(), found.units, found.descriptions) == (
                epsg,
                ("g m-2 yr-1", "m2"),
                (name, "area"),
            )
        np.testing.assert_array_equal(np.isnan(mean), np.isnan(area))
        np.testing.assert_allclose(np.nansum(mean * area), np.nansum(values * cell), rtol=1e-6)
        np.testing.assert_allclose(np.nansum(area), (np.isfinite(values) * cell).sum(), rtol=1e-6)
    with rasterio.open(report.files[-1]) as crop:
        assert set(np.unique(crop.read(1))) == {1, 5, 255}
    assert all(cog_validate(file, strict=True)[0] for file in report.files)


def test_totals_of_parts_add_up_to_that_of_the_map_in_another_projection(filled: Filled, tmp_path: Path) -> None:
    """Two boxes that share an edge through the region: each pixel, with all of its area, is in one of them."""

    def total(**chosen: object) -> float:
        selection = Selection(years=(2011,), variables=("gpp",), crs="EPSG:5070", **chosen)  # type: ignore[arg-type]
        with rasterio.open(export_cogs(filled.job, Serial(), selection, str(tmp_path)).files[0]) as found:
            mean, area = found.read().astype(np.float64)
        return float(np.nansum(mean * area))

    sides = ("-90,39,-89.5013,41", "-89.5013,39,-89,41")
    parts = [total(area=Area.of_bounds(side)) for side in sides]
    assert all(parts)
    assert sum(parts) == pytest.approx(total(), rel=1e-9)


def test_a_pixel_lies_where_its_cell_lies(filled: Filled, tmp_path: Path) -> None:
    (file,) = export_cogs(filled.job, Serial(), Selection(years=(2011,), variables=("gpp",)), str(tmp_path)).files
    lon, lat = filled.job.grid.lonlat()
    with rasterio.open(file) as exported:
        assert exported.crs.to_dict()["proj"] == "sinu"
        assert exported.crs.to_dict()["R"] == RADIUS_M
        assert exported.crs == rasterio.CRS.from_string(SINUSOIDAL)
        assert CRS.from_wkt(exported.crs.to_wkt()).name == "MODIS Sinusoidal"
        (x,), (y,) = transform("EPSG:4326", exported.crs, [lon[10, 20]], [lat[10, 20]])
        assert exported.index(x, y) == (10, 20)
        np.testing.assert_allclose(exported.xy(10, 20), (x, y), atol=1e-6)
        assert exported.res == (CELL_M, CELL_M)


def test_every_file_is_a_strictly_valid_cog(filled: Filled, tmp_path: Path) -> None:
    report = export_cogs(filled.job, Serial(), Selection(years=(LAST,), variables=tuple(BY_NAME)), str(tmp_path))
    assert len(report.files) == len(ANNUAL)
    assert {file: cog_validate(file, strict=True)[0] for file in report.files} == dict.fromkeys(report.files, True)
    assert not list(tmp_path.glob(".*"))


def test_a_file_has_description_and_provenance(filled: Filled, tmp_path: Path) -> None:
    report = export_cogs(filled.job, Serial(), Selection(years=(LAST,), variables=("nee",)), str(tmp_path))
    with rasterio.open(report.files[0]) as exported:
        tags, band = exported.tags(), exported.tags(1)
        assert (exported.descriptions, exported.units) == (("nee",), ("g m-2 yr-1",))
        assert np.isnan(exported.nodata)
    assert band["long_name"] == BY_NAME["nee"].long_name
    assert float(band["STATISTICS_MEAN"]) == pytest.approx(float(_cube(filled, "annual")["nee"][-1].mean()), abs=1e-4)
    assert tags["AGCARBON_CHECKPOINT_ORIGIN"] == ORIGIN
    assert tags["AGCARBON_CHECKPOINT_SHA256"] == SHA
    assert tags["AGCARBON_TILES_MISSING"] == filled.missing[0]
    assert tags["AGCARBON_CUBE_SNAPSHOT"] == repository.tip(filled.job.open_cube())
    assert any(note.startswith(f"{LAST}: 1 of 3 tiles have no result") for note in report.notes)
    assert any("unknown whether results are out of date" in note for note in report.notes)


def test_stale_results_are_exported_and_named(filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [tile.name for tile in filled.job.domain.tiles]
    states = {(name, 2011): TileYearState(Status.DONE) for name in names}
    states[names[0], 2011] = TileYearState(Status.STALE, "changed: gpp")
    monkeypatch.setattr(provenance, "open_pinned_inputs", lambda _job: None)
    monkeypatch.setattr(provenance, "plan_run", lambda _job, _view, years: Plan((), years, states, (), {}))
    report = export_cogs(filled.job, Serial(), Selection(years=(2011,), variables=("nee",)), str(tmp_path))
    assert report.notes == (f"2011: 1 of 3 tiles are out of date ({names[0]})",)
    with rasterio.open(report.files[0]) as exported:
        assert exported.tags()["AGCARBON_TILES_STALE"] == names[0]
        assert exported.read(1, masked=True).count() > 0


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"years": (2013,)}, r"no results of 2013 \(years with results: 2011, 2012\); run `agcarbon run"),
        ({"variables": ("nee", "npp")}, "--variables npp: annual layers on 250m are gpp, ra"),
        (
            {"grid": "0.5"},
            "aggregates on 0.5 degree of 2012 are absent or older than the results; run `agcarbon aggregate",
        ),
        ({"grid": "0.0025", "period": "daily"}, "cells of 0.0025 degree have months and years only; give --grid 250m"),
        ({"grid": "0.5", "mask": "grown"}, "--mask grown: cells of 0.5 degree have region, corn, soybean"),
        ({"units": ("bushels",)}, "--units bushels: units are t/ha, bu/acre, tCO2e/acre"),
        ({"units": ("t/ha",), "variables": ("nee",)}, "--units t/ha: it is a unit of yield, which is not among nee"),
        (
            {"units": ("t/ha",), "grid": "0.5"},
            "--units t/ha: a mean over both crops has no such unit; give --mask corn",
        ),
        ({"grid": "0.5", "crs": "EPSG:5070"}, "--crs EPSG:5070: cells of 0.5 degree are in EPSG:4326 and stay there"),
        (
            {"variables": ("nee", "nee_spread"), "period": "daily", "grid": "0.5"},
            "--variables nee_spread: the cube keeps the members by month and year, and daily layers have no",
        ),
        (
            {"variables": ("nee", "nee_spread"), "period": "monthly", "grid": "0.5"},
            "--variables nee_spread: no ensemble has computed this cube",
        ),
        ({"variables": ("nee_spread",), "crs": "EPSG:5070"}, "--crs EPSG:5070: a standard deviation of a mean"),
        ({"period": "daily", "dates": ("2012-02-30",)}, "--dates 2012-02-30: no such day"),
        (
            {"period": "daily", "dates": ("2012-07-15", "2012-02-30", "2012-1")},
            "--dates 2012-02-30,2012-1: no such day",
        ),
        ({"period": "monthly", "dates": ("2012-07", "2012-07-15")}, "--dates 2012-07-15: no such month"),
    ],
)
def test_maps_that_the_cube_does_not_have_are_refused_by_name(
    filled: Filled, tmp_path: Path, chosen: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        _export(filled, tmp_path / "never", **chosen)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(("grid", "step"), [("0.5", 0.5), ("0.0025", 0.0025)])
def test_aggregates_are_exported_in_longitude_and_latitude(
    filled: Filled, tmp_path: Path, grid: str, step: float
) -> None:
    (exported,) = _export(filled, tmp_path, years=(2011,), variables=("nee",), grid=grid, mask="corn")
    name = grid.replace(".", "p")
    expected = _cube(filled, f"aggregates/{name}")["nee"].sel(year=2011, cover="corn")
    np.testing.assert_array_equal(exported.filled(np.nan), expected.astype(np.float32))
    file = tmp_path / f"small_nee_2011_{name}_corn.tif"
    assert cog_validate(file, strict=True)[0]
    row, col = np.argwhere(np.isfinite(expected.values))[0]
    with rasterio.open(file) as found:
        assert found.crs.to_epsg() == 4326
        np.testing.assert_allclose(found.res, step)
        np.testing.assert_allclose(found.xy(row, col), (expected["lon"][col], expected["lat"][row]), atol=1e-9)


def test_aggregates_older_than_the_results_are_refused(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "year_digest", lambda _ledger, _year: "of other results")
    with pytest.raises(UserError, match="degree of 2011 are absent or older than the results"):
        _export(filled, tmp_path, years=(2011,), grid="0.5")


def test_the_command_writes_the_files_and_names_missing_tiles(filled: Filled, tmp_path: Path) -> None:
    arguments = ["cog", str(filled.job.path), "--years", "2012", "--variables", "nee, yield", "-o", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert {file.name for file in tmp_path.glob("*.tif")} == {"small_nee_2012.tif", "small_yield_2012.tif"}
    assert "1 of 3 tiles have no result" in result.stdout.replace("\n", " ")


def test_daily_layers_are_the_ones_that_the_cube_has(filled: Filled, tmp_path: Path) -> None:
    report = export_cogs(
        filled.job, Serial(), Selection(years=(2011,), period="monthly", dates=("2011-01",)), str(tmp_path)
    )
    assert [Path(file).name for file in report.files] == [f"small_{variable.name}_2011-01.tif" for variable in DAILY]
