"""Overviews equal means over cells that are computed in one go, for any number of tiles."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.export.plain_zarr import overviews
from pipeline.export.plain_zarr.overviews import Area, Majority, Mean

EDGE = 3


def _levels(rule: overviews.Rule, values_YX: NDArray, area_YX: NDArray) -> dict[int, NDArray]:
    """Return the maps of all levels, made tile by tile; a tile without area is absent."""
    tiles_yx = (values_YX.shape[0] // EDGE, values_YX.shape[1] // EDGE)
    found: dict[int, NDArray] = {}

    def read(row: int, col: int) -> NDArray | None:
        tile = np.s_[row * EDGE : (row + 1) * EDGE, col * EDGE : (col + 1) * EDGE]
        return rule.sums(values_YX[tile], area_YX[tile]) if area_YX[tile].any() else None

    def write(level: int, row: int, col: int, sums: NDArray) -> None:
        blocks = [-(-count >> level) for count in tiles_yx]
        whole = found.setdefault(level, np.full([count * EDGE for count in blocks], np.nan))
        whole[row * EDGE : (row + 1) * EDGE, col * EDGE : (col + 1) * EDGE] = rule.values(sums)

    overviews.make(tiles_yx, read, write)
    assert sorted(found) == list(range(1, overviews.levels(tiles_yx) + 1))
    return found


def _world(tiles_yx: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Return values with gaps, and areas with cells that are not modelled and a tile without any."""
    rng, shape = np.random.default_rng(5), (tiles_yx[0] * EDGE, tiles_yx[1] * EDGE)
    area = np.repeat(rng.uniform(5e4, 6e4, shape[0])[:, None], shape[1], axis=1) * (rng.random(shape) < 0.6)
    area[:EDGE, :EDGE] = 0
    return np.where(rng.random(shape) < 0.9, rng.normal(size=shape), np.nan), area


def _cells(array: NDArray, level: int, row: int, col: int) -> NDArray:
    size = 2**level
    return array[row * size : (row + 1) * size, col * size : (col + 1) * size].ravel()


@pytest.mark.parametrize("tiles_yx", [(1, 2), (2, 2), (3, 5), (4, 1)])
def test_a_mean_is_the_area_weighted_one_over_all_cells_with_a_value(tiles_yx: tuple[int, int]) -> None:
    values, area = _world(tiles_yx)
    for level, found in _levels(Mean(), values, area).items():
        areas = _levels(Area(), values, area)[level]
        for row, col in np.ndindex(found.shape):
            cells, weights = _cells(values, level, row, col), _cells(area, level, row, col)
            known = np.isfinite(cells) & (weights > 0)
            if not known.any():
                assert np.isnan(found[row, col])
                assert np.isnan(areas[row, col]), "no area is no value, not zero"
                continue
            assert found[row, col] == pytest.approx(np.average(cells[known], weights=weights[known]), rel=1e-12)
            assert areas[row, col] == pytest.approx(weights[known].sum(), rel=1e-12)


def test_the_total_of_every_level_is_that_of_the_cells() -> None:
    values, area = _world((3, 5))
    total = np.nansum(values * area)
    means, areas = _levels(Mean(), values, area), _levels(Area(), values, area)
    for level, found in means.items():
        assert np.nansum(found * areas[level]) == pytest.approx(total, rel=1e-10)


def test_a_code_is_the_one_with_the_largest_area_and_of_equal_areas_the_lowest() -> None:
    codes = np.array([[0, 5, 1], [5, 5, 1], [1, 1, 5]])
    area = np.array([[1.0, 1, 3], [1, 1, 3], [1, 1, 6]])
    found = _levels(Majority((0, 1, 5)), np.tile(codes, (1, 2)), np.hstack([area, np.zeros((3, 3))]))
    assert found[1][0, 0] == 5, "three cells against one"
    assert found[1][0, 1] == 1, "cells without area do not count"
    assert found[1][1, 1] == 5
    tied = _levels(Majority((0, 1, 5)), np.array([[5, 1, 0], [1, 5, 0], [0, 0, 0]]), np.ones((3, 3)))
    assert tied[1][0, 0] == 1
    assert found[1][0, 2] == 0, "no modelled cell"
