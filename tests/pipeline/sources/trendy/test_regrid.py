"""Conservative regridding: nothing is lost or made, whatever the grids and the gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.grid.latlon import LatLonGrid
from pipeline.sources.trendy.regrid import Cells, Weights, cover_box, regrid

GLOBE = LatLonGrid(2, 0, 0, 360, 720)
Array = NDArray[np.float64]


@st.composite
def globes(draw: st.DrawFn) -> Cells:
    """Global grids: any size, order of rows and columns, first longitude, rows between or on the poles."""
    rows, cols = draw(st.integers(3, 40)), draw(st.integers(3, 60))
    half = 90 / rows
    lat = np.linspace(-90, 90, rows) if draw(st.booleans()) else np.linspace(half - 90, 90 - half, rows)
    lon = draw(st.floats(-200, 200)) + np.arange(cols) * 360 / cols
    lat, lon = (axis[:: draw(st.sampled_from([1, -1]))] for axis in (lat, lon))
    if draw(st.booleans()):
        lon = lon % 360
    return Cells.around(lat, lon=lon, place="generated")


def random_field(cells: Cells, *, seed: int, missing: float) -> Array:
    rng = np.random.default_rng(seed)
    field = rng.normal(3, 5, cells.area.shape)
    field[rng.random(field.shape) < missing] = np.nan
    return field


def integral(field: Array, area: Array) -> float:
    """Integral of the part with values."""
    return float(np.nansum(field * area))


@given(globes(), globes(), st.integers(0, 99), st.sampled_from([0.0, 0.3, 0.9, 1.0]))
@settings(max_examples=150, deadline=None)
def test_the_global_integral_and_area_are_conserved_with_gaps_too(
    source: Cells, target: Cells, seed: int, missing: float
) -> None:
    field = random_field(source, seed=seed, missing=missing)
    weights = Weights.between(source, target=target)
    result = regrid(field, weights=weights)
    scale = integral(np.abs(field), source.area)
    after = integral(result.mean * result.coverage, target.area)
    assert after == pytest.approx(integral(field, source.area), rel=0, abs=1e-12 * scale)
    valid = np.isfinite(field)
    assert (result.coverage * target.area).sum() == pytest.approx((valid * source.area).sum(), rel=1e-12)
    assert result.coverage.max() <= 1 + 1e-12
    np.testing.assert_array_equal(np.isnan(result.mean), result.coverage == 0)


@given(globes(), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_the_globe_has_its_area_and_a_constant_stays_constant(source: Cells, seed: int) -> None:
    assert source.area.sum() == pytest.approx(4 * np.pi, rel=1e-6)  # edges are rounded to 1e-4 degree
    field = np.where(np.isnan(random_field(source, seed=seed, missing=0.5)), np.nan, 7.0)
    mean = regrid(field, weights=Weights.between(source, target=Cells.of(GLOBE))).mean
    np.testing.assert_allclose(mean[np.isfinite(mean)], 7, rtol=1e-12)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("first", [-180, 0, -7])
def test_means_are_those_of_a_fine_grid(order: int, first: int) -> None:
    source = Cells.around(np.arange(-90, 91, 2.0)[::order], lon=(first + np.arange(0, 360, 3.0)), place="generated")
    field = random_field(source, seed=3, missing=0.3)
    target = LatLonGrid(1, 20, 1, 14, 22)
    result = regrid(field, weights=Weights.between(source, target=Cells.of(target)))
    # Sample the source at centres of 1/20 of a cell, whose latitudes have weights by their own cosine.
    fine = target.refine(20)
    row = np.clip(np.floor((fine.lat + 91) / 2), 0, 90).astype(int)
    row = row if order == 1 else 90 - row
    col = np.floor(((fine.lon - first + 1.5) % 360) / 3).astype(int)
    samples = field[np.ix_(row, col)]
    weight = np.broadcast_to(np.cos(np.radians(fine.lat))[:, None], fine.shape)
    blocks = (14, 20, 22, 20)
    valid = (np.isfinite(samples) * weight).reshape(blocks).sum(axis=(1, 3))
    total = np.nan_to_num(samples * weight).reshape(blocks).sum(axis=(1, 3))
    np.testing.assert_allclose(result.coverage, valid / weight.reshape(blocks).sum(axis=(1, 3)), atol=1e-6)
    np.testing.assert_allclose(result.mean[valid > 0], (total / np.where(valid, valid, 1))[valid > 0], atol=1e-5)
    assert result.coverage.min() == 0
    assert ((result.coverage > 0.1) & (result.coverage < 0.9)).any()


def test_a_row_centred_on_a_pole_is_half_as_high_and_one_beyond_it_has_no_area() -> None:
    lat, lon = np.arange(-85.0, 96, 5), np.arange(0, 360, 90.0)
    area = Cells.around(lat, lon=lon, place="generated").area
    assert area[-1].sum() == 0  # centred on 95 N
    assert area[-2].sum() == pytest.approx(2 * np.pi * (1 - np.sin(np.radians(87.5))))
    assert area[:-1].sum() == pytest.approx(2 * np.pi * (1 + np.sin(np.radians(87.5))))


def test_the_same_grid_in_single_precision_gives_the_same_field() -> None:
    target = LatLonGrid(3, 120, 200, 12, 15)
    centres = target.lat.astype(np.float32), target.lon.astype(np.float32)
    source = Cells.around(centres[0], lon=centres[1], place="generated")
    field = np.where(np.indices(target.shape).sum(axis=0) % 2, 1.0, np.nan)  # each cell's neighbours have no value
    exact = Cells.around(target.lat, lon=target.lon, place="generated")
    result = regrid(field, weights=Weights.between(source, target=exact))
    np.testing.assert_array_equal(result.mean, field)


def test_longitudes_from_0_to_360_and_from_180_w_give_the_same_field() -> None:
    west_first = Cells.around(np.arange(-89.0, 90, 2), lon=np.arange(-179.1, 180, 1.8), place="generated")
    east_first = Cells.around(np.arange(-89.0, 90, 2), lon=np.arange(0.9, 360, 1.8), place="generated")
    field = random_field(west_first, seed=5, missing=0.2)
    target = Cells.of(GLOBE)
    expected = regrid(field, weights=Weights.between(west_first, target=target))
    rotated = regrid(np.roll(field, 100, axis=1), weights=Weights.between(east_first, target=target))
    np.testing.assert_allclose(rotated.mean, expected.mean, rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(rotated.mean), np.isnan(expected.mean))


def test_the_needed_block_gives_what_the_whole_source_gives() -> None:
    source = Cells.around(np.arange(89.5, -90, -1), lon=np.arange(0.5, 360), place="generated")
    field = random_field(source, seed=7, missing=0.1)
    whole = Weights.between(source, target=Cells.of(cover_box((-104.1, 36, -80.5, 49.4))))
    block = whole.needed()
    assert block == (slice(40, 54), slice(255, 280))
    part = regrid(field[block], weights=whole.within(block))
    np.testing.assert_allclose(part.mean, regrid(field, weights=whole).mean, rtol=1e-13)
    far = Cells.around(np.array([-40.0, -39]), lon=np.array([10.0, 11]), place="generated")
    nowhere = Weights.between(far, target=Cells.of(cover_box((-104.1, 36, -80.5, 49.4)))).needed()
    assert nowhere == (slice(0, 0), slice(0, 0))


def test_a_stack_of_fields_is_regridded_field_by_field() -> None:
    source = Cells.around(np.arange(-89.0, 90, 2), lon=np.arange(-179.0, 180, 2), place="generated")
    stack = np.stack([random_field(source, seed=seed, missing=0.4) for seed in range(3)])
    weights = Weights.between(source, target=Cells.of(cover_box((-104.1, 36, -80.5, 49.4))))
    result = regrid(stack, weights=weights)
    for number, field in enumerate(stack):
        np.testing.assert_array_equal(result.mean[number], regrid(field, weights=weights).mean)
        np.testing.assert_array_equal(result.coverage[number], regrid(field, weights=weights).coverage)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        ([40.0], [1.0, 2.0]),
        ([40.0, 41.0, 43.0], [1.0, 2.0]),
        ([40.0, 41.0, 40.0], [1.0, 2.0]),
        ([40.0, 40.0], [1.0, 2.0]),
        ([40.0, np.nan], [1.0, 2.0]),
        ([40.0, 41.0], [1.0, 2.0, 4.0]),
        ([40.0, 41.0], np.arange(0, 362, 1.0)),
    ],
)
def test_centres_of_no_regular_grid_are_refused_by_name(lat: list[float], lon: list[float]) -> None:
    with pytest.raises(UserError, match=r"a file\.nc: l(at|ong)itudes"):
        Cells.around(np.array(lat), lon=np.array(lon), place="a file.nc")


def test_a_box_is_covered_by_the_half_degree_grid() -> None:
    grid = cover_box((-104.1, 36, -80.5, 49.4))
    assert grid == LatLonGrid(2, 81, 151, 27, 48)  # 27 x 48 cells, 36.0-49.5 N
    assert grid.lat[-1] == 36.25
    assert grid.lon[-1] == -80.75
    for box in [(-80, 36, -104, 49), (-104, 49, -80, 36), (100, 0, 200, 10), (0, -91, 1, 0)]:
        with pytest.raises(UserError, match="west < east"):
            cover_box(box)
