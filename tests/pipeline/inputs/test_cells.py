"""The cells whose GPP is stored: those that a mask can need, whatever the crops."""

from __future__ import annotations

import numpy as np
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from zarr.storage import MemoryStore

from pipeline.inputs.cells import LEAST_SHARE, CellRule
from pipeline.simulate.crops import modelled

YEARS = (2010, 2012)


@given(
    arrays(np.float32, (2, 2, 4, 6), elements=st.floats(0, 0.5, width=32) | st.just(np.float32(np.nan))),
    st.floats(0, 1),
)
def test_no_modelled_cell_is_without_gpp(fractions_Y2: np.ndarray, threshold: float) -> None:
    root = zarr.open_group(MemoryStore(), mode="w")
    for year, fractions in zip(YEARS, fractions_Y2, strict=True):
        for crop, values in zip(("corn", "soybean"), fractions, strict=True):
            root.create_array(f"crop/{year}/{crop}_fraction", data=values)
    rule = CellRule(YEARS, min(LEAST_SHARE, threshold))
    stored = rule.stored(root, (slice(1, 4), slice(0, 6)))
    shares = fractions_Y2.astype(np.float64).sum(axis=1).mean(axis=0)[1:4]
    clear = np.abs(shares - rule.least_share) > 1e-5
    np.testing.assert_array_equal(stored[clear], (shares >= rule.least_share)[clear])
    assert (stored >= modelled(fractions_Y2, threshold)[1:4]).all()
