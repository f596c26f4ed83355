"""Crop shares of cells from the Cropland Data Layer."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, sinusoidal
from pipeline.sources.crops.cdl import Codes, crops_on_grid, find_layer, raster_of, shares_of
from pipeline.sources.crops.settings import CropSettings
from tests.helpers.missing_pixels import mark_missing

SETTINGS = CropSettings()
TO_DEGREES = pyproj.Transformer.from_crs(5070, 4269, always_xy=True)
LEFT, TOP = 554985.0, 1898985.0  # central Illinois, edges at 15 mod 30 m


def write_layer(folder: Path, codes: NDArray[np.uint8], *, pixel_m: float = 30.0, **profile: object) -> Path:
    path = folder / "2021_30m_cdls.tif"
    height, width = codes.shape
    settings = {"transform": Affine(pixel_m, 0, LEFT, 0, -pixel_m, TOP), "crs": "EPSG:5070", **profile}
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype="uint8", **settings
    ) as file:
        file.write(codes, 1)
    return path


def grid_around(path: Path, *, tile_cells: int = 24) -> Grid:
    """Tiles that hold the whole layer."""
    with rasterio.open(path) as file:
        left, bottom, right, top = file.bounds
    x, y = np.meshgrid(np.linspace(left, right, 40), np.linspace(bottom, top, 40))
    return Grid.around(*sinusoidal(*TO_DEGREES.transform(x, y)), tile_cells=tile_cells)


def area_m2(share_YX: NDArray[np.float32], grid: Grid) -> float:
    """Ellipsoidal area; Albers areas are ellipsoidal too, so that they must agree."""
    return float(np.nansum(share_YX.astype(np.float64) * grid.cell_area_m2()[:, None]))


@pytest.mark.realdata
def test_corn_and_soybean_of_a_real_clip_are_conserved(realdata: Path) -> None:
    layer = find_layer(realdata / "cdl", year=2021, settings=SETTINGS)
    assert layer is not None
    with rasterio.open(layer) as file:
        assert file.nodata is None
        assert file.bounds.left % 30 == 15
    grid = grid_around(layer, tile_cells=48)
    crops = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    assert area_m2(crops.corn_YX, grid) == pytest.approx(95_008 * 900, rel=1e-6)
    assert area_m2(crops.soybean_YX, grid) == pytest.approx(203_274 * 900, rel=1e-6)
    assert area_m2(crops.covered_YX, grid) == pytest.approx(1_000_000 * 900, rel=1e-6)


@pytest.mark.parametrize("pixel_m", [10.0, 30.0, 56.0])
def test_areas_of_all_codes_are_conserved_at_all_pixel_sizes(tmp_path: Path, pixel_m: float) -> None:
    rng = np.random.default_rng(7)
    codes = rng.choice(np.array([0, 1, 5, 12, 24, 111], np.uint8), (110, 130))
    layer = write_layer(tmp_path, codes, pixel_m=pixel_m)
    grid = grid_around(layer)
    crops = crops_on_grid(layer, grid=grid, settings=CropSettings(corn_codes=(1, 12)))
    pixel = pixel_m**2
    assert area_m2(crops.corn_YX, grid) == pytest.approx(np.isin(codes, (1, 12)).sum() * pixel, rel=1e-6)
    assert area_m2(crops.soybean_YX, grid) == pytest.approx((codes == 5).sum() * pixel, rel=1e-6)
    assert area_m2(crops.covered_YX, grid) == pytest.approx((codes != 0).sum() * pixel, rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(
    pixel_m=st.sampled_from([10.0, 30.0, 56.0]),
    corner=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
)
def test_crops_others_and_nothing_share_every_cell_however_pixels_lie(
    pixel_m: float, corner: tuple[float, float], shape: tuple[int, int], seed: int
) -> None:
    codes = np.random.default_rng(seed).choice(np.array([0, 1, 5, 36], np.uint8), shape)
    transform = Affine(pixel_m, 0, LEFT + corner[0], 0, -pixel_m, TOP + corner[1])
    profile = {"height": shape[0], "width": shape[1], "count": 1, "dtype": "uint8", "crs": "EPSG:5070"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", transform=transform, **profile) as file:
            file.write(codes, 1)
        with memory.open() as file:
            grid = Grid.around(*sinusoidal(*outline(file)), tile_cells=8)
            crops = shares_of(file, grid=grid, codes=Codes((1,), (5,), (0,)))
            # The same pixels decoded otherwise: what is neither corn nor soybean, and what is not mapped.
            rest = shares_of(file, grid=grid, codes=Codes((36,), (0,), ()))
    corn, soybean, other, background = map(
        np.nan_to_num, (crops.corn_YX, crops.soybean_YX, rest.corn_YX, rest.soybean_YX)
    )
    for share in (corn, soybean, crops.covered_YX, other, background):
        assert share.min() >= 0
        assert share.max() <= 1
    np.testing.assert_allclose(crops.covered_YX, corn + soybean + other, rtol=0, atol=3e-7)
    assert ((corn + soybean + other + background) <= 1 + 3e-7).all()
    for share, code in ((corn, 1), (soybean, 5), (other, 36), (background, 0)):
        assert area_m2(share, grid) == pytest.approx((codes == code).sum() * pixel_m**2, rel=1e-6)


def outline(file: rasterio.DatasetReader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of points all over the raster."""
    left, bottom, right, top = file.bounds
    return TO_DEGREES.transform(*np.meshgrid(np.linspace(left, right, 40), np.linspace(bottom, top, 40)))


