"""Distributions of parts add up to that of all values, and agree with NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from model.ranges import Range
from pipeline.inputs import distribution
from pipeline.inputs.distribution import Bounds, Distribution

BOUNDS = Bounds(-10, 30, trained=Range(0, 20))
some_values = arrays.arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-50, 50, width=32) | st.just(float("nan"))
)


@given(some_values, some_values)
def test_parts_add_up_to_the_whole(one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    whole, added = (
        Distribution.of(np.concatenate([one, other]), BOUNDS),
        Distribution.of(one, BOUNDS) + Distribution.of(other, BOUNDS),
    )
    np.testing.assert_array_equal(whole.bins, added.bins)
    assert (whole.missing, whole.untrained) == (added.missing, added.untrained)
    assert (whole.minimum, whole.maximum) == (added.minimum, added.maximum)
    np.testing.assert_allclose(whole.total, added.total, rtol=1e-12, atol=1e-12)


@given(some_values, st.sampled_from([1, 50, 99, 100]))
def test_a_spread_tells_what_numpy_tells(values: NDArray[np.float32], percent: int) -> None:
    found, present = Distribution.of(values, BOUNDS), values[np.isfinite(values)].astype(np.float64)
    assert (found.count, found.missing) == (present.size, np.isnan(values).sum())
    assert found.outside == ((present < BOUNDS.low) | (present > BOUNDS.high)).sum()
    assert found.untrained == ((present < 0) | (present > 20)).sum()
    if not present.size:
        assert np.isnan(found.mean)
        assert np.isnan(found.percentile(percent))
        return
    assert (found.minimum, found.maximum) == (present.min(), present.max())
    np.testing.assert_allclose(found.mean, present.mean(), rtol=1e-6, atol=1e-9)
    inside = np.percentile(present, percent, method="inverted_cdf")
    if BOUNDS.low <= inside <= BOUNDS.high:
        assert -1e-3 <= (inside - found.percentile(percent)) / BOUNDS.width <= 1.001


def test_values_at_the_bounds_lie_inside() -> None:
    found = Distribution.of(np.array([-10.0, 30.0]), BOUNDS)
    assert (found.outside, found.count) == (0, 2)
    beyond = Distribution.of(np.array([np.nextafter(-10, -11), np.nextafter(30, 31), np.inf]), BOUNDS)
    assert beyond.outside == 3


def test_a_large_array_is_reduced_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(5, 10, (7, 11, 13))
    whole = Distribution.of(values, BOUNDS)
    monkeypatch.setattr(distribution, "_PIECE", 10)
    pieces = Distribution.of(values, BOUNDS)
    np.testing.assert_array_equal(pieces.bins, whole.bins)
    np.testing.assert_allclose(pieces.mean, values.mean())


def test_without_bounds_values_are_counted_all_the_same() -> None:
    found = Distribution.of(np.array([1.0, 2.0, np.nan]), Bounds(-np.inf, np.inf))
    assert (found.count, found.missing, found.outside, found.mean) == (2, 1, 0, 1.5)
    assert np.isnan(found.percentile(50))
