"""Soil of map units and cells from gSSURGO tables and rasters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from model.features import SOIL_NAMES
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, sinusoidal
from pipeline.inputs.layout import SOIL
from pipeline.sources.soil.gssurgo import MapUnits, find_archive, read_map_units, soil_on_grid
from pipeline.sources.soil.product import QUANTITIES, SoilSettings
from tests.helpers.missing_pixels import mark_missing
from tests.helpers.soil_geodatabases import horizon, write_geodatabase

WEIGHTED, DOMINANT = SoilSettings(), SoilSettings(component_rule="dominant")
LEFT, TOP = 554985.0, 1898985.0


def feature(units: MapUnits, name: str) -> NDArray[np.float64]:
    return units.features_FN[SOIL_NAMES.index(name)]


@pytest.mark.realdata
def test_carbon_stocks_of_a_real_survey_are_those_of_its_valu1_table(realdata: Path) -> None:
    units = read_map_units([realdata / "gssurgo" / "gSSURGO_MH_FY26.zip"], settings=WEIGHTED)
    stock = dict(zip(units.mukey_N.tolist(), units.quantity("soc_stock").round(), strict=True))
    published = {465580: 4394, 465581: 3738, 465582: 21020, 465583: 23661, 465584: 4712}
    assert {key: stock[key] for key in published} == published
    # No horizon there reaches below 200 cm, so that soc0_999 is the stock to 200 cm, and tk0_999s its depth.
    profile = dict(zip(units.mukey_N.tolist(), units.quantity("soc_stock_200").round(), strict=True))
    whole = {465580: 6918, 465581: 6060, 465582: 35995, 465583: 33095, 465584: 8076, 465585: 15441}
    assert {key: profile[key] for key in whole} == whole
    depths = dict(zip(units.mukey_N.tolist(), units.quantity("soc_depth_200"), strict=True))
    assert [depths[key] for key in whole] == [151.5, 151.0, 151.5, 153.5, 151.5, 153.5]
    assert units.overlapping_horizons == 0
    # Water and dumps have no horizon.
    assert np.isnan(units.features_FN[:, np.isin(units.mukey_N, [465587, 465588])]).all()


def test_features_are_in_units_of_the_network(tmp_path: Path) -> None:
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], [horizon("a", 0, 200)])
    units = read_map_units([path], settings=WEIGHTED)
    expected = {
        "TBKDS": 1.4, "TSAND": 100.0, "TSILT": 650.0, "TFC": 0.30, "TWP": 0.15, "TKSat": 32.4,
        "TSOC": 30 / 1.724, "TPH": 6.5, "TCEC": 20.0,
    }  # fmt: skip
    np.testing.assert_allclose(units.features_FN[:, 0], [expected[name] for name in SOIL_NAMES])
    assert units.quantity("soil_depth").item() == 30
    assert units.quantity("soil_percent").item() == 100


def test_horizons_are_weighted_by_thickness_above_30_cm_where_they_have_the_value(tmp_path: Path) -> None:
    layers = [
        horizon("a", 0, 10, om_r=6.0, ph1to1h2o_r=5.0),
        horizon("a", 10, 20, om_r=3.0, ph1to1h2o_r=None),
        horizon("a", 20, 90, om_r=1.5, ph1to1h2o_r=8.0),
        horizon("a", 90, 150, om_r=0.1, ph1to1h2o_r=9.0),
    ]
    units = read_map_units([write_geodatabase(tmp_path / "a.gdb", [("7", "a", 90)], layers)], settings=WEIGHTED)
    np.testing.assert_allclose(feature(units, "TSOC"), 3.5 * 10 / 1.724)
    np.testing.assert_allclose(feature(units, "TPH"), 6.5)
    assert units.quantity("soil_depth").item() == 20
    assert units.quantity("soil_percent").item() == 90


def test_components_are_weighted_by_percentage_where_they_have_the_value(tmp_path: Path) -> None:
    components = [("7", "a", 60), ("7", "b", 30), ("7", "urban", 10)]
    horizons = [horizon("a", 0, 50, cec7_r=20.0, ksat_r=None), horizon("b", 0, 50, cec7_r=35.0, ksat_r=10.0)]
    path = write_geodatabase(tmp_path / "a.gdb", components, horizons)
    weighted = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_allclose(feature(weighted, "TCEC"), (60 * 20 + 30 * 35) / 90)
    np.testing.assert_allclose(feature(weighted, "TKSat"), 36)
    assert weighted.quantity("soil_percent").item() == 30
    dominant = read_map_units([path], settings=DOMINANT)
    np.testing.assert_allclose(feature(dominant, "TCEC"), 20)
    assert np.isnan(feature(dominant, "TKSat")).all()


def test_map_units_without_horizons_are_missing_and_inherit_nothing(tmp_path: Path) -> None:
    components = [("9", "a", 85), ("3", "water", 100), ("5", "b", 90)]
    path = write_geodatabase(tmp_path / "a.gdb", components, [horizon("a", 0, 40), horizon("b", 0, 40)])
    for settings in (WEIGHTED, DOMINANT):
        units = read_map_units([path], settings=settings)
        np.testing.assert_array_equal(units.mukey_N, [3, 5, 9])
        np.testing.assert_array_equal(np.isnan(units.features_FN).all(axis=0), [True, False, False])
        np.testing.assert_array_equal(np.isnan(units.quantity("soc_stock")), [True, False, False])


def test_rock_fragments_lower_the_stock_and_nothing_else(tmp_path: Path) -> None:
    layers = [horizon("a", 0, 20), horizon("a", 20, 60, om_r=1.0)]
    plain = write_geodatabase(tmp_path / "plain.gdb", [("7", "a", 100)], layers)
    rocky = write_geodatabase(
        tmp_path / "rocky.gdb", [("7", "a", 100)], layers, (("a-0", 10), ("a-0", 15), ("a-20", 50))
    )
    without, with_rocks = (read_map_units([path], settings=WEIGHTED) for path in (plain, rocky))
    np.testing.assert_array_equal(without.features_FN, with_rocks.features_FN)
    top, below = 0.2 * 1.3e6 * 0.03 / 1.724, 0.1 * 1.3e6 * 0.01 / 1.724
    np.testing.assert_allclose(without.quantity("soc_stock"), top + below)
    np.testing.assert_allclose(with_rocks.quantity("soc_stock"), 0.75 * top + 0.5 * below)


def test_a_component_without_percentage_has_no_weight(tmp_path: Path) -> None:
    components = [("7", "a", 60), ("7", "b", None), ("8", "c", None)]
    horizons = [horizon("a", 0, 50, cec7_r=20.0), horizon("b", 0, 50, cec7_r=35.0), horizon("c", 0, 50)]
    path = write_geodatabase(tmp_path / "a.gdb", components, horizons)
    for settings in (WEIGHTED, DOMINANT):
        units = read_map_units([path], settings=settings)
        np.testing.assert_allclose(feature(units, "TCEC"), [20, np.nan])
        np.testing.assert_array_equal(units.quantity("soil_percent"), [60, np.nan])


@pytest.mark.parametrize(("first", "second"), [(40, 20), (70, 50)])
def test_percentages_that_do_not_add_up_to_100_weigh_as_they_are(tmp_path: Path, first: int, second: int) -> None:
    horizons = [horizon("a", 0, 50, cec7_r=20.0), horizon("b", 0, 50, cec7_r=35.0)]
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", first), ("7", "b", second)], horizons)
    units = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_allclose(feature(units, "TCEC"), (first * 20 + second * 35) / (first + second))
    assert units.quantity("soil_percent").item() == first + second
    plain = write_geodatabase(tmp_path / "b.gdb", [("7", "a", 100)], horizons[:1])
    np.testing.assert_allclose(
        units.quantity("soc_stock"), read_map_units([plain], settings=WEIGHTED).quantity("soc_stock")
    )


def test_organic_horizons_at_the_surface_count_with_what_they_have(tmp_path: Path) -> None:
    organic = horizon("a", 0, 10, om_r=80.0, dbthirdbar_r=0.2, dbovendry_r=0.25, sandtotal_r=None)
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], [organic, horizon("a", 10, 60)])
    units = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_allclose(feature(units, "TSOC"), (80 + 2 * 3) / 3 * 10 / 1.724)
    np.testing.assert_allclose(feature(units, "TBKDS"), (0.25 + 2 * 1.4) / 3)
    np.testing.assert_allclose(feature(units, "TSAND"), 100)
    assert units.quantity("soil_depth").item() == 20
    np.testing.assert_allclose(units.quantity("soc_stock"), (0.1 * 0.2e6 * 0.8 + 0.2 * 1.3e6 * 0.03) / 1.724)


def test_where_horizons_overlap_the_upper_one_has_the_soil(tmp_path: Path) -> None:
    layers = [
        horizon("a", 0, 20, cec7_r=10.0),
        horizon("a", 10, 30, cec7_r=40.0) | {"chkey": "later"},
        horizon("a", 5, 15, cec7_r=99.0) | {"chkey": "inside"},
        horizon("b", 0, 30, cec7_r=7.0),
    ]
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100), ("8", "b", 100)], layers)
    units = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_allclose(feature(units, "TCEC"), [(20 * 10 + 10 * 40) / 30, 7])
    np.testing.assert_array_equal(units.quantity("soil_depth"), [30, 30])
    np.testing.assert_allclose(units.quantity("soc_stock"), 0.3 * 1.3e6 * 0.03 / 1.724)
    assert units.overlapping_horizons == 2


def test_depth_without_horizon_and_horizons_turned_round_are_depth_without_data(tmp_path: Path) -> None:
    components = [("7", "late", 100), ("8", "turned", 100), ("9", "open", 100)]
    layers = [
        horizon("late", 12, 200),
        horizon("turned", 5, 0, cec7_r=99.0),  # as surveys once gave organic horizons, upwards from the mineral soil
        horizon("turned", 0, 50),
        horizon("open", 0, 10),
        horizon("open", 10, 0) | {"hzdepb_r": None},
    ]
    units = read_map_units([write_geodatabase(tmp_path / "a.gdb", components, layers)], settings=WEIGHTED)
    np.testing.assert_array_equal(units.quantity("soil_depth"), [18, 30, 10])
    np.testing.assert_array_equal(units.quantity("soc_depth_200"), [188, 50, 10])
    assert units.overlapping_horizons == 0
    np.testing.assert_allclose(feature(units, "TCEC"), 20)
    np.testing.assert_allclose(units.quantity("soc_stock_200"), np.array([1.88, 0.5, 0.1]) * 1.3e6 * 0.03 / 1.724)


def test_the_stock_to_200_cm_ends_there_and_knows_the_depth_with_carbon(tmp_path: Path) -> None:
    layers = [
        horizon("a", 0, 50),
        horizon("a", 50, 150, om_r=1.0),
        horizon("a", 150, 300, om_r=0.5, sandtotal_r=None),
        horizon("b", 0, 50),
        horizon("b", 50, 200, om_r=None),
    ]
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 30), ("7", "b", 60)], layers)
    units = read_map_units([path], settings=WEIGHTED)
    in_a, in_b = ((0.5 * 3 + 1.0 * 1 + 0.5 * 0.5), 0.5 * 3)  # m x % of organic matter
    expected = (30 * in_a + 60 * in_b) / 90 / 100 * 1.3e6 / 1.724
    np.testing.assert_allclose(units.quantity("soc_stock_200"), expected)
    np.testing.assert_allclose(units.quantity("soc_depth_200"), (30 * 200 + 60 * 50) / 90)
    np.testing.assert_allclose(units.quantity("soc_stock"), 0.3 * 1.3e6 * 0.03 / 1.724)


def test_fragments_of_more_than_the_whole_leave_no_fine_earth(tmp_path: Path) -> None:
    layers = [horizon("a", 0, 10), horizon("a", 10, 60)]
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "a", 100)], layers, (("a-0", 70), ("a-0", 60)))
    units = read_map_units([path], settings=WEIGHTED)
    np.testing.assert_allclose(units.quantity("soc_stock"), 0.2 * 1.3e6 * 0.03 / 1.724)


def test_keys_that_became_numbers_match_all_the_same(tmp_path: Path) -> None:
    path = write_geodatabase(tmp_path / "a.gdb", [("7", "1", 100)], [horizon("1", 0, 40) | {"chkey": "3"}])
    table = pyogrio.read_dataframe(path, layer="component", read_geometry=False)
    pyogrio.write_dataframe(table.astype({"cokey": np.int32}), path, layer="component", driver="OpenFileGDB")
    np.testing.assert_allclose(feature(read_map_units([path], settings=WEIGHTED), "TCEC"), 20)


def test_states_add_up_and_a_shared_survey_area_counts_once(tmp_path: Path) -> None:
    one = write_geodatabase(
        tmp_path / "one.gdb", [("7", "a", 50), ("7", "b", 50)], [horizon("a", 0, 40), horizon("b", 0, 9)]
    )
    two = write_geodatabase(
        tmp_path / "two.gdb", [("7", "a", 50), ("8", "c", 100)], [horizon("a", 0, 40), horizon("c", 0, 40)]
    )
    units = read_map_units([one, two], settings=WEIGHTED)
    np.testing.assert_array_equal(units.mukey_N, [7, 8])
    np.testing.assert_array_equal(units.quantity("soil_percent"), [100, 100])


def test_a_map_unit_of_two_releases_is_taken_from_the_first(tmp_path: Path) -> None:
    """Keys of components and horizons change with every release, those of map units do not."""
    old = write_geodatabase(tmp_path / "old.gdb", [("7", "a", 80)], [horizon("a", 0, 40, cec7_r=20.0)])
    new = write_geodatabase(
        tmp_path / "new.gdb", [("7", "x", 90), ("8", "y", 90)],
        [horizon("x", 0, 40, cec7_r=30.0), horizon("y", 0, 40, cec7_r=5.0)],
    )  # fmt: skip
    for geodatabases, percent, cec in (([old, new], [80, 90], [20, 5]), ([new, old], [90, 90], [30, 5])):
        units = read_map_units(geodatabases, settings=WEIGHTED)
        np.testing.assert_array_equal(units.quantity("soil_percent"), percent)
        np.testing.assert_allclose(feature(units, "TCEC"), cec)


def test_a_soil_folder_needs_a_geodatabase_and_a_raster(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no geodatabase"):
        find_archive(tmp_path, settings=WEIGHTED)
    write_geodatabase(tmp_path / "gSSURGO_IL.gdb", [("7", "a", 100)], [horizon("a", 0, 40)])
    with pytest.raises(UserError, match=r"no raster named MapunitRaster\*\.tif or MURASTER\*\.tif or"):
        find_archive(tmp_path, settings=WEIGHTED)
    raster = write_raster(tmp_path, np.full((5, 5), 7.0))
    archive = find_archive(tmp_path, settings=WEIGHTED)
    assert archive.rasters == (raster,)
    assert archive.geodatabases == (tmp_path / "gSSURGO_IL.gdb",)


@pytest.mark.parametrize(
    ("database", "raster"),
    [
        ("gNATSGO_CONUS.gdb", "MapunitRaster_30m.tif"),
        ("gNATSGO_IL.gdb", "MapunitRaster_10m.tif"),
        ("gNATSGO_CONUS_Oct2023/gNATSGO_CONUS.gdb", "gNATSGO_mukey_grid/gNATSGO-mukey.tif"),
        ("gNATSGO_02_03_2025.gdb", "gNATSGO_mukey_202502.tif"),
        ("gNATSGO_gpkg_01_30_2026/gNATSGO_02_13_2026.gpkg", "gNATSGO_gpkg_01_30_2026/MURASTER_30m_CONUS_2026.tif"),
    ],
)
def test_gnatsgo_is_found_by_the_names_of_its_releases(tmp_path: Path, database: str, raster: str) -> None:
    for name in (database, raster):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    path = write_geodatabase(tmp_path / database, [("7", "a", 100)], [horizon("a", 0, 40)])
    (tmp_path / raster).with_name("SARASTER_30m_CONUS_2026.tif").touch()  # of survey areas, beside that of map units
    (tmp_path / raster).touch()
    archive = find_archive(tmp_path, settings=WEIGHTED)
    assert archive.geodatabases == (path,)
    assert archive.rasters == (tmp_path / raster,)
    assert archive.notes["product"] == "gNATSGO, USDA-NRCS"
    np.testing.assert_allclose(feature(read_map_units([path], settings=WEIGHTED), "TSILT"), [650])


def test_one_name_of_rasters_may_be_given_without_a_list() -> None:
    assert SoilSettings.model_validate({"rasters": "IL.tif"}).rasters == ("IL.tif",)


def write_raster(
    folder: Path, keys: NDArray[np.generic], *, left: float = LEFT, name: str = "30m", **profile: object
) -> Path:
    path = folder / f"MapunitRaster_{name}.tif"
    height, width = keys.shape
    settings = {"dtype": "float32", "nodata": 2147483648.0, "crs": "ESRI:102039", **profile}
    transform = Affine(30, 0, left, 0, -30, TOP)
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, transform=transform, **settings
    ) as file:
        file.write(keys.astype(str(settings["dtype"])), 1)
    return path


def grid_around(path: Path) -> Grid:
    with rasterio.open(path) as file:
        left, bottom, right, top = file.bounds
    x, y = np.meshgrid(np.linspace(left, right, 40), np.linspace(bottom, top, 40))
    degrees = pyproj.Transformer.from_crs(5070, 4269, always_xy=True).transform(x, y)
    return Grid.around(*sinusoidal(*degrees), tile_cells=24)


def map_units(values: dict[int, float]) -> MapUnits:
    """Map units all of whose quantities have one value, NaN: missing."""
    keys, value = np.array(sorted(values)), np.array([values[key] for key in sorted(values)])
    return MapUnits(keys, np.tile(value, (len(QUANTITIES), 1)))


def area_m2(values_YX: NDArray[np.float32], grid: Grid) -> float:
    return float(np.nansum(values_YX.astype(np.float64) * grid.cell_area_m2()[:, None]))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("float32", 2147483648.0), ("uint32", 4294967295), ("int32", 2147483647)]
)
def test_cells_are_area_means_of_the_map_units_with_data(tmp_path: Path, dtype: str, nodata: float) -> None:
    """Sums over all cells equal sums over pixels: value x area with data, and area with data."""
    keys = np.random.default_rng(2).choice(np.array([188674, 3299999, 5, nodata]), (90, 100))
    raster = write_raster(tmp_path, keys, dtype=dtype, nodata=nodata)
    grid = grid_around(raster)
    soil = soil_on_grid([raster], units=map_units({5: np.nan, 188674: 4.0, 3299999: 10.0}), grid=grid)
    low, high = (keys == 188674).sum() * 900, (keys == 3299999).sum() * 900
    assert area_m2(soil.coverage_YX, grid) == pytest.approx(low + high, rel=1e-6)
    for layer in soil.values_QYX:
        assert area_m2(layer * soil.coverage_YX, grid) == pytest.approx(4 * low + 10 * high, rel=1e-6)
        np.testing.assert_array_equal(np.isnan(layer), soil.coverage_YX == 0)
    assert np.nanmin(soil.features_FYX) >= 4 - 1e-5
    assert np.nanmax(soil.features_FYX) <= 10 + 1e-5
    assert soil.unknown_mukeys == ()


def test_coverage_is_that_of_the_scarcest_feature(tmp_path: Path) -> None:
    keys = np.full((60, 60), 1)
    keys[:, 30:] = 2
    raster = write_raster(tmp_path, keys)
    grid = grid_around(raster)
    units = map_units({1: 4.0, 2: 10.0})
    units.features_FN[8, 1] = np.nan
    soil = soil_on_grid([raster], units=units, grid=grid)
    assert area_m2(soil.coverage_YX, grid) == pytest.approx(60 * 30 * 900, rel=1e-6)
    np.testing.assert_array_equal(soil.coverage_YX == 0, np.isnan(soil.features_FYX).any(axis=0))
    assert np.isnan(soil.features_FYX[8]).sum() > np.isnan(soil.features_FYX[0]).sum()


def test_neighbouring_rasters_join_and_overlapping_ones_are_refused(tmp_path: Path) -> None:
    keys = np.random.default_rng(3).choice([1, 2], (60, 100))
    units = map_units({1: 4.0, 2: 10.0})
    whole = write_raster(tmp_path, keys, name="whole")
    west, east = (
        write_raster(tmp_path, keys[:, :41], name="west"),
        write_raster(tmp_path, keys[:, 41:], left=LEFT + 41 * 30, name="east"),
    )
    grid = grid_around(whole)
    one, two = soil_on_grid([whole], units=units, grid=grid), soil_on_grid([west, east], units=units, grid=grid)
    np.testing.assert_allclose(one.coverage_YX, two.coverage_YX, atol=1e-6)
    np.testing.assert_allclose(one.features_FYX, two.features_FYX, rtol=1e-5)
    with pytest.raises(UserError, match="overlap; keep one"):
        soil_on_grid([whole, west], units=units, grid=grid)


def test_unknown_keys_are_listed_and_a_foreign_raster_is_refused(tmp_path: Path) -> None:
    keys = np.random.default_rng(4).choice([1, 2, 99], (50, 50))
    raster = write_raster(tmp_path, keys)
    grid = grid_around(raster)
    soil = soil_on_grid([raster], units=map_units({1: 4.0, 2: 10.0}), grid=grid)
    assert soil.unknown_mukeys == (99,)
    assert area_m2(soil.coverage_YX, grid) == pytest.approx((keys != 99).sum() * 900, rel=1e-6)
    with pytest.raises(UserError, match="none of its map unit keys, such as 1, is in the geodatabase"):
        soil_on_grid([raster], units=map_units({500: 1.0}), grid=grid)


def test_keys_beyond_the_whole_numbers_of_float32_are_refused(tmp_path: Path) -> None:
    raster = write_raster(tmp_path, np.full((20, 20), 2**24 + 2))
    grid = grid_around(raster)
    with pytest.raises(UserError, match="16777218 as float32"):
        soil_on_grid([raster], units=map_units({2**24 + 2: 1.0}), grid=grid)
    raster = write_raster(tmp_path, np.full((20, 20), 2**24 + 2), dtype="int32", nodata=-1)
    assert soil_on_grid([raster], units=map_units({2**24 + 2: 1.0}), grid=grid).coverage_YX.max() > 0.9


def test_the_store_has_the_quantities_under_their_names() -> None:
    assert {variable.name for variable in SOIL} == {*QUANTITIES, "soil_coverage"}
    assert QUANTITIES[:9] == tuple(name.lower() for name in SOIL_NAMES)


def test_rasters_of_other_values_or_in_degrees_are_refused(tmp_path: Path) -> None:
    grid = grid_around(write_raster(tmp_path, np.full((20, 20), 7.0)))
    units = map_units({7: 1.0})
    with pytest.raises(UserError, match="not integers"):
        soil_on_grid([write_raster(tmp_path, np.full((20, 20), 7.5))], units=units, grid=grid)
    with pytest.raises(UserError, match="not projected"):
        soil_on_grid([write_raster(tmp_path, np.full((20, 20), 7.0), crs="EPSG:4326")], units=units, grid=grid)


@pytest.mark.realdata
def test_a_real_raster_of_keys_is_decoded(realdata: Path) -> None:
    path = realdata / "gssurgo" / "IL.tif"
    with rasterio.open(path) as file:
        stored = file.read(1)
    keys, counts = np.unique(stored[stored != 2147483648.0], return_counts=True)
    values = {int(key): float(number) for number, key in enumerate(keys, start=1)}
    grid = grid_around(path)
    soil = soil_on_grid([path], units=map_units(values), grid=grid)
    assert soil.unknown_mukeys == ()
    assert area_m2(soil.coverage_YX, grid) == pytest.approx(counts.sum() * 100, rel=1e-6)
    expected = (np.arange(1, keys.size + 1) * counts).sum() * 100
    assert area_m2(soil.quantity("soc_stock") * soil.coverage_YX, grid) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("how", ["nan", "2147483648", "4294967295", "-9999", "mask", "alpha", "tag and alpha"])
def test_pixels_that_a_raster_marks_as_missing_have_no_map_unit(tmp_path: Path, how: str) -> None:
    keys = np.random.default_rng(6).choice([1, 2], (60, 60))
    missing = np.indices(keys.shape)[1] >= 30
    dtype = "uint32" if how == "4294967295" else "float32"
    raster = write_raster(tmp_path, keys, dtype=dtype)
    grid = grid_around(raster)
    mark_missing(raster, missing, how)
    soil = soil_on_grid([raster], units=map_units({1: 4.0, 2: 10.0}), grid=grid)
    assert soil.unknown_mukeys == ()
    assert area_m2(soil.coverage_YX, grid) == pytest.approx(60 * 30 * 900, rel=1e-6)
