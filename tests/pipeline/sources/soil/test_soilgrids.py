"""SoilGrids 2.0: generated maps in the product's exact format, averaged, checked and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from model.features import SOIL_NAMES
from model.synthetic.soils import water_retention
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.soil.product import QUANTITIES, GridSoil, SoilSettings
from pipeline.sources.soil.soilgrids import find_maps
from tests.helpers import soil_maps
from tests.helpers.missing_pixels import mark_missing
from tests.helpers.soil_maps import SOILGRIDS, write_map, write_soilgrids

SETTINGS = SoilSettings(product="soilgrids")
GRID = Grid(4 * 4800 + 4752, 11 * 4800 + 720, 12, 12, 12)  # about 40 N, 89 W
SEAM = Grid(4 * 4800 + 4440, 11 * 4800 + 720, 12, 12, 12)  # the plane changes its law at 40.737 N
WEIGHTS = np.array([5, 10, 15]) / 30
FACTORS = {"bdod": 0.01, "sand": 1.0, "silt": 1.0, "soc": 0.1, "phh2o": 0.1, "cec": 0.1}

Values = NDArray[np.float64]


def read(folder: Path, grid: Grid = GRID, settings: SoilSettings = SETTINGS) -> GridSoil:
    return find_maps(folder, settings=settings).reader()(grid)


def expected_features(stored: dict[str, Values]) -> Values:
    """The nine features of one place from stored values of three depths, depth by depth and in the network's order."""
    real = {name: np.asarray(stored[name]) * factor for name, factor in FACTORS.items()}
    total = np.zeros(9)
    for depth, weight in enumerate(WEIGHTS):
        sand, silt, soc = (real[name][depth] for name in ("sand", "silt", "soc"))
        water = water_retention(
            np.array(sand / 1000), clay=np.array(1 - sand / 1000 - silt / 1000), organic_matter=np.array(soc * 0.1724)
        )
        total += weight * np.array([
            real["bdod"][depth], sand, silt, water.field_capacity, water.wilting_point, water.conductivity, soc,
            real["phh2o"][depth], real["cec"][depth],
        ])  # fmt: skip
    return total


@pytest.mark.parametrize("grid", [GRID, SEAM])
def test_uniform_maps_give_their_values_in_units_of_the_network_everywhere(tmp_path: Path, grid: Grid) -> None:
    soil = read(write_soilgrids(tmp_path, grid), grid)
    stored = {name: np.array(values, np.float64) for name, values in SOILGRIDS.items()}
    for layer, value in zip(soil.features_FYX, expected_features(stored), strict=True):
        np.testing.assert_allclose(layer, value, rtol=1e-6)
    assert soil.features_FYX[SOIL_NAMES.index("TPH"), 0, 0] == pytest.approx(6.2 / 6 + 6.3 / 3 + 6.4 / 2)
    # hg m-3 are 100 g m-3: 0.05 m x 33 kg m-3 and so on.
    np.testing.assert_allclose(soil.quantity("soc_stock"), 1000 * (0.05 * 33 + 0.1 * 25 + 0.15 * 18), rtol=1e-6)
    deep = 1000 * (0.05 * 33 + 0.1 * 25 + 0.15 * 18 + 0.3 * 9 + 0.4 * 5 + 1.0 * 3)
    np.testing.assert_allclose(soil.quantity("soc_stock_200"), deep, rtol=1e-6)
    for name, value in {"soil_depth": 30, "soil_percent": 100, "soc_depth_200": 200}.items():
        np.testing.assert_allclose(soil.quantity(name), value, rtol=1e-6)
    np.testing.assert_allclose(soil.coverage_YX, 1, atol=1e-6)


