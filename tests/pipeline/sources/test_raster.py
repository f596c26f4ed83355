"""Means of rasters over the cells of the grid, in whatever way the raster is laid out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyproj
import pytest
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window

from pipeline.grid.sinusoidal import Grid
from pipeline.sources.raster import cell_means, read_pixels

GRID = Grid(4 * 4800 + 4752, 11 * 4800 + 720, 24, 24, 24)  # about 40 N, 89 W


def corner() -> tuple[float, float]:
    """A point in the Albers plane 1 km north-west of the grid's middle."""
    longitude, latitude = (place.mean() for place in GRID.lonlat())
    x, y = pyproj.Transformer.from_crs(4269, 5070, always_xy=True).transform(longitude, latitude)
    return round(x) - 1000, round(y) + 1000


@contextmanager
def raster(values: NDArray[np.float64], transform: Affine) -> Iterator[DatasetReader]:
    height, width = values.shape
    profile = {"height": height, "width": width, "count": 1, "dtype": "float64", "crs": "EPSG:5070"}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", transform=transform, **profile) as file:
            file.write(values, 1)
        with memory.open() as file:
            yield file


def means(values: NDArray[np.float64], transform: Affine, *, grid: Grid = GRID) -> NDArray[np.float64]:
    with raster(values, transform) as source:
        return cell_means(source, grid=grid, layers=lambda pixels: pixels[None])[0]


def test_rasters_with_the_south_first_or_turned_give_the_same_means() -> None:
    left, top = corner()
    values = np.random.default_rng(0).random((70, 60))
    north_up = Affine(30, 0, left, 0, -30, top)
    south_up = Affine(30, 0, left, 0, 30, top - 70 * 30)
    turned = Affine(0, 30, left, -30, 0, top)  # the file's rows run east, its columns south
    expected = means(values, north_up)
    assert expected.max() > 0.3
    np.testing.assert_allclose(means(values[::-1], south_up), expected, atol=1e-10)
    np.testing.assert_allclose(means(values.T, turned), expected, atol=1e-10)


def test_finer_pixels_of_the_same_picture_give_the_same_means() -> None:
    left, top = corner()
    values = np.random.default_rng(1).random((60, 60))
    fine = np.kron(values, np.ones((6, 6)))
    expected = means(values, Affine(60, 0, left, 0, -60, top))
    np.testing.assert_allclose(means(fine, Affine(10, 0, left, 0, -10, top)), expected, atol=1e-10)


def test_a_raster_elsewhere_counts_as_zero() -> None:
    left, top = corner()
    far = means(np.ones((10, 10)), Affine(30, 0, left + 1e6, 0, -30, top))
    np.testing.assert_array_equal(far, np.zeros(GRID.shape))


def test_a_constant_has_itself_as_mean_in_every_cell_inside() -> None:
    left, top = corner()
    found = means(np.full((600, 600), 7.25), Affine(30, 0, left - 8000, 0, -30, top + 8000))
    assert found == pytest.approx(np.full(GRID.shape, 7.25), rel=1e-12)


def test_the_tag_the_legend_and_infinity_are_missing_and_an_empty_window_is_empty() -> None:
    profile = {"height": 1, "width": 4, "count": 1, "dtype": "float32", "nodata": -9999.9}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", crs="EPSG:5070", transform=Affine.scale(30), **profile) as file:
            file.write(np.array([[-9999.9, 1, 7, np.inf]], np.float32), 1)
        with memory.open() as file:
            assert read_pixels(file, Window(0, 0, 4, 1), missing=(7,)).missing_YX.tolist() == [
                [True, False, True, True]
            ]
            assert read_pixels(file, Window(4, 0, 0, 1)).values_YX.shape == (1, 0)
