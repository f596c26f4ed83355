"""Tower files: GPP that closes the balance, masks that are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.sources.fluxnet import read_tower

COLUMNS = "TIMESTAMP,TA_F,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF,RECO_DT_VUT_REF,GPP_DT_VUT_REF"
ROWS = [
    "20030101,1,-2,1.0,3,5.5,4,6",  # GPP = 5
    "20030102,1,4,0.9,3,0.1,4,0",  # GPP = -1, kept
    "20030103,1,-2,0.5,3,5.5,4,6",  # poor
    "20030104,1,-9999,1.0,3,7,4,6",  # product
    "20030105,1,-2,1.0,-9999,-9999,4,6",  # 0
    "20030106,1,-2,-9999,3,5.5,4,6",  # no quality: poor
]


def _write(folder: Path, rows: list[str], *, columns: str = COLUMNS) -> Path:
    path = folder / "FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2003-2003_1-4.csv"
    path.write_text("\n".join([columns, *rows]))
    return path


def test_gpp_is_reco_minus_nee_then_the_product_then_zero(tmp_path: Path) -> None:
    tower = read_tower(_write(tmp_path, ROWS))
    assert tower.site == "US-Ne1"
    assert list(tower.gpp) == [5, -1, 5, 7, 0, 5]
    assert list(tower.scored(0.75)) == [True, True, False, False, False, False]


def test_the_day_time_partitioning_is_read_by_name(tmp_path: Path) -> None:
    assert list(read_tower(_write(tmp_path, ROWS), partitioning="DT").gpp) == [6, 0, 6, 6, 6, 6]


def test_every_mask_is_counted_in_the_notes(tmp_path: Path) -> None:
    closing, missing, poor, water = read_tower(_write(tmp_path, ROWS)).notes(0.75)
    assert "below 0 on 1 of 6 days" in closing
    assert missing.startswith("2 days have no Reco or NEE")
    assert "product on 1 and 0 on 1" in missing
    assert poor.startswith("2 days with NEE_VUT_REF_QC below 0.75")
    assert "irrigated" in water


def test_days_that_the_file_lacks_are_missing_not_dropped(tmp_path: Path) -> None:
    tower = read_tower(_write(tmp_path, ROWS)).on(pd.date_range("2003-01-05", "2003-01-08"))
    assert list(tower.gpp) == [0, 5, 0, 0]
    assert not tower.scored(0).any()


def test_only_whole_years_count_as_whole(tmp_path: Path) -> None:
    stamps = pd.date_range("2003-12-31", "2005-12-30").strftime("%Y%m%d")
    assert read_tower(_write(tmp_path, [f"{stamp},1,0,1,0,0,0,0" for stamp in stamps])).whole_years == [2004]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, COLUMNS.replace("NEE_VUT_REF,", "NEE_CUT_REF,"), "missing columns"),
        (ROWS, COLUMNS.replace("TIMESTAMP", "TIMESTAMP_START"), "daily file"),
        ([ROWS[0], ROWS[0]], COLUMNS, "'20030101' in row 2"),
        ([ROWS[1].replace("20030102", "200301020030")], COLUMNS, "in row 1"),
        ([ROWS[0].replace("-2", "low")], COLUMNS, "NEE_VUT_REF holds values that are not numbers"),
    ],
)
def test_faulty_files_are_refused_by_name(tmp_path: Path, rows: list[str], columns: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_tower(_write(tmp_path, rows, columns=columns))


@pytest.mark.realdata
def test_the_real_tower_has_the_figures_that_its_index_gives(realdata: Path) -> None:
    tower = read_tower(next((realdata / "fluxnet").glob("*_DD_*.csv")))
    assert len(tower.days) == 1312
    assert (tower.gpp < 0).sum() == 421
    assert tower.whole_years == [2002, 2003, 2004]
    product_gap = np.abs(tower.gpp - tower.days["gpp_product"])
    assert 0.05 < product_gap.mean() < 0.3  # the product does not close the balance