def random_maps(folder: Path, grid: Grid, *, missing: float) -> dict[str, Values]:
    """Maps of random soils with pixels missing in all depths of all variables; the stored pixels, (depths, H, W)."""
    rng = np.random.default_rng(5)
    _, shape = soil_maps.soilgrids_box(grid)
    without = rng.random(shape) < missing
    stored: dict[str, Values] = {
        name: np.empty((len(centres), *shape)) for name, centres in SOILGRIDS.items()
    }  # fmt: skip

    def paint(variable: str, depth: int, centre: float, shape: tuple[int, int]) -> Values:
        stored[variable][depth] = np.where(without, -32768, (centre * rng.uniform(0.7, 1.3, shape)).round())
        return stored[variable][depth]

    write_soilgrids(folder, grid, paint=paint)
    return stored


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_cell_is_the_mean_of_its_pixels_with_data_by_overlap(tmp_path: Path, missing: float) -> None:
    """Against the intersection of polygons, pixel by pixel, of one cell with data in part of it."""
    stored = random_maps(tmp_path, GRID, missing=missing)
    soil = read(tmp_path)
    cell = tuple(np.argwhere((soil.coverage_YX < 0.7) & (soil.coverage_YX > 0.2))[0]) if missing else (5, 7)
    transform, shape = soil_maps.soilgrids_box(GRID)
    area = soil_maps.overlaps(GRID, cell, transform=transform, shape=shape, crs=soil_maps.HOMOLOSINE)
    known = np.where(stored["bdod"][0] == -32768, 0, area)
    assert (known > 0).sum() >= 2
    total = sum(
        known[place] * expected_features({name: values[:, *place] for name, values in stored.items()})
        for place in map(tuple, np.argwhere(known > 0))
    )
    np.testing.assert_allclose(soil.features_FYX[:, *cell], total / known.sum(), rtol=1e-5)
    np.testing.assert_allclose(soil.coverage_YX[cell], known.sum() / area.sum(), rtol=1e-5)
    stock = (stored["ocd"] * 100 * np.diff([0, 5, 15, 30, 60, 100, 200])[:, None, None] / 100).sum(0)
    np.testing.assert_allclose(
        soil.quantity("soc_stock_200")[cell], (known * stock).sum() / known.sum(), rtol=1e-5
    )  # fmt: skip


def test_a_cell_without_any_data_is_missing_and_nodata_is_never_a_value(tmp_path: Path) -> None:
    def paint(_variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        values = np.full(shape, centre)
        values[:, : shape[1] // 2] = -32768
        return values

    write_soilgrids(tmp_path, GRID, paint=paint)
    soil = read(tmp_path)
    np.testing.assert_array_equal(np.isnan(soil.features_FYX).any(axis=0), soil.coverage_YX == 0)
    assert np.isnan(soil.features_FYX).all(axis=0).sum() > 20
    for layer in soil.values_QYX:
        np.testing.assert_allclose(layer[~np.isnan(layer)], np.nanmax(layer), rtol=1e-5)
    for path in tmp_path.rglob("*.tif"):  # a clip that lost its tag
        with rasterio.open(path, "r+") as file:
            file.nodata = None
    np.testing.assert_array_equal(read(tmp_path).values_QYX, soil.values_QYX)


def test_a_depth_without_data_is_left_out_and_the_depth_with_data_says_so(tmp_path: Path) -> None:
    def paint(variable: str, depth: int, centre: float, shape: tuple[int, int]) -> Values:
        gone = (variable, depth) in {("cec", 2), ("sand", 0), ("ocd", 5)}
        return np.full(shape, -32768.0 if gone else centre)

    soil = read(write_soilgrids(tmp_path, GRID, paint=paint))
    np.testing.assert_allclose(soil.quantity("tcec"), (5 * 19 + 10 * 20) / 15, rtol=1e-6)
    np.testing.assert_allclose(soil.quantity("tsand"), (10 * 140 + 15 * 130) / 25, rtol=1e-6)
    np.testing.assert_allclose(soil.quantity("soil_depth"), 10)
    np.testing.assert_allclose(soil.quantity("soc_depth_200"), 100)


def test_the_median_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    median = SETTINGS.model_copy(update={"soilgrids_stat": "Q0.5"})
    write_soilgrids(tmp_path, GRID)
    with pytest.raises(UserError, match=r"no bdod_0-5cm_Q0\.5\.tif or bdod_0-5cm_Q0\.5\.vrt; .*ocd_100-200cm_Q0\.5"):
        find_maps(tmp_path, settings=median)
    write_soilgrids(tmp_path, GRID, stat="Q0.5", centres=SOILGRIDS | {"bdod": (101, 101, 101)})
    np.testing.assert_allclose(read(tmp_path, settings=median).quantity("tbkds"), 1.01, rtol=1e-6)
    assert find_maps(tmp_path, settings=median).notes["statistic"] == "Q0.5"


def virtual(path: Path) -> Path:
    """Put a virtual raster of two halves in the place of a map, as the product is released."""
    with rasterio.open(path) as file:
        values, transform, wkt = file.read(1), file.transform, file.crs.to_wkt().replace('"', "&quot;")
    height, width = values.shape
    parts = ""
    for number, cols in enumerate((slice(0, 40), slice(40, width))):
        name = f"{path.stem}/tileSG-{number}.tif"
        wide = cols.stop - cols.start
        write_map(path.parent / name, values[:, cols], transform=transform @ transform.translation(cols.start, 0))
        parts += (
            f'<ComplexSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{height}"/>'
            f'<DstRect xOff="{cols.start}" yOff="0" xSize="{wide}" ySize="{height}"/>'
            "<NODATA>-32768</NODATA></ComplexSource>"
        )
    path.unlink()
    path.with_suffix(".vrt").write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{wkt}</SRS>'
        f"<GeoTransform>{', '.join(map(repr, transform.to_gdal()))}</GeoTransform>"
        f'<VRTRasterBand dataType="Int16" band="1"><NoDataValue>-32768</NoDataValue>{parts}'
        "</VRTRasterBand></VRTDataset>"
    )
    return path.with_suffix(".vrt")


def test_virtual_rasters_are_read_and_their_parts_are_files_of_the_product(tmp_path: Path) -> None:
    wide = Grid(GRID.first_row, GRID.first_col, 12, 60, 12)
    random_maps(tmp_path, wide, missing=0.1)
    before = read(tmp_path, wide)
    vrt = virtual(tmp_path / "silt" / "silt_5-15cm_mean.tif")
    found = find_maps(tmp_path, settings=SETTINGS)
    assert {path.name for path in found.files if "silt_5" in str(path)} == {vrt.name, "tileSG-0.tif", "tileSG-1.tif"}
    np.testing.assert_array_equal(read(tmp_path, wide).values_QYX, before.values_QYX)
    (tmp_path / "silt" / "silt_5-15cm_mean" / "tileSG-1.tif").unlink()
    with pytest.raises(UserError, match=r"silt_5-15cm_mean\.vrt: truncated or damaged"):
        read(tmp_path, wide)


def test_every_map_that_is_absent_or_there_twice_is_named(tmp_path: Path) -> None:
    write_soilgrids(tmp_path, GRID)
    (tmp_path / "soc" / "soc_5-15cm_mean.tif").unlink()
    (tmp_path / "ocd" / "ocd_60-100cm_mean.tif").unlink()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "cec_0-5cm_mean.tif").write_bytes((tmp_path / "cec" / "cec_0-5cm_mean.tif").read_bytes())
    with pytest.raises(UserError) as error:
        find_maps(tmp_path, settings=SETTINGS)
    message = str(error.value)
    assert "no soc_5-15cm_mean.tif" in message
    assert "no ocd_60-100cm_mean.tif" in message
    assert "cec_0-5cm_mean.tif is there 2 times" in message
    assert "sand" not in message


