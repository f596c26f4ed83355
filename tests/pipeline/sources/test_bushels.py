"""Bushels per acre and carbon."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.bushels import GRAINS, yield_bu_ac, yield_gc_m2


def test_a_bushel_is_carbon_by_weight_area_moisture_and_carbon_content() -> None:
    """The factors as published, from other constants: metric tons per pound, hectares per square metre."""
    for code, published, moisture, carbon, pounds in ((1, 2.383915, 0.156, 0.45, 56), (5, 3.159454, 0.13, 0.54, 60)):
        assert GRAINS[code].gc_m2_per_bu_ac == pytest.approx(published, abs=2e-6)
        per_gc = 1 / carbon / (1 - moisture) * 0.00220462 / pounds / 0.000247105
        assert 1 / GRAINS[code].gc_m2_per_bu_ac == pytest.approx(per_gc, rel=2e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1, 300), st.sampled_from([1, 5])), min_size=1))
def test_bushels_and_carbon_convert_both_ways(yields: list[tuple[float, int]]) -> None:
    bushels, crop = (pd.Series(column) for column in zip(*yields, strict=True))
    np.testing.assert_allclose(yield_bu_ac(yield_gc_m2(bushels, crop), crop), bushels)
