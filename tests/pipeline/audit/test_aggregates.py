"""Aggregates compared with stored ones: by value, and by where values are."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.audit.aggregates import difference

NAN = np.nan


@pytest.mark.parametrize(
    ("stored", "fresh", "expected"),
    [
        ([1.0, 4.0], [1.0, 5.0], 0.2),
        ([1.0, NAN], [1.0, NAN], 0.0),
        ([1.0, NAN], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [1.0, NAN], np.inf),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], np.inf),
        ([NAN], [NAN], 0.0),
    ],
)
def test_differences_are_relative_to_the_largest_value(
    stored: list[float], fresh: list[float], expected: float
) -> None:
    assert difference(np.array(stored), np.array(fresh)) == pytest.approx(expected)