def test_a_damaged_map_is_named_and_not_another(tmp_path: Path) -> None:
    random_maps(tmp_path, GRID, missing=0.0)
    path = tmp_path / "sand" / "sand_0-5cm_mean.tif"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"sand_0-5cm_mean\.tif: .*truncated"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        ({"bdod": (1, 1, 1)}, r"bdod_0-5cm_mean\.tif: contains 1 .*outside 2 to 260 cg cm-3"),  # g cm-3
        ({"phh2o": (6, 6, 6)}, r"phh2o_0-5cm_mean\.tif: contains 6 .*outside 18 to 110 pH x 10"),
        ({"phh2o": (620, 630, 640)}, r"phh2o_0-5cm_mean\.tif: contains 620"),
        ({"cec": (19, 20, -1)}, r"cec_15-30cm_mean\.tif: contains -1"),
        ({"sand": (15, 14, 13), "silt": (61, 60, 59)}, "sand of 15 and silt of 61 g kg-1 .* in per cent"),
        ({"sand": (700, 140, 130)}, r"sand of 700 and silt of 610 g kg-1 .* leave -310 of clay"),
        ({"bdod": (0, 0, 0)}, r"bdod_0-5cm_mean\.tif: contains 0 .*such as 0, add it to `soilgrids_nodata`"),
    ],
)
def test_values_in_other_units_are_refused_with_the_likely_cause(
    tmp_path: Path, centres: dict[str, tuple[int, ...]], message: str
) -> None:
    write_soilgrids(tmp_path, GRID, centres=SOILGRIDS | centres)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_maps_of_reals_were_converted_and_are_refused(tmp_path: Path) -> None:
    write_soilgrids(tmp_path, GRID)
    transform, shape = soil_maps.soilgrids_box(GRID)
    path = tmp_path / "soc" / "soc_0-5cm_mean.tif"
    write_map(path, np.full(shape, 25.0), transform=transform, dtype="float32")
    with pytest.raises(
        UserError, match=r"soc_0-5cm_mean\.tif: contains float32, but soc is stored in integers of dg kg-1"
    ):
        read(tmp_path)


