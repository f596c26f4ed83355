"""Crop shares of cells from the Cropland Data Layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid import Grid, sinusoidal
from pipeline.sources.cropland import CropSettings, crops_on_grid, find_layer

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
        with pytest.raises(UserError, match=r"2021_30m_cdls\.tif: coordinate system .* is not a plane"):
            crops_on_grid(layer, grid=grid, settings=SETTINGS)


def test_a_truncated_layer_is_named(tmp_path: Path) -> None:
    layer = write_layer(tmp_path, np.ones((300, 300), np.uint8))
    grid = grid_around(layer)
    layer.write_bytes(layer.read_bytes()[:30_000])
    with pytest.raises(UserError, match=r"2021_30m_cdls\.tif: .*truncated"):
        crops_on_grid(layer, grid=grid, settings=SETTINGS)


def test_years_without_or_with_several_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no crop layer of 2021"):
        find_layer(tmp_path, year=2021, settings=SETTINGS)
    (tmp_path / "2021_30m_cdls").mkdir()
    layer = write_layer(tmp_path / "2021_30m_cdls", np.ones((3, 3), np.uint8))
    assert find_layer(tmp_path, year=2021, settings=SETTINGS) == layer
    (tmp_path / "2021_10m_cdls.tif").touch()
    with pytest.raises(UserError, match=r"several crop layers of 2021 .*2021_10m_cdls"):
        find_layer(tmp_path, year=2021, settings=SETTINGS)
    assert find_layer(tmp_path, year=2021, settings=CropSettings(pattern="{YYYY}_30m_cdls.tif")) == layer