def test_shares_are_those_of_points_strewn_over_the_pixels(tmp_path: Path) -> None:
    """A layer moved by half a pixel, as by edges taken for centres, is out by up to 0.065."""
    codes = np.where(np.arange(150) // 4 % 2, 1, 36)[:, None] * np.ones((1, 150))
    layer = write_layer(tmp_path, codes.astype(np.uint8))
    grid = grid_around(layer)
    crops = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    step = 30 / 8
    x, y = np.meshgrid(LEFT + (np.arange(150 * 8) + 0.5) * step, TOP - (np.arange(150 * 8) + 0.5) * step)
    x_m, y_m = sinusoidal(*TO_DEGREES.transform(x, y))
    cols, rows = (np.floor(value).astype(int) for value in ~grid.transform @ (x_m, y_m))
    cell = (rows * grid.cols + cols).ravel()
    points = np.bincount(cell, minlength=grid.rows * grid.cols)
    corn = np.bincount(cell, codes.repeat(8, 0).repeat(8, 1).ravel() == 1, minlength=points.size) / np.maximum(
        points, 1
    )
    whole = crops.covered_YX == 1
    assert whole.sum() > 100
    np.testing.assert_allclose(crops.corn_YX[whole], corn.reshape(grid.shape)[whole], atol=0.01)


def test_double_crops_are_neither_corn_nor_soybean_unless_set(tmp_path: Path) -> None:
    doubles = np.array([12, 13, 26, 225, 226, 237, 239, 240, 241, 254], np.uint8)
    layer = write_layer(tmp_path, np.resize(doubles, (60, 60)))
    grid = grid_around(layer)
    plain = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    assert np.nanmax(plain.corn_YX) == 0
    assert np.nanmax(plain.soybean_YX) == 0
    chosen = crops_on_grid(layer, grid=grid, settings=CropSettings(corn_codes=(1, 225, 226, 237, 241)))
    assert area_m2(chosen.corn_YX, grid) == pytest.approx(3600 * 0.4 * 900, rel=1e-6)


def test_a_palette_is_no_code(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, np.full((60, 60), 5, np.uint8))
    plain = crops_on_grid(layer, grid=grid_around(layer), settings=SETTINGS)
    with rasterio.open(layer, "r+") as file:
        file.write_colormap(1, {1: (255, 211, 0, 255), 5: (1, 1, 1, 255)})
    coloured = crops_on_grid(layer, grid=grid_around(layer), settings=SETTINGS)
    np.testing.assert_array_equal(coloured.soybean_YX, plain.soybean_YX)


def test_cells_of_one_crop_are_whole_and_cells_without_the_layer_missing(tmp_path: Path) -> None:
    codes = np.full((200, 200), 1, np.uint8)
    codes[:, 100:] = 5
    layer = write_layer(tmp_path, codes)
    grid = grid_around(layer)
    crops = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    x_m, _ = pyproj.Transformer.from_crs(4269, 5070, always_xy=True).transform(*grid.lonlat())
    whole = crops.covered_YX == 1
    west, east = whole & (x_m < LEFT + 2500), whole & (x_m > LEFT + 3500)
    assert west.sum() > 50
    assert east.sum() > 50
    np.testing.assert_array_equal(crops.corn_YX[west], 1)
    np.testing.assert_array_equal(crops.soybean_YX[west], 0)
    np.testing.assert_array_equal(crops.soybean_YX[east], 1)
    outside = crops.covered_YX == 0
    assert outside.any()
    np.testing.assert_array_equal(np.isnan(crops.corn_YX), outside)
    np.testing.assert_array_equal(np.isnan(crops.soybean_YX), outside)


def test_a_tile_alone_equals_its_part_of_the_grid(tmp_path: Path) -> None:
    codes = np.random.default_rng(8).choice(np.array([1, 5, 36], np.uint8), (300, 300))
    layer = write_layer(tmp_path, codes)
    grid = grid_around(layer)
    whole = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    for tile in grid.tiles():
        part = crops_on_grid(layer, grid=grid.of(tile), settings=SETTINGS)
        np.testing.assert_allclose(part.corn_YX, whole.corn_YX[grid.window(tile)], rtol=0, atol=1e-6)


def test_nodata_of_the_file_is_not_covered(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, np.full((60, 60), 255, np.uint8), nodata=255)
    assert (crops_on_grid(layer, grid=grid_around(layer), settings=SETTINGS).covered_YX == 0).all()


def test_geographic_and_unplaced_layers_are_refused(tmp_path: Path) -> None:
    grid = Grid(4 * 4800, 11 * 4800, 24, 24, 24)
    for crs in ("EPSG:4326", None):
        layer = write_layer(tmp_path, np.ones((30, 30), np.uint8), crs=crs)
        with pytest.raises(UserError, match=r"2021_30m_cdls\.tif: coordinate system .* is not projected"):
            crops_on_grid(layer, grid=grid, settings=SETTINGS)


def test_a_truncated_layer_is_named(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, np.ones((300, 300), np.uint8))
    grid = grid_around(layer)
    layer.write_bytes(layer.read_bytes()[:30_000])
    with pytest.raises(UserError, match=r"2021_30m_cdls\.tif: .*truncated"):
        crops_on_grid(layer, grid=grid, settings=SETTINGS)


def test_a_web_page_saved_as_layer_is_named(tmp_path: Path) -> None:
    for name in ("2021_30m_cdls.tif", "2021_30m_cdls.zip"):
        page = tmp_path / name
        page.write_text("<!DOCTYPE html><title>Service unavailable</title>")
        with pytest.raises(UserError, match=rf"{name}: absent, truncated or not a"):
            crops_on_grid(page, grid=Grid(4 * 4800, 11 * 4800, 24, 24, 24), settings=SETTINGS)


def zipped(layer: Path, *members: str) -> Path:
    """Zip the layer under the names `members`, with the small files that come along, and remove it."""
    path = layer.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.write(layer, member)
        archive.writestr("2021_30m_cdls.tfw", "30.0")
        archive.writestr("2021_30m_cdls.tif.aux.xml", "<PAMDataset/>")
    layer.unlink()
    return path


@pytest.mark.parametrize("member", ["2021_30m_cdls.tif", "some folder/2021_30m_cdls.TIF"])
def test_a_layer_is_read_from_the_zip_as_downloaded(tmp_path: Path, member: str) -> None:
    codes = np.random.default_rng(3).choice(np.array([0, 1, 5, 36], np.uint8), (200, 200))
    layer = write_layer(tmp_path, codes)
    grid = grid_around(layer)
    plain = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    path = zipped(layer, member)
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == path
    packed = crops_on_grid(path, grid=grid, settings=SETTINGS)
    np.testing.assert_array_equal(packed.corn_YX, plain.corn_YX)
    np.testing.assert_array_equal(packed.covered_YX, plain.covered_YX)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("members", [(), ("2020_30m_cdls.tif",), ("2021_30m_cdls.tif", "2021_30m_confidence.tif")])
def test_a_zip_with_anything_but_its_layer_is_refused(tmp_path: Path, members: tuple[str, ...]) -> None:
    path = zipped(write_layer(tmp_path, np.ones((3, 3), np.uint8)), *members)
    with pytest.raises(UserError, match=r"2021_30m_cdls\.zip: contains .* instead of .*cdls\.tif or .*cdls\.img alone"):
        raster_of(path)


def as_imagine(layer: Path, **options: str) -> Path:
    """Rewrite the layer as ERDAS Imagine, with its pixels in an .ige beside it if USE_SPILL is YES."""
    path = layer.with_suffix(".img")
    with rasterio.open(layer) as file:
        codes, profile = file.read(1), file.profile
    kept = {name: profile[name] for name in ("width", "height", "count", "dtype", "crs", "transform")}
    with rasterio.open(path, "w", driver="HFA", **kept, **options) as file:
        file.write(codes, 1)
    layer.unlink()
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("spilled", ["YES", "NO"])
def test_a_layer_in_erdas_imagine_is_found_by_default_and_has_the_same_shares(
    tmp_path: Path, packed: bool, spilled: str
) -> None:
    codes = np.random.default_rng(3).choice(np.array([0, 1, 5, 36], np.uint8), (200, 200))
    layer = write_layer(tmp_path, codes)
    grid = grid_around(layer)
    expected = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    path = as_imagine(layer, USE_SPILL=spilled)
    parts = sorted(tmp_path.iterdir())
    assert [part.suffix for part in parts if part.suffix == ".ige"] == [".ige"] * (spilled == "YES")
    if packed:
        path = path.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as archive:
            for part in parts:
                archive.write(part, part.name)
                part.unlink()
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == path
    found = crops_on_grid(path, grid=grid, settings=SETTINGS)
    np.testing.assert_array_equal(found.corn_YX, expected.corn_YX)
    np.testing.assert_array_equal(found.covered_YX, expected.covered_YX)


def test_a_copy_of_a_layer_in_another_format_is_no_second_layer(tmp_path: Path) -> None:
    for name in ("2021_30m_cdls.img", "2021_30m_cdls.zip"):
        (tmp_path / name).touch()
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == tmp_path / "2021_30m_cdls.img"
    layer = write_layer(tmp_path, np.ones((3, 3), np.uint8))
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == layer


def test_an_imagine_raster_with_pixels_in_another_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    path = as_imagine(write_layer(folder, np.ones((200, 200), np.uint8)), USE_SPILL="YES")
    grid = grid_around(path)
    own, other = path.with_suffix(".ige"), tmp_path / "2021_30m_c.ige"
    shutil.move(own, other)
    renamed = path.read_bytes().replace(own.name.encode(), f"../{other.name}".encode())
    path.write_bytes(renamed)
    with pytest.raises(UserError, match=r"2021_30m_cdls\.img: refers to .*2021_30m_c\.ige, outside its folder"):
        crops_on_grid(path, grid=grid, settings=SETTINGS)


def test_a_truncated_zip_is_named(tmp_path: Path) -> None:
    codes = np.random.default_rng(4).integers(0, 255, (300, 300)).astype(np.uint8)
    path = zipped(write_layer(tmp_path, codes), "2021_30m_cdls.tif")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UserError, match=r"2021_30m_cdls\.zip: absent, truncated"):
        raster_of(path)


