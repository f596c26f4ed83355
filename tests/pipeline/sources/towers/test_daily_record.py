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


def test_gpp_is_reco_minus_nee_then_the_product_then_zero(tmp_path: Path) -> None:
    tower = read_tower(write_fluxnet(tmp_path, ROWS))
    assert tower.site == "US-Ne1"
    assert list(tower.gpp) == [5, -1, 5, 7, 0, 5]
    assert list(tower.without_gpp) == [False] * 4 + [True, False]
    assert list(tower.scored(0.75)) == [True, True, False, False, False, False]


def test_every_mask_is_counted_in_the_notes(tmp_path: Path) -> None:
    closing, missing, poor, water = read_tower(write_fluxnet(tmp_path, ROWS)).notes(0.75)
    assert "(RECO_NT_VUT_REF, NEE_VUT_REF), below 0 on 1 of 6 days" in closing
    assert missing.startswith("2 days have no Reco or NEE")
    assert "product (GPP_NT_VUT_REF) on 1 and 0 on 1" in missing
    assert poor.startswith("2 days with NEE_VUT_REF_QC below 0.75")
    assert "irrigated" in water


def test_days_without_a_row_are_missing_not_dropped(tmp_path: Path) -> None:
    tower = read_tower(write_fluxnet(tmp_path, ROWS)).on(pd.date_range("2003-01-05", "2003-01-08"))
    assert list(tower.gpp) == [0, 5, 0, 0]
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
