"""Exact overlaps of bent grids with rasters, against polygon clipping and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.grid.pixel_overlap import Overlap, cell_areas

Array = NDArray[np.float64]


def mesh(rows: int, cols: int, *, size: float = 7.7, shear: float = 0.4, seed: int = 0) -> tuple[Array, Array]:
    """Corners of a sheared, slightly irregular mesh, in pixels."""
    rng = np.random.default_rng(seed)
    j, i = np.meshgrid(np.arange(cols + 1.0), np.arange(rows + 1.0))
    wobble = rng.uniform(-0.2, 0.2, (2, rows + 1, cols + 1)) * size
    return 3.3 + size * (j + shear * i) + wobble[0], 2.9 + size * (i - shear * 0.3 * j) + 14 + wobble[1]


def quadrilaterals(x: Array, y: Array) -> list[shapely.Polygon]:
    corners = [
        np.stack([a[s] for a in (x, y)], -1) for s in (np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1])
    ]
    return [shapely.Polygon(quad) for quad in np.stack(corners, 2).reshape(-1, 4, 2)]


def test_integrals_equal_polygon_clipping() -> None:
    rng = np.random.default_rng(3)
    layers = rng.normal(size=(2, 40, 50))
    x, y = mesh(4, 5)
    found = Overlap.of(x, y, shape=(40, 50)).integrate(layers)
    pixels = np.array([[shapely.box(c, r, c + 1, r + 1) for c in range(50)] for r in range(40)])
    expected = [
        (layers * shapely.area(shapely.intersection(pixels, quad))).sum((1, 2)) for quad in quadrilaterals(x, y)
    ]
    np.testing.assert_allclose(found.reshape(2, -1).T, expected, rtol=0, atol=1e-9)


def test_integrals_equal_exactextract_to_the_precision_of_its_float32_coverage() -> None:
    rng = np.random.default_rng(4)
    layer = rng.uniform(0, 600, size=(300, 320))
    x, y = mesh(30, 28, seed=5)
    found = Overlap.of(x, y, shape=layer.shape).integrate(layer[None])[0].ravel()
    chosen = rng.choice(np.flatnonzero(found), 60, replace=False)
    flipped = quadrilaterals(x, -y)  # its rasters have y upwards
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(flipped[i])} for i in chosen]
    source = NumPyRasterSource(layer, xmin=0, xmax=320, ymin=-300, ymax=0)
    expected = [row["properties"]["sum"] for row in exact_extract(source, features, "sum")]
    np.testing.assert_allclose(found[chosen], expected, rtol=3e-8, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shear=st.floats(-0.6, 0.6),
    size=st.floats(0.7, 9.0),
    shift=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
def test_nothing_is_lost_or_counted_twice(seed: int, shear: float, size: float, shift: tuple[float, float]) -> None:
    """The cells add up to the integral over the outline of the mesh, wherever it lies on the raster."""
    layer = np.random.default_rng(seed).uniform(0, 100, (1, 20, 24))
    x, y = mesh(6, 5, size=size, shear=shear, seed=seed)
    x, y = x + shift[0], y + shift[1]
    cells = Overlap.of(x, y, shape=(20, 24)).integrate(layer)[0]
    ring = [*zip(x[0], y[0], strict=True), *zip(x[1:, -1], y[1:, -1], strict=True)]
    ring += [*zip(x[-1, -2::-1], y[-1, -2::-1], strict=True), *zip(x[-2:0:-1, 0], y[-2:0:-1, 0], strict=True)]
    outline = shapely.Polygon(ring)
    pixels = np.array([[shapely.box(c, r, c + 1, r + 1) for c in range(24)] for r in range(20)])
    expected = (layer[0] * shapely.area(shapely.intersection(pixels, outline))).sum()
    assert cells.sum() == pytest.approx(expected, rel=1e-10, abs=1e-8)


@settings(max_examples=60, deadline=None)
@given(left=st.integers(-3, 30), top=st.integers(-3, 30), size=st.integers(1, 4))
def test_meshes_on_pixel_edges_give_block_sums(left: int, top: int, size: int) -> None:
    layer = np.arange(20 * 24, dtype=np.float64).reshape(20, 24)
    x, y = np.meshgrid(left + size * np.arange(4.0), top + size * np.arange(3.0))
    found = Overlap.of(x, y, shape=(20, 24)).integrate(layer[None])[0]
    for row, col in np.ndindex(2, 3):
        rows = slice(max(top + size * row, 0), max(top + size * (row + 1), 0))
        cols = slice(max(left + size * col, 0), max(left + size * (col + 1), 0))
        assert found[row, col] == pytest.approx(layer[rows, cols].sum(), abs=1e-9)


def test_areas_are_those_of_the_polygons_and_of_a_layer_of_ones() -> None:
    x, y = mesh(5, 6)
    areas = cell_areas(x, y)
    np.testing.assert_allclose(areas.ravel(), [quad.area for quad in quadrilaterals(x, y)], rtol=1e-12)
    shape = (int(y.max()) + 2, int(x.max()) + 2)
    ones = Overlap.of(x, y, shape=shape).integrate(np.ones((1, *shape), bool))[0]
    np.testing.assert_allclose(ones[1:], areas[1:], rtol=1e-11)


def test_a_raster_without_pixels_counts_as_zero() -> None:
    x, y = mesh(2, 3)
    np.testing.assert_array_equal(Overlap.of(x, y, shape=(0, 0)).integrate(np.zeros((4, 0, 0))), np.zeros((4, 2, 3)))