def test_years_without_a_layer_have_none_and_several_are_refused(tmp_path: Path) -> None:
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) is None
    (tmp_path / "2021_30m_cdls").mkdir()
    layer = write_layer(tmp_path / "2021_30m_cdls", np.ones((3, 3), np.uint8))
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == layer
    (tmp_path / "2021_30m_cdls.zip").touch()  # the zip it came in
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == layer
    (tmp_path / "2021_10m_cdls.zip").touch()
    with pytest.raises(UserError, match=r"several crop layers of 2021 .*2021_10m_cdls"):
        find_layer(tmp_path, year=2021, settings=SETTINGS)
    assert find_layer(tmp_path, year=2021, settings=CropSettings(pattern="{YYYY}_30m_cdls.tif")) == layer


@pytest.mark.parametrize("name", ["2024_10m_cdls.tif", "2010_30m_cdls.tif", "2009_56m_cdls.tif"])
def test_layers_of_all_resolutions_are_found(tmp_path: Path, name: str) -> None:
    for other in ("2010_30m_confidence_layer.tif", "2010_30m_cdls.tif.ovr", "2010_30m_cdls.tfw"):
        (tmp_path / other).touch()
    (tmp_path / name).touch()
    found = find_layer(tmp_path, year=int(name[:4]), settings=SETTINGS)
    assert found is not None
    assert found.name == name


