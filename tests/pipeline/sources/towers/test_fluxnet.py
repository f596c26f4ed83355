"""FLUXNET files: columns, quality flags, and files that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.towers.read import read_tower
from tests.helpers.tower_files import (
    COLUMNS,
    ROWS,
    STEP_COLUMNS,
    fluxnet_steps,
    write_fluxnet,
)


def test_the_day_time_partitioning_is_read_by_name(tmp_path: Path) -> None:
    assert list(read_tower(write_fluxnet(tmp_path, ROWS), partitioning="DT").gpp) == [6, 0, 6, 6, 6, 6]


def test_columns_are_found_wherever_they_stand(tmp_path: Path) -> None:
    order = [4, 0, 7, 3, 2, 6, 1, 5]
    rows = [",".join(row.split(",")[at] for at in order) for row in [COLUMNS, *ROWS]]
    gpp = read_tower(write_fluxnet(tmp_path, rows[1:], columns=rows[0])).gpp
    np.testing.assert_array_equal(gpp, [5, -1, 5, 7, np.nan, 5])


@pytest.mark.parametrize(("absent", "given"), [("NT", "DT"), ("DT", "NT")])
def test_the_other_partitioning_is_named_where_it_alone_is_given(
    absent: Literal["NT", "DT"], given: str, tmp_path: Path
) -> None:
    columns = COLUMNS.replace(f"_{absent}_", "_XX_")
    with pytest.raises(UserError, match=rf"no RECO_{absent}_VUT_REF; give --partitioning {given}"):
        read_tower(write_fluxnet(tmp_path, ROWS, columns=columns), partitioning=absent)


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
        read_tower(write_fluxnet(tmp_path, rows, columns=columns))


def test_quality_of_a_day_is_its_share_of_measured_and_well_filled_steps(tmp_path: Path) -> None:
    rows = fluxnet_steps(np.full(48, 2.0))
    flags = [0] * 12 + [1] * 12 + [2] * 10 + [3] * 2 + [-9999] * 12
    flagged = [row.replace(",2.0,0,", f",2.0,{flag},") for row, flag in zip(rows, flags, strict=True)]
    assert list(read_tower(write_fluxnet(tmp_path, flagged, columns=STEP_COLUMNS)).days["qc"]) == [0.5]


def test_flags_of_steps_that_are_shares_are_refused(tmp_path: Path) -> None:
    rows = fluxnet_steps(np.full(48, 2.0))
    rows[5] = rows[5].replace(",2.0,0,", ",2.0,0.5,")
    with pytest.raises(UserError, match="that of a step is one of"):
        read_tower(write_fluxnet(tmp_path, rows, columns=STEP_COLUMNS))


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
