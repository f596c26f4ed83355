"""Yields at the GPP of real fields beside real yields of Illinois."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pipeline.evaluation.field_yields as field_yields
from model.checkpoint import Checkpoint
from model.data.records import SiteSequences
from model.evaluation.scores import predicted_carbon
from model.features import CORN, CROP_NAMES, SOYBEAN
from pipeline.evaluation.field_yields import compare_yields, illinois_sites, observed_yields


@pytest.fixture(scope="module")
def sites() -> SiteSequences:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field_yields, "YEARS", range(2003, 2007))
        return illinois_sites(3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "yields").mkdir()
    rows = "2003,17,19,40\n2004,17,19,50\n2003,19,1,90"  # two of Illinois, one of Iowa
    (tmp_path / "yields/county_soybean_yield_2003-2004.csv").write_text(
        f"year,state_fips,county_fips,yield_bu_ac\n{rows}"
    )
    return tmp_path


def test_only_site_years_with_the_gpp_of_fields_are_compared_with_illinois(
    checkpoint: Checkpoint, sites: SiteSequences, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(field_yields, "GPP_RANGE", {CORN: (0.0, 1e9), SOYBEAN: (600.0, 900.0)})
    table = compare_yields(checkpoint, sites, data=data).table.set_index("crop")
    grain = predicted_carbon(checkpoint.network(), sites.x_NYTF, scalers=checkpoint.scalers).yield_NY
    gpp = sites.x_NYTF[..., 8].sum(-1)
    for crop, low, high in ((CORN, 0, 1e9), (SOYBEAN, 600, 900)):
        chosen = (sites.crop_NY == crop) & (gpp >= low) & (gpp <= high)
        row = table.loc[CROP_NAMES[crop]]
        assert row["site_years"] == chosen.sum()
        assert row["predicted"] == pytest.approx(grain[chosen].mean(), rel=1e-5)
    bushel = 60 * 453.59237 / 4046.8564224 * 0.87 * 0.54
    assert table.loc["soybean", "observed"] == pytest.approx(45 * bushel)
    assert table.loc["soybean", "ratio"] == pytest.approx(table.loc["soybean", "predicted"] / (45 * bushel))
    assert np.isnan(table.loc["corn", "ratio"])  # no QuickStats export
    assert (table.loc["soybean", "observed_years"], table.loc["corn", "observed_years"]) == ("2003-2004", "-")


def test_the_residual_is_that_of_every_site_year(checkpoint: Checkpoint, sites: SiteSequences, tmp_path: Path) -> None:
    result = compare_yields(checkpoint, sites, data=tmp_path)
    carbon = predicted_carbon(checkpoint.network(), sites.x_NYTF, scalers=checkpoint.scalers)
    residual = (carbon.gpp_NYT - carbon.ra_NYT - carbon.rh_NYT + carbon.nee_NYT).sum(-1, dtype=np.float64)
    np.testing.assert_allclose(result.imbalance, residual.ravel(), atol=0.05)
    assert f"mean absolute {np.abs(residual).mean():.1f}" in result.notes[1]
    assert result.table["site_years"].sum() < residual.size


@pytest.mark.realdata
def test_real_yields_of_illinois_have_their_level(realdata: Path) -> None:
    means = observed_yields(realdata).groupby("crop")["yield_gc_m2"].agg(["mean", "size"])
    assert means["size"].min() > 500
    # 178 bushels of corn and 44 of soybean per acre.
    assert means["mean"].to_dict() == pytest.approx({CORN: 423, SOYBEAN: 140}, abs=4)
