"""A weighted histogram gives the quantiles of its values."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.analysis.spread import Spread


def test_quantiles_are_those_of_weighted_values_to_a_bin() -> None:
    rng = np.random.default_rng(1)
    values, area = rng.normal(0, 1, 5000), rng.random(5000)
    spread = Spread(-10, 10)
    for part in (slice(0, 1200), slice(1200, None)):
        spread.add(values[part], area[part])
    for share in (0.1, 0.5, 0.9):
        expected = np.quantile(values, share, weights=area, method="inverted_cdf")
        assert spread.quantile(share) == pytest.approx(expected, abs=spread.width)


def test_shares_between_edges_add_up_and_nan_counts_in_nothing() -> None:
    spread = Spread(-4, 4)
    spread.add(np.array([-1.0, 0.2, np.nan, 9.0]), np.array([1.0, 2.0, 5.0, 1.0]))
    np.testing.assert_allclose(spread.coarser([-4, 0, 2, 4]), [0.25, 0.5, 0.25])
    assert np.isnan(Spread(0, 1).quantile(0.5))