def test_zeros_of_a_clip_can_be_declared_missing(tmp_path: Path) -> None:
    def paint(_variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        values = np.full(shape, centre)
        values[:, : shape[1] // 2] = 0
        return values

    write_soilgrids(tmp_path, GRID, paint=paint)
    soil = read(tmp_path, settings=SETTINGS.model_copy(update={"soilgrids_nodata": (-32768, 0)}))
    np.testing.assert_allclose(np.nanmin(soil.quantity("tbkds")), np.nanmax(soil.quantity("tbkds")), rtol=1e-6)
    assert 0.2 < np.isnan(soil.quantity("tbkds")).mean() < 0.8


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:5070", "+proj=moll +datum=WGS84", "+proj=igh +lon_0=10"])
def test_maps_in_another_plane_are_refused(tmp_path: Path, crs: str) -> None:
    transform, shape = soil_maps.soilgrids_box(GRID)
    for path in write_soilgrids(tmp_path, GRID).rglob("*.tif"):
        write_map(path, np.full(shape, 100), transform=transform, crs=crs)
    with pytest.raises(UserError, match=r"is not the Interrupted Goode Homolosine .*; use the product without"):
        read(tmp_path)


def test_maps_cut_to_other_rectangles_are_refused(tmp_path: Path) -> None:
    write_soilgrids(tmp_path, GRID)
    transform, (height, width) = soil_maps.soilgrids_box(GRID)
    path = tmp_path / "cec" / "cec_5-15cm_mean.tif"
    for shift, shape in (((1, 0), (height, width)), ((0, 0), (height + 1, width))):
        write_map(path, np.full(shape, 200), transform=transform @ transform.translation(*shift))
        with pytest.raises(UserError, match=r"cec_5-15cm_mean\.tif: its .* pixels are not those of .*bdod_0-5cm"):
            read(tmp_path)


def test_a_region_beyond_the_maps_is_missing_there(tmp_path: Path) -> None:
    soil = read(write_soilgrids(tmp_path, GRID), Grid(GRID.first_row, GRID.first_col, 12, 48, 12))
    assert soil.coverage_YX[:, :12].min() == pytest.approx(1, abs=1e-6)
    assert np.isnan(soil.values_QYX[:, :, 30:]).all()
    assert soil.values_QYX.shape[0] == len(QUANTITIES)


@pytest.mark.parametrize(
    "wkt",
    [
        'PROJCS["Homolosine",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Interrupted_Goode_Homolosine"],'
        'UNIT["Meter",1]]',
        'PROJCS["Interrupted_Goode_Homolosine",GEOGCS["GCS_unnamed ellipse",DATUM["D_unknown",'
        'SPHEROID["Unknown",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["Degree",0.017453292519943295]],'
        'PROJECTION["Interrupted_Goode_Homolosine"],UNIT["metre",1]]',
    ],
)
def test_the_plane_is_known_by_its_points_however_it_is_spelled(tmp_path: Path, wkt: str) -> None:
    write_soilgrids(tmp_path, GRID)
    expected = read(tmp_path)
    for path in tmp_path.rglob("*.tif"):
        with rasterio.open(path, "r+") as file:
            file.crs = wkt
    np.testing.assert_allclose(read(tmp_path).values_QYX, expected.values_QYX, rtol=1e-6)


def test_names_without_the_depth_are_refused_as_a_setting() -> None:
    with pytest.raises(ValueError, match=r"does not contain \{depth\}"):
        SoilSettings(soilgrids_names=("{variable}_{stat}.tif",))
    with pytest.raises(ValueError, match=r"does not contain \{south\}, \{west\}"):
        SoilSettings(polaris_pattern="{variable}/{stat}/{depth}.tif")


@pytest.mark.parametrize("how", ["mask", "alpha", "tag and alpha"])
def test_pixels_under_a_mask_are_missing_as_those_of_the_tag_are(tmp_path: Path, how: str) -> None:
    _, shape = soil_maps.soilgrids_box(GRID)
    missing = np.indices(shape)[1] < shape[1] // 2

    def paint(_variable: str, _depth: int, centre: float, shape: tuple[int, int]) -> Values:
        return np.where(missing, -32768, np.full(shape, centre))

    write_soilgrids(tmp_path, GRID, paint=paint)
    expected = read(tmp_path)
    write_soilgrids(tmp_path, GRID)
    for path in tmp_path.rglob("*.tif"):
        mark_missing(path, missing, how)
    found = read(tmp_path)
    np.testing.assert_array_equal(found.values_QYX, expected.values_QYX)
    np.testing.assert_array_equal(found.coverage_YX, expected.coverage_YX)
    assert 20 < (found.coverage_YX == 0).sum() < found.coverage_YX.size
