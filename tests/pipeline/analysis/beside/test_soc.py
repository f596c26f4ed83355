"""Measured changes are compared with the cell at their place, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.analysis.beside.soc import ANALYSIS, COLUMNS, read_measurements
from pipeline.analysis.findings import MAIN
from pipeline.analysis.subject import Options, Subject
from pipeline.errors import UserError
from tests.pipeline.analysis.conftest import Whole

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[4] / "docs" / "analyses" / "soc-us-ne1.csv"
CARBON_G_M2 = 100 * 0.845 * 0.45  # of a t ha-1 of corn at 15.5 % moisture, 45 % of its dry matter carbon
QUARTILES_APART = 1.349  # standard deviations of a normal distribution


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
    sites = found.numbers[0]
    assert (sites.value, sites.paper and sites.paper.value) == (2, 18)
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


@pytest.mark.realdata
def test_the_example_is_the_budget_of_the_tower(realdata: Path) -> None:
    paths = [*realdata.glob("fluxnet/FLX_US-Ne1_*_DD_*.csv"), *realdata.glob("towers/FLX_US-Ne1_*_DD_*.csv")]
    days = pd.concat(pd.read_csv(path, na_values=-9999) for path in paths)
    days["random"] = days["NEE_VUT_REF_RANDUNC"] ** 2
    sums = days.groupby(days["TIMESTAMP"] // 10000)[["NEE_VUT_REF", "NEE_VUT_25", "NEE_VUT_75", "random"]].sum()
    harvested = pd.read_csv(realdata / "towers" / "US-Ne1_grain_2001-2009.csv").set_index("year")["grain_t_ha"]
    example = read_measurements([EXAMPLE]).set_index("first_year")
    grain = harvested.loc[example.index] * CARBON_G_M2
    nee, low, high, random = (sums.loc[example.index, name] for name in sums)
    assert list(example.index) == list(example["last_year"]) == list(range(2002, 2010))
    np.testing.assert_allclose(example["change_g_m2_yr"], -nee - grain, atol=0.6)
    sd = np.sqrt(((high - low) / QUARTILES_APART) ** 2 + random + (0.05 * grain) ** 2)
    np.testing.assert_allclose(example["sd_g_m2_yr"], sd, atol=0.6)


def test_the_place_of_the_example_is_that_of_its_source() -> None:
    example = read_measurements([EXAMPLE])
    latitude, longitude = 41 + 9 / 60 + 54.2 / 3600, -(96 + 28 / 60 + 35.9 / 3600)
    assert "41° 9' 54.2\" N, 96° 28' 35.9\" W" in EXAMPLE.read_text(encoding="utf-8")
    assert example["latitude"].to_numpy() == pytest.approx(latitude, abs=5e-5)
    assert example["longitude"].to_numpy() == pytest.approx(longitude, abs=5e-5)
