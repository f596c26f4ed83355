"""The correction of a tower's GPP, on drawn series and on the real record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.towers.gpp import corrected_gpp
from pipeline.sources.towers.read import read_tower

FLUX = st.one_of(st.just(float("nan")), st.floats(-60, 60))


@given(st.lists(st.tuples(FLUX, FLUX, FLUX), min_size=1, max_size=20))
def test_the_balance_closes_wherever_reco_and_nee_are_given_and_else_the_product_stays(rows: list[tuple]) -> None:
    reco, nee, product = (pd.Series(column, dtype=float) for column in zip(*rows, strict=True))
    gpp = corrected_gpp(reco, nee, product=product)
    balanced = reco.notna() & nee.notna()
    np.testing.assert_allclose((reco - gpp - nee)[balanced], 0, atol=1e-12)
    pd.testing.assert_series_equal(gpp[~balanced], product[~balanced])


@pytest.mark.realdata
def test_the_correction_of_the_real_tower_takes_a_tenth_of_a_gram_a_day_and_clips_nothing(realdata: Path) -> None:
    file = next((realdata / "fluxnet").glob("*_DD_*.csv"))
    raw, gpp = pd.read_csv(file, na_values=-9999), read_tower(file).gpp.to_numpy()
    both = raw[["RECO_NT_VUT_REF", "NEE_VUT_REF"]].notna().all(axis=1)
    np.testing.assert_array_equal(gpp[both], (raw["RECO_NT_VUT_REF"] - raw["NEE_VUT_REF"])[both])
    assert np.nanmean(gpp - raw["GPP_NT_VUT_REF"]) == pytest.approx(-0.110, abs=0.001)
    assert np.nanmin(gpp) == pytest.approx(-1.82, abs=0.005)