def test_a_states_layer_is_found_by_its_number(tmp_path: Path) -> None:
    for name in ("CDL_2005_17.tif", "CDL_2005_19.zip"):
        (tmp_path / name).touch()
    found = [find_layer(tmp_path, year=2005, state_fips=fips, settings=SETTINGS) for fips in ("17", "19", "27")]
    assert [path and path.name for path in found] == ["CDL_2005_17.tif", "CDL_2005_19.zip", None]


@pytest.mark.realdata
@pytest.mark.parametrize("how", ["nan", "81clouds"])
def test_missing_is_missing_however_a_copy_says_so(cases: Path, how: str) -> None:
    zero, other = (cases / "cdl_missing" / f"2012_30m_cdls.{name}.tif" for name in ("zero", how))
    grid = grid_around(zero)
    expected, found = (crops_on_grid(layer, grid=grid, settings=SETTINGS) for layer in (zero, other))
    np.testing.assert_array_equal(found.corn_YX, expected.corn_YX)
    np.testing.assert_array_equal(found.covered_YX, expected.covered_YX)
    # The west half is corn, 50 x 100 pixels, and nothing is known of the east half.
    assert area_m2(found.corn_YX, grid) == pytest.approx(50 * 100 * 900, rel=1e-6)
    np.testing.assert_array_equal(found.corn_YX[found.covered_YX > 0], found.covered_YX[found.covered_YX > 0])
    assert (found.corn_YX == 1).sum() > 20
    assert np.isnan(found.corn_YX).any()


