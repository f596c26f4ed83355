"""The daily record of a tower: GPP that closes the balance, and masks that are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.sources.towers.read import read_tower
from tests.helpers.tower_files import (
    ROWS,
    write_fluxnet,
)


def test_gpp_is_reco_minus_nee_then_the_product(tmp_path: Path) -> None:
    tower = read_tower(write_fluxnet(tmp_path, ROWS))
    assert tower.site == "US-Ne1"
    np.testing.assert_array_equal(tower.gpp, [5, -1, 5, 7, np.nan, 5])
    assert list(tower.without_gpp) == [False] * 4 + [True, False]
    assert list(tower.scored(0.75)) == [True, True, False, False, False, False]


def test_every_mask_is_counted_in_the_notes(tmp_path: Path) -> None:
    rest = [f"{day:%Y%m%d},1,-2,1,3,5,3,5" for day in pd.date_range("2003-01-07", "2003-12-31")]
    closing, missing, poor = read_tower(write_fluxnet(tmp_path, [*ROWS, *rest])).notes(0.75)
    assert "(RECO_NT_VUT_REF, NEE_VUT_REF), below 0 on 1 of 365 days" in closing
    assert missing.startswith("2 days have no Reco or NEE")
    assert (
        "product (GPP_NT_VUT_REF) on 1, interpolated on 0 days of the growing season, and 0 on 1 of the dormant"
        in missing
    )
    assert poor.startswith("2 days with NEE_VUT_REF_QC below 0.75")


def test_a_year_with_a_gap_too_long_is_missing_on_all_days_and_no_other_year_is(tmp_path: Path) -> None:
    days = pd.date_range("2003-01-01", "2004-12-31")
    tower = read_tower(write_fluxnet(tmp_path, [f"{day:%Y%m%d},1,-2,1,3,5,3,5" for day in days]))
    tower.days.loc["2003-10-01":"2003-12-31", ["nee", "gpp_product"]] = np.nan
    tower.days.loc["2004-10-28":"2004-12-31", ["nee", "gpp_product"]] = np.nan
    filled = tower.filled_gpp()
    assert filled.too_long == {2003: 31}  # 1 to 31 October
    assert filled.days[:365].isna().all()
    np.testing.assert_allclose(filled.days["2004-10-27":"2004-10-31"], [5, 3.75, 2.5, 1.25, 0])
    assert (filled.interpolated, filled.dormant) == (3, 62)
    assert filled.why_without() == (
        "no GPP on 31 consecutive days of 2003; a gap of the growing season is filled up to 10 days"
    )


def test_days_without_a_row_are_missing_not_dropped(tmp_path: Path) -> None:
    tower = read_tower(write_fluxnet(tmp_path, ROWS)).on(pd.date_range("2003-01-05", "2003-01-08"))
    np.testing.assert_array_equal(tower.gpp, [np.nan, 5, np.nan, np.nan])
    assert not tower.scored(0).any()


def test_only_years_with_every_day_are_complete(tmp_path: Path) -> None:
    stamps = pd.date_range("2003-12-31", "2005-12-30").strftime("%Y%m%d")
    assert read_tower(write_fluxnet(tmp_path, [f"{stamp},1,0,1,0,0,0,0" for stamp in stamps])).complete_years == [2004]


def test_a_lone_spike_is_missing_and_counted(tmp_path: Path) -> None:
    stamps = pd.date_range("2003-01-01", periods=200).strftime("%Y%m%d")
    rows = [f"{stamp},1,-2,1,3,5,3,5" for stamp in stamps]
    tower = read_tower(write_fluxnet(tmp_path, [rows[0].replace("-2", "-60"), *rows[1:]]))
    assert list(np.flatnonzero(tower.days["nee"].isna())) == [0]
    assert "1 values beyond 50 g C m-2 d-1 are taken as missing." in tower.reading
