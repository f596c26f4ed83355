"""Measured changes are compared with the cell at their place, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.analysis.beside.soc import ANALYSIS, COLUMNS, read_measurements
from pipeline.analysis.findings import MAIN
from pipeline.analysis.subject import Options, Subject
from pipeline.errors import UserError
from tests.pipeline.analysis.conftest import Whole


def written(folder: Path, *rows: str) -> Path:
    (folder / "soc").mkdir(exist_ok=True)
    path = folder / "soc" / "sites.csv"
    path.write_text("\n".join(["# a test", ",".join(COLUMNS), *rows]) + "\n")
    return path


def test_z_scores_are_those_of_the_cell(subject: Subject, whole: Whole, tmp_path: Path) -> None:
    lon, lat = (values[100] for values in whole.lonlat)
    written(
        tmp_path,
        f"a,{lat},{lon},2010,2011,30,-40,8,no till",
        f"b,{lat},{lon},2010,2013,,25,,",
        "far,45,-100,2010,2011,,1,1,",
        f"late,{lat},{lon},2012,2015,,1,1,",
    )
    found = ANALYSIS.analyse(Subject.open(subject.job, options=Options(data=tmp_path)))
    table = found.tables[MAIN].set_index("site")
    dsoc = whole.layer("dsoc")[:, 100]
    share = (2.029 * 30 - 0.011 * 900) / 100
    assert share == pytest.approx(0.5097)
    measured, cube = -40 / share, dsoc[:2].mean()
    assert table.loc["a", "z"] == pytest.approx((cube - measured) / (8 / share), rel=1e-5)
    assert table.loc["a", "z_45_percent"] == pytest.approx((cube - measured) / (0.45 * abs(measured)), rel=1e-5)
    assert table.loc["b", "z_12_percent"] == pytest.approx((dsoc.mean() - 25) / 3, rel=1e-5)
    assert np.isnan(table.loc["b", "z"])
    assert list(table.index) == ["a", "b"]
    assert found.notes[0] == "sites.csv: a test"
    assert any("far is left out" in note for note in found.notes)
    assert any("late is left out: not all of 2012 to 2015" in note for note in found.notes)


@pytest.mark.parametrize(
    "row",
    [
        "a,40,-89,2010,2011,120,1,1,",
        "a,40,-89,2012,2011,,1,1,",
        "a,40,-89,2010,2011,,1,0,",
        "a,x,-89,2010,2011,,1,1,",
    ],
)
def test_unusable_rows_are_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(UserError, match=r"row 1 \(a\)"):
        read_measurements([written(tmp_path, row)])


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("site,latitude\na,40\n")
    with pytest.raises(UserError, match="longitude"):
        read_measurements([path])


def test_no_file_is_an_obstacle(subject: Subject) -> None:
    assert "soc/*.csv" in (ANALYSIS.obstacle(subject) or "")