@pytest.mark.parametrize("how", ["nan", "81", "255", "-9999", "-32768", "65535", "mask", "alpha", "tag and alpha"])
def test_pixels_that_a_copy_marks_as_missing_are_not_covered(tmp_path: Path, how: str) -> None:
    codes = np.random.default_rng(5).choice(np.array([1, 5, 36], np.uint8), (60, 60))
    missing = np.indices(codes.shape)[1] >= 30
    layer = write_layer(tmp_path, np.where(missing, 0, codes).astype(np.uint8))
    grid = grid_around(layer)
    expected = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    mark_missing(write_layer(tmp_path, codes), missing, how)
    found = crops_on_grid(layer, grid=grid, settings=SETTINGS)
    np.testing.assert_array_equal(found.corn_YX, expected.corn_YX)
    np.testing.assert_array_equal(found.soybean_YX, expected.soybean_YX)
    np.testing.assert_array_equal(found.covered_YX, expected.covered_YX)


@pytest.mark.realdata
def test_values_that_are_no_codes_of_the_product_are_refused(cases: Path) -> None:
    good, smoothed, cultivated = (
        cases / "cdl_not_codes" / f"2012_30m_cdls.{name}.tif" for name in ("good", "smoothed_float", "cultivated_1_2")
    )
    grid = grid_around(good)
    crops = crops_on_grid(good, grid=grid, settings=SETTINGS)
    assert area_m2(crops.corn_YX, grid) == pytest.approx(2104 * 900, rel=1e-6)
    assert area_m2(crops.soybean_YX, grid) == pytest.approx(1944 * 900, rel=1e-6)
    assert crops.doubts == {}
    with pytest.raises(UserError, match=r"smoothed_float\.tif: contains 1\.5 where crop codes are whole numbers"):
        crops_on_grid(smoothed, grid=grid, settings=SETTINGS)
    with pytest.raises(UserError, match=r"cultivated_1_2\.tif: contains 1 and 2 alone, .*the cultivated"):
        crops_on_grid(cultivated, grid=grid, settings=SETTINGS)


def test_unknown_codes_are_counted_by_code_and_many_refused_by_name(tmp_path: Path) -> None:
    codes = np.random.default_rng(9).choice(np.array([1, 5, 36, 121], np.uint8), (60, 60))
    codes[30, 30:33] = (7, 99, 7)
    layer = write_layer(tmp_path, codes)
    grid, name = grid_around(layer), layer.name
    assert crops_on_grid(layer, grid=grid, settings=SETTINGS).doubts == {
        f"pixels of code 7, unknown in {name}": 2,
        f"pixels of code 99, unknown in {name}": 1,
    }
    chosen = crops_on_grid(layer, grid=grid, settings=CropSettings(corn_codes=(1, 7)))
    assert [*chosen.doubts] == [f"pixels of code 99, unknown in {name}"]
    confidence = np.random.default_rng(9).integers(1, 101, (60, 60)).astype(np.uint8)
    with pytest.raises(UserError, match=r"2021_30m_cdls\.tif: contains 7, 8, 9, 15, 16, which .* the confidence one"):
        crops_on_grid(write_layer(tmp_path, confidence), grid=grid, settings=SETTINGS)


def test_a_layer_of_very_few_codes_is_reported(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, np.resize(np.array([0, 1, 5], np.uint8), (60, 60)))
    doubts = crops_on_grid(layer, grid=grid_around(layer), settings=SETTINGS).doubts
    assert doubts == {"pixels read from 2021_30m_cdls.tif with fewer than 3 codes": 2400}
