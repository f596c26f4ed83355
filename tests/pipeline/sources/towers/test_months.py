"""Monthly fluxes of FLUXNET: their units, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.sources.towers.read import TowerMonths, read_tower, read_tower_months
from tests.helpers.tower_files import FLUXNET, write_fluxnet, write_zip

MONTHS = [
    "200401,1,-2,1.0,3,5.5,4,6",
    "200402,1,4,0.9,3,0.1,4,0",
    "200403,1,-2,0.5,3,5.5,4,6",  # poor
    "200404,1,-9999,1.0,3,7,4,6",
]


def sums_of(tower: TowerMonths, *, min_qc: float) -> pd.DataFrame:
    """Sums by month of what can be scored [g C m-2 month-1]."""
    means = tower.scored(min_qc)
    return means.mul(pd.Series(pd.DatetimeIndex(means.index).days_in_month, means.index), axis=0)


def test_sums_are_means_of_days_times_the_days_of_the_month_and_poor_months_are_masked(tmp_path: Path) -> None:
    tower = read_tower_months(write_fluxnet(tmp_path, MONTHS))
    assert tower.gpp.tolist() == [5, -1, 5, 7]
    sums = sums_of(tower, min_qc=0.75)
    assert sums["reco"].tolist()[:2] == [31 * 3, 29 * 3]  # a leap year
    assert sums["nee"].tolist()[:2] == [31 * -2, 29 * 4]
    assert sums["gpp"].tolist()[:2] == [31 * 5, 29 * -1]
    assert sums.iloc[2:].isna().all(axis=None)
    day_time = read_tower_months(write_fluxnet(tmp_path, MONTHS), partitioning="DT")
    assert day_time.months["reco"].tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([MONTHS[1], MONTHS[0]], "'200401' in row 2 is not the YYYYMM of a later month"),
        (["20040101,1,-2,1.0,3,5.5,4,6"], "give the monthly file"),
        (["2004,1,-2,1.0,3,5.5,4,6"], "yearly file; give the MM file"),
        (["200413,1,-2,1.0,3,5.5,4,6"], "'200413' in row 1"),
        (["200401,1,-2,2,3,5.5,4,6"], "that of a month is the share of good half-hours"),
        (["200401,1,-62,1,3,5.5,4,6"], "exceed 50 g C m-2 d-1"),
    ],
)
def test_files_that_are_not_monthly_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_tower_months(write_fluxnet(tmp_path, rows))


def test_of_an_archive_the_months_are_taken(tmp_path: Path) -> None:
    columns = "TIMESTAMP,TA_F,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF"
    months = f"{columns}\n200401,1,-2,1,3,5\n"
    tower = read_tower_months(write_zip(tmp_path, {FLUXNET.format("DD"): "broken", FLUXNET.format("MM"): months}))
    assert sums_of(tower, min_qc=0).loc["2004-01-01", "gpp"] == 31 * 5
    with pytest.raises(UserError, match="holds no MM file"):
        read_tower_months(write_zip(tmp_path, {FLUXNET.format("DD"): "broken"}))


@pytest.mark.realdata
def test_real_months_are_the_means_of_the_days_of_the_daily_file(realdata: Path) -> None:
    months = read_tower_months(realdata / "towers" / "FLX_US-Ne1_FLUXNET2015_SUBSET_MM_2001-2006.csv")
    days = read_tower(next((realdata / "fluxnet").glob("*_DD_*.csv"))).days.loc["2002":"2004"]
    means = days[["reco", "nee", "qc"]].resample("MS").mean()
    known = days[["reco", "nee"]].notna().all(axis=1).resample("MS").mean() == 1
    assert known.sum() > 24
    same = months.months.loc[means.index, means.columns][known]
    # The monthly quality is that of all half-hours, as the mean of the days'.
    np.testing.assert_allclose(same, means[known], atol=2e-3)


@pytest.mark.realdata
@pytest.mark.parametrize("site", ["US-Ne1", "US-Ne2", "US-Ne3"])
def test_all_real_months_are_read_and_those_before_the_towers_began_are_masked(realdata: Path, site: str) -> None:
    tower = read_tower_months(realdata / "towers" / f"FLX_{site}_FLUXNET2015_SUBSET_MM_2001-2006.csv")
    assert tower.site == site
    sums = sums_of(tower, min_qc=0.75)
    assert sums.index.equals(pd.date_range("2001-01-01", "2006-12-01", freq="MS"))
    assert sums.loc[:"2001-05-01"].isna().all(axis=None)
    np.testing.assert_allclose(sums["reco"] - sums["gpp"], sums["nee"], atol=1e-9)
    july = sums[sums.index.month == 7]
    assert july["gpp"].between(200, 900).all()
