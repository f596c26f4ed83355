"""FLUXNET files: GPP that closes the balance, masks that are counted, days made of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.sources.towers.read import read_tower

COLUMNS = "TIMESTAMP,TA_F,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF,RECO_DT_VUT_REF,GPP_DT_VUT_REF"
STEP_COLUMNS = COLUMNS.replace("TIMESTAMP", "TIMESTAMP_START,TIMESTAMP_END")
ROWS = [
    "20030101,1,-2,1.0,3,5.5,4,6",  # GPP = 5
    "20030102,1,4,0.9,3,0.1,4,0",  # GPP = -1, kept
    "20030103,1,-2,0.5,3,5.5,4,6",  # poor
    "20030104,1,-9999,1.0,3,7,4,6",  # product
    "20030105,1,-2,1.0,-9999.0,-9999,4,6",  # 0
    "20030106,1,-2,-9999,3,5.5,4,6",  # no quality: poor
]
GC_PER_UMOL = 12.011e-6


def _write(folder: Path, rows: list[str], *, columns: str = COLUMNS) -> Path:
    path = folder / "FLX_US-Ne1_FLUXNET2015_SUBSET_DD_2003-2003_1-4.csv"
    path.write_text("\n".join([columns, *rows]))
    return path


def _steps(nee: np.ndarray, *, minutes: int = 30, start: str = "2003-03-08", qc: int = 0) -> list[str]:
    """Rows of a file whose NEE is given step by step [umol m-2 s-1], Reco 6 and GPP 1."""
    begins = pd.date_range(start, periods=len(nee), freq=f"{minutes}min")
    ends = begins + pd.Timedelta(minutes=minutes)
    stamps = zip(begins.strftime("%Y%m%d%H%M"), ends.strftime("%Y%m%d%H%M"), nee, strict=True)
    return [f"{begin},{end},1,{float(value)!r},{qc},6,1,6,1" for begin, end, value in stamps]


def test_gpp_is_reco_minus_nee_then_the_product_then_zero(tmp_path: Path) -> None:
    tower = read_tower(_write(tmp_path, ROWS))
    assert tower.site == "US-Ne1"
    assert list(tower.gpp) == [5, -1, 5, 7, 0, 5]
    assert list(tower.without_gpp) == [False] * 4 + [True, False]
    assert list(tower.scored(0.75)) == [True, True, False, False, False, False]


def test_the_day_time_partitioning_is_read_by_name(tmp_path: Path) -> None:
    assert list(read_tower(_write(tmp_path, ROWS), partitioning="DT").gpp) == [6, 0, 6, 6, 6, 6]


def test_columns_are_found_wherever_they_stand(tmp_path: Path) -> None:
    order = [4, 0, 7, 3, 2, 6, 1, 5]
    rows = [",".join(row.split(",")[at] for at in order) for row in [COLUMNS, *ROWS]]
    assert list(read_tower(_write(tmp_path, rows[1:], columns=rows[0])).gpp) == [5, -1, 5, 7, 0, 5]


def test_every_mask_is_counted_in_the_notes(tmp_path: Path) -> None:
    closing, missing, poor, water = read_tower(_write(tmp_path, ROWS)).notes(0.75)
    assert "(RECO_NT_VUT_REF, NEE_VUT_REF), below 0 on 1 of 6 days" in closing
    assert missing.startswith("2 days have no Reco or NEE")
    assert "product (GPP_NT_VUT_REF) on 1 and 0 on 1" in missing
    assert poor.startswith("2 days with NEE_VUT_REF_QC below 0.75")
    assert "irrigated" in water


def test_days_without_a_row_are_missing_not_dropped(tmp_path: Path) -> None:
    tower = read_tower(_write(tmp_path, ROWS)).on(pd.date_range("2003-01-05", "2003-01-08"))
    assert list(tower.gpp) == [0, 5, 0, 0]
    assert not tower.scored(0).any()


def test_only_years_with_every_day_are_complete(tmp_path: Path) -> None:
    stamps = pd.date_range("2003-12-31", "2005-12-30").strftime("%Y%m%d")
    assert read_tower(_write(tmp_path, [f"{stamp},1,0,1,0,0,0,0" for stamp in stamps])).complete_years == [2004]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, COLUMNS.replace("NEE_VUT_REF,", "NEE_CUT_REF,"), "missing columns"),
        (ROWS, COLUMNS.replace("TA_F", "NEE_VUT_REF"), "NEE_VUT_REF is given twice"),
        ([], COLUMNS, "holds no rows"),
        ([ROWS[0], ROWS[0]], COLUMNS, "'20030101' in row 2"),
        ([ROWS[1], ROWS[0]], COLUMNS, "'20030101' in row 2"),
        ([ROWS[1].replace("20030102", "200301020030")], COLUMNS, "in row 1"),
        ([ROWS[0], ROWS[1].replace("20030102", "2003013")], COLUMNS, "'2003013' in row 2"),
        ([ROWS[0], ROWS[1].replace("20030102", "20030230")], COLUMNS, "'20030230' in row 2"),
        ([ROWS[0].replace("-2", "low")], COLUMNS, "NEE_VUT_REF holds values that are not numbers, 'low' in row 1"),
        ([ROWS[0], ROWS[1].replace("0.9", "2")], COLUMNS, "NEE_VUT_REF_QC ranges from 1 to 2"),
        ([row.replace(",3,", ",300,") for row in ROWS], COLUMNS, "exceed 50 g C m-2 d-1 .* kg C ha-1"),
        (["200301,1,-2,1.0,3,5.5,4,6"], COLUMNS, "monthly file; give the DD, HH or HR file"),
        (["2003,1,-2,1.0,3,5.5,4,6"], COLUMNS, "yearly file; give the DD, HH or HR file"),
        (["20030101,20030107,1,-2,1.0,3,5.5,4,6"], STEP_COLUMNS, "weekly file; give the DD, HH or HR file"),
    ],
)
def test_faulty_files_are_refused_by_name(tmp_path: Path, rows: list[str], columns: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_tower(_write(tmp_path, rows, columns=columns))


def test_a_lone_spike_is_missing_and_counted(tmp_path: Path) -> None:
    stamps = pd.date_range("2003-01-01", periods=200).strftime("%Y%m%d")
    rows = [f"{stamp},1,-2,1,3,5,3,5" for stamp in stamps]
    tower = read_tower(_write(tmp_path, [rows[0].replace("-2", "-60"), *rows[1:]]))
    assert list(np.flatnonzero(tower.days["nee"].isna())) == [0]
    assert "1 values beyond 50 g C m-2 d-1 are taken as missing." in tower.reading


@pytest.mark.parametrize("minutes", [30, 60])
def test_days_of_steps_are_the_integrals_of_the_fluxes(tmp_path: Path, minutes: int) -> None:
    """A sine over the day integrates to zero, a ramp from day to day to its mean, whatever the step.

    The days include a change to daylight saving time, of which local standard time knows nothing.
    """
    hours = np.arange(0, 3 * 24, minutes / 60) + minutes / 120  # middles of the steps
    nee = 2 - 10 * np.sin(2 * np.pi * hours / 24) + hours / 24
    tower = read_tower(_write(tmp_path, _steps(nee, minutes=minutes), columns=STEP_COLUMNS))
    assert [f"{day:%Y-%m-%d}" for day in tower.days.index] == ["2003-03-08", "2003-03-09", "2003-03-10"]
    np.testing.assert_allclose(tower.days["nee"], np.array([2.5, 3.5, 4.5]) * GC_PER_UMOL * 86400, rtol=1e-12)
    np.testing.assert_allclose(tower.gpp, tower.days["reco"] - tower.days["nee"])
    assert (tower.days["qc"] == 1).all()


def test_the_step_that_ends_at_midnight_belongs_to_the_day_that_it_began_in(tmp_path: Path) -> None:
    nee = np.zeros(96)
    nee[47] = 48.0
    days = read_tower(_write(tmp_path, _steps(nee), columns=STEP_COLUMNS)).days
    np.testing.assert_allclose(days["nee"], [GC_PER_UMOL * 86400, 0])


def test_a_day_with_a_missing_step_is_missing_and_counted(tmp_path: Path) -> None:
    rows = _steps(np.full(144, 2.0))
    absent, marked = rows[:10] + rows[11:], [*rows[:60], rows[60].replace(",2.0,", ",-9999,"), *rows[61:]]
    for given, day in ((absent, 0), (marked, 1)):
        tower = read_tower(_write(tmp_path, given, columns=STEP_COLUMNS))
        assert list(np.flatnonzero(tower.days["nee"].isna())) == [day]
        assert "of the file's 3 days, 1 have a gap in NEE" in " ".join(tower.reading)


def test_quality_of_a_day_is_its_share_of_measured_and_well_filled_steps(tmp_path: Path) -> None:
    rows = _steps(np.full(48, 2.0))
    flags = [0] * 12 + [1] * 12 + [2] * 10 + [3] * 2 + [-9999] * 12
    flagged = [row.replace(",2.0,0,", f",2.0,{flag},") for row, flag in zip(rows, flags, strict=True)]
    assert list(read_tower(_write(tmp_path, flagged, columns=STEP_COLUMNS)).days["qc"]) == [0.5]


def test_flags_of_steps_that_are_shares_are_refused(tmp_path: Path) -> None:
    rows = _steps(np.full(48, 2.0))
    rows[5] = rows[5].replace(",2.0,0,", ",2.0,0.5,")
    with pytest.raises(UserError, match="that of a step is one of"):
        read_tower(_write(tmp_path, rows, columns=STEP_COLUMNS))


def test_steps_out_of_place_are_refused_with_their_row(tmp_path: Path) -> None:
    rows = _steps(np.full(48, 2.0))
    late = rows[7].replace("200303080400", "200303080430")  # an hour among half-hours
    faults = {
        8: [*rows[:7], rows[6], *rows[7:]],  # twice
        5: [*rows[:4], rows[5], rows[4], *rows[6:]],  # exchanged: row 6 comes second
        9: [*rows[:8], rows[8].replace("2003030804", "2003030824"), *rows[9:]],  # hour 24
        4: [*rows[:3], "2.00303E+11" + rows[3][12:], *rows[4:]],  # a spreadsheet was here
    }
    for row, given in faults.items():
        at = row + 1 if row == 5 else row
        with pytest.raises(UserError, match=f"in row {at} is not one step"):
            read_tower(_write(tmp_path, given, columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 8 is not one step"):
        read_tower(_write(tmp_path, [*rows[:7], late, *rows[8:]], columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 1 is not one step"):
        read_tower(_write(tmp_path, _steps(np.full(8, 2.0), minutes=15), columns=STEP_COLUMNS))
    with pytest.raises(UserError, match="in row 1 is not one step"):
        read_tower(_write(tmp_path, _steps(np.full(8, 2.0), start="2003-03-08 00:10"), columns=STEP_COLUMNS))


def test_steps_in_another_unit_are_refused_or_reported(tmp_path: Path) -> None:
    hours = np.arange(40 * 24)
    umol = 5 - 30 * np.clip(np.sin(2 * np.pi * (hours - 6) / 24), 0, None)

    def read(nee: np.ndarray) -> str:
        rows = _steps(nee, minutes=60, start="2003-07-01")
        return " ".join(read_tower(_write(tmp_path, rows, columns=STEP_COLUMNS)).reading)

    assert "unit" not in read(umol)
    assert "unit" not in read(umol[: 19 * 24] * 0.044)  # too short a record to know a summer
    assert "Check the unit: 99 % of NEE_VUT_REF in June to August is within 1.1" in read(umol * 0.044)  # mg m-2 s-1
    with pytest.raises(UserError, match=r"of NEE_VUT_REF exceed 100 umol .* mg CO2 m-2 h-1"):
        read(umol * 158)


@pytest.mark.realdata
def test_the_real_tower_has_the_figures_that_its_index_gives(realdata: Path) -> None:
    tower = read_tower(next((realdata / "fluxnet").glob("*_DD_*.csv")))
    assert len(tower.days) == 1312
    assert (tower.gpp < 0).sum() == 421
    assert tower.complete_years == [2002, 2003, 2004]
    assert tower.reading == ()
    product_gap = np.abs(tower.gpp - tower.days["gpp_product"])  # what the product leaves of the balance open
    assert product_gap.mean() == pytest.approx(0.167, abs=0.001)
    assert product_gap.max() == pytest.approx(3.19, abs=0.005)
