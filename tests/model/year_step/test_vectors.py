"""Vectors of cells: every lane is IEEE arithmetic of its own, and NaN is never lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from model.year_step.vectors import EXP2_LIMIT, Lanes, exp2, fma, load, positive, splat, store, weight


@njit
def _applied(lanes: Any, x_3V: Any, out_KV: Any) -> None:
    x, y, z = load(lanes, x_3V, 0), load(lanes, x_3V, 1), load(lanes, x_3V, 2)
    for row, cells in enumerate((x + y, x - y, x * y, x / y, fma(x, y, z), positive(x))):
        store(lanes, out_KV, row, cells)
    store(lanes, out_KV, 6, splat(lanes, np.float32(3)) + weight(lanes, x_3V, 1))


@njit
def _powers(lanes: Any, x_KV: Any, out_KV: Any) -> None:
    for row in range(x_KV.shape[0]):
        store(lanes, out_KV, row, exp2(load(lanes, x_KV, row)))


@pytest.mark.parametrize("lanes", [4, 16])
def test_operations_are_those_of_numpy_on_each_cell(lanes: int) -> None:
    x = np.random.default_rng(1).normal(size=(3, lanes)).astype(np.float32)
    out = np.full((7, lanes), np.nan, np.float32)
    _applied(Lanes(lanes), x, out)
    exact = x[0].astype(np.float64) * x[1] + x[2]  # the product of two float32 is exact in double precision
    expected = [x[0] + x[1], x[0] - x[1], x[0] * x[1], x[0] / x[1], exact.astype(np.float32), np.maximum(x[0], 0)]
    np.testing.assert_array_equal(out[:6], np.array(expected, np.float32))
    np.testing.assert_array_equal(out[6], np.float32(3) + x[0, 1])


def test_powers_of_two_are_right_to_2e_7_and_exact_at_integers() -> None:
    x = np.linspace(-EXP2_LIMIT, EXP2_LIMIT, 4 * 100_001, dtype=np.float32).reshape(-1, 4)
    out = np.empty_like(x)
    _powers(Lanes(4), x, out)
    assert np.abs(out / np.exp2(x.astype(np.float64)) - 1).max() < 2e-7
    whole = np.arange(-60, 60, dtype=np.float32).reshape(-1, 4)
    powers = np.empty_like(whole)
    _powers(Lanes(4), whole, powers)
    np.testing.assert_array_equal(powers, np.exp2(whole))


def test_arguments_beyond_the_limit_count_as_the_limit_and_nan_stays_nan() -> None:
    x = np.array([[-1e30, -np.inf, 61, np.inf], [np.nan, -np.nan, 0, 1]], np.float32)
    out = np.empty_like(x)
    _powers(Lanes(4), x, out)
    limits = np.exp2(np.float32([-EXP2_LIMIT, -EXP2_LIMIT, EXP2_LIMIT, EXP2_LIMIT]))
    np.testing.assert_array_equal(out, np.array([limits, [np.nan, np.nan, 1, 2]], np.float32))
    values = np.full((3, 4), np.nan, np.float32)
    results = np.zeros((7, 4), np.float32)
    _applied(Lanes(4), values, results)
    assert np.isnan(results).all()
