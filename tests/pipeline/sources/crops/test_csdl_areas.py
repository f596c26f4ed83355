"""County areas of the Corn-Soy Data Layer: all 20 real tables, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.sources.crops.csdl_areas import HEADER, read_csdl_areas
from regions.boundaries import counties

ROWS = ["17019,,9e8,6e8,2010,17,019", "17021,1e9,3e8,,2010,17,021", "46113,,,,2010,46,113"]


def _write(folder: Path, rows: list[str], *, year: int = 2010, header: str = ",".join(HEADER)) -> Path:
    (folder / f"{year}_CSDL_13States_area_m2.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_empty_cells_are_areas_of_zero_and_counted(tmp_path: Path) -> None:
    areas = read_csdl_areas(_write(tmp_path, ROWS), years=[2010])
    assert areas.table["fips"].tolist() == ["17019", "17021", "46102"]
    assert areas.table["corn_m2"].tolist() == [9e8, 3e8, 0]
    assert areas.table["soybean_m2"].tolist() == [6e8, 0, 0]
    counts = areas.counts
    assert (counts.without_corn, counts.without_soybean, counts.without_both, counts.renumbered) == (1, 2, 1, 1)
    share = areas.corn_share().loc[2010]
    assert share.tolist()[:2] == [0.6, 1]
    assert np.isnan(share["46102"])  # neither crop: there is no share, not a share of zero


def test_counties_that_a_year_lacks_are_counted_and_not_zero(tmp_path: Path) -> None:
    _write(tmp_path, ROWS)
    _write(tmp_path, [ROWS[0].replace("2010", "2011")], year=2011)
    areas = read_csdl_areas(tmp_path, years=[2010, 2011])
    assert areas.counts.county_years == len(areas.table) == 4
    assert areas.counts.absent == 2
    assert np.isnan(areas.corn_share().loc[2011, "17021"])


def test_codes_that_lost_their_zeros_are_whole_again(tmp_path: Path) -> None:
    row = "1003,,9e8,6e8,2010,1,3"
    assert read_csdl_areas(_write(tmp_path, [row]), years=[2010]).table["fips"].tolist() == ["01003"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROWS[0], ROWS[0]], "masterid '17019' in row 2 is not there once"),
        ([*ROWS, "46102,,1e8,1e8,2010,46,102"], "masterid '46102' in row 4 is not there once"),
        ([ROWS[0].replace("17019", "17021")], "masterid '17021' in row 1 is not the county of STATEFP"),
        ([ROWS[0].replace(",019", ",")], "is not the county of STATEFP"),
        ([ROWS[0].replace("2010", "2011")], "year '2011' in row 1 is not the year 2010"),
        ([ROWS[0].replace("9e8", "-1")], "1 '-1' in row 1 is not an area in m2"),
        ([ROWS[0].replace("6e8", "much")], "5 'much' in row 1 is not an area in m2"),
        ([ROWS[0].replace("9e8", "9e10")], r"1 '9e10' in row 1 is not an area in m2, 0 to 2e\+10"),
        ([ROWS[0].replace("9e8", "9e4").replace("6e8", "6e4")], "90000, is below .* hectares, acres or km2"),
        ([ROWS[2]], "largest area of class 1, nan"),
    ],
)
def test_faulty_tables_are_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_csdl_areas(_write(tmp_path, rows), years=[2010])


def test_other_headers_and_absent_tables_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, ROWS, header="masterid,0,5,1,year,STATEFP,COUNTYFP")  # corn and soybean exchanged
    with pytest.raises(UserError, match="are not"):
        read_csdl_areas(tmp_path, years=[2010])
    with pytest.raises(UserError, match=r"1999_CSDL_13States_area_m2.csv: not a readable"):
        read_csdl_areas(tmp_path, years=[1999])


@pytest.mark.realdata
def test_all_real_tables_give_plausible_areas_of_all_counties_of_13_states(realdata: Path) -> None:
    areas = read_csdl_areas(realdata / "csdl", years=range(1999, 2019))
    states = {"17", "18", "19", "20", "21", "26", "27", "29", "31", "38", "39", "46", "55"}
    assert set(areas.table["fips"]) == {zone.fips for zone in counties() if zone.fips[:2] in states}
    assert areas.counts.county_years == 20 * 1175
    assert areas.counts.absent == 0
    assert areas.counts.renumbered == 20
    assert areas.table.notna().all(axis=None)
    mha = areas.table.groupby("year")[["corn_m2", "soybean_m2"]].sum() / 1e10
    # US farmers planted 31 to 39 Mha of corn and 26 to 37 of soybean in these years, most of it in these states.
    assert mha["corn_m2"].between(25, 38).all()
    assert mha["soybean_m2"].between(19, 30).all()
    assert mha.sum(axis=1).between(51, 62).all()
    iowa = areas.table[areas.table["fips"].str.startswith("19")]
    assert (iowa.groupby("year")[["corn_m2", "soybean_m2"]].sum().sum(axis=1) / 1e10).between(8, 10.5).all()


@pytest.mark.realdata
def test_the_real_tables_hold_the_sums_that_the_csv_module_finds(realdata: Path) -> None:
    areas = read_csdl_areas(realdata / "csdl", years=[1999, 2012])
    for year, table in areas.table.groupby("year"):
        with (realdata / "csdl" / f"{year}_CSDL_13States_area_m2.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert table["corn_m2"].sum() == pytest.approx(sum(float(row["1"] or 0) for row in rows))
        assert table["soybean_m2"].sum() == pytest.approx(sum(float(row["5"] or 0) for row in rows))
    both = (read_csdl_areas(realdata / "csdl", years=range(1999, 2019))).counts
    empty = {"1": 0, "5": 0}
    for path in (realdata / "csdl").glob("*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for column in empty:
                    empty[column] += row[column] == ""
    assert (both.without_corn, both.without_soybean) == (empty["1"], empty["5"]) == (317, 264)
