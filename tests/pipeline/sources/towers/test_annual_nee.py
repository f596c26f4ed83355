"""Annual NEE and its uncertainty, from values known by hand and from files of days and months of the same years."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.sources.towers.read import read_annual_nee

HEAD = "TIMESTAMP,NEE_VUT_REF,NEE_VUT_REF_RANDUNC,NEE_VUT_25,NEE_VUT_75"


def write(path: Path, stamps: list[str], *, head: str = HEAD, values: str = "-1,0.5,-1.2,-0.9") -> Path:
    path.write_text("\n".join([head, *(f"{stamp},{values}" for stamp in stamps)]))
    return path


def test_days_are_summed_and_random_errors_are_independent(tmp_path: Path) -> None:
    days = pd.date_range("2003-01-01", "2005-06-30").strftime("%Y%m%d").tolist()
    found = read_annual_nee(write(tmp_path / "FLX_US-Ne1_x_DD.csv", days))
    assert found.index.tolist() == [2003, 2004]  # 2005 is not complete
    for year, length in ((2003, 365), (2004, 366)):
        assert found.loc[year, "nee"] == pytest.approx(-length)
        threshold = 0.15 * length / 0.6745  # half the distance of the quartiles, over that of the normal distribution
        assert found.loc[year, "nee_sd"] == pytest.approx(np.hypot(0.5 * length**0.5, threshold))


def test_months_are_means_of_their_days(tmp_path: Path) -> None:
    months = [f"2004{month:02d}" for month in range(1, 13)]
    found = read_annual_nee(write(tmp_path / "FLX_US-Ne2_x_MM.csv", months))
    days = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    assert found.loc[2004, "nee"] == pytest.approx(-366)
    random, threshold = 0.5 * (days**2).sum() ** 0.5, 0.15 * 366 / 0.6745
    assert found.loc[2004, "nee_sd"] == pytest.approx(np.hypot(random, threshold))


def test_without_quartiles_the_uncertainty_is_unknown_and_without_days_there_is_no_year(tmp_path: Path) -> None:
    days = pd.date_range("2003-01-01", "2003-12-31").strftime("%Y%m%d").tolist()
    plain = write(tmp_path / "FLX_US-Ne1_x_DD.csv", days, head="TIMESTAMP,NEE_VUT_REF", values="-1")
    assert read_annual_nee(plain)["nee"].tolist() == [-365]
    assert read_annual_nee(plain)["nee_sd"].isna().all()
    hours = write(tmp_path / "hours.csv", ["200301010000"], head="TIMESTAMP_START,NEE_VUT_REF", values="-1")
    assert read_annual_nee(hours).empty


@pytest.mark.realdata
def test_real_days_and_months_have_the_same_sums_and_the_random_part_is_similar(realdata: Path) -> None:
    days = read_annual_nee(
        realdata / "fluxnet/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2001-2004.csv",
        realdata / "towers/FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2005-2009.csv",
    )
    months = read_annual_nee(realdata / "towers/FLX_US-Ne1_FLUXNET2015_SUBSET_MM_2001-2006.csv")
    both = days.index.intersection(months.index)
    assert both.tolist() == [2002, 2003, 2004, 2005, 2006]
    np.testing.assert_allclose(days.loc[both, "nee"], months.loc[both, "nee"], atol=0.5)
    assert days["nee_sd"].between(30, 80).all()
    # Quartiles of days, summed, are further apart than those of months.
    assert (months.loc[both, "nee_sd"] < days.loc[both, "nee_sd"]).all()
