"""The cube's layout: rounding of what is stored, cells on their tile."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.cube.layout import on_tile, rounded


@given(arrays(np.float32, st.integers(1, 50), elements=st.floats(-1000, 1000, width=32)))
def test_rounding_errs_by_at_most_half_a_step_and_keeps_what_is_rounded(values: np.ndarray) -> None:
    once = rounded(values)
    normal = np.abs(values) > np.finfo(np.float32).tiny
    assert (np.abs(once - values)[normal] <= np.abs(values[normal]) * 4.9e-4).all()
    np.testing.assert_array_equal(rounded(once), once)


def test_rounding_keeps_missing_values_and_leaves_its_input_alone() -> None:
    values = np.array([np.nan, 1.0001, -3.33333], np.float32)
    copy = values.copy()
    assert np.isnan(rounded(values)[0])
    np.testing.assert_array_equal(values, copy)


def test_values_of_cells_come_back_from_their_tile() -> None:
    mask = np.random.default_rng(0).random((6, 6)) < 0.5
    values = np.arange(3 * mask.sum(), dtype=np.float32).reshape(3, -1)
    tile = on_tile(values, mask, fill=np.nan)
    np.testing.assert_array_equal(tile[:, mask], values)
    assert np.isnan(tile[:, ~mask]).all()
