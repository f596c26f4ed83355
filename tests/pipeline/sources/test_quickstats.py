"""County yields from QuickStats exports: every row that is left out is counted, every doubtful one refused."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.features import SOYBEAN
from pipeline.errors import UserError
from pipeline.sources.quickstats import (
    API_NAMES,
    EXPORT_CAP,
    GRAINS,
    HEADER,
    read_county_table,
    read_quickstats,
    write_quickstats,
    yield_bu_ac,
    yield_gc_m2,
)

CORN_ITEM, SOYBEAN_ITEM = (GRAINS[code].item for code in (1, 5))
ROW = {
    "Program": "SURVEY",
    "Year": "2021",
    "Period": "YEAR",
    "Geo Level": "COUNTY",
    "State": "ILLINOIS",
    "State ANSI": "17",
    "County": "CHAMPAIGN",
    "County ANSI": "19",
    "Commodity": "CORN",
    "Data Item": CORN_ITEM,
    "Domain": "TOTAL",
    "Value": "200",
    "CV (%)": "2.2",
}


def _write(path: Path, rows: list[dict[str, str]], *, header: list[str] = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows([ROW | row for row in rows] if header == HEADER else rows)
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return tmp_path / "quickstats.csv"


def test_yields_have_a_county_a_year_and_a_crop(export: Path) -> None:
    soybean = {"Data Item": SOYBEAN_ITEM, "Value": "60.5", "Year": "2020", "CV (%)": ""}
    result = read_quickstats([_write(export, [{}, soybean])])
    assert result.table[["fips", "year", "crop"]].to_numpy().tolist() == [["17019", 2020, 5], ["17019", 2021, 1]]
    np.testing.assert_allclose(result.table["yield_gc_m2"], [60.5 * 3.159454, 200 * 2.383915], rtol=1e-6)
    assert np.isnan(result.table["cv_percent"][0])
    assert result.table["cv_percent"][1] == 2.2


TRAPS = [
    ({"Program": "CENSUS"}, "other_program"),
    ({"Period": "YEAR - AUG FORECAST"}, "other_period"),
    ({"Geo Level": "STATE", "County ANSI": ""}, "other_level"),
    ({"Geo Level": "AGRICULTURAL DISTRICT"}, "other_level"),
    ({"Data Item": "CORN, GRAIN, IRRIGATED - YIELD, MEASURED IN BU / ACRE"}, "other_item"),
    ({"Data Item": "CORN, SILAGE - YIELD, MEASURED IN TONS / ACRE", "Value": "20"}, "other_item"),
    ({"Domain": "AREA HARVESTED"}, "other_domain"),
    ({"County": "OTHER (COMBINED) COUNTIES", "County ANSI": ""}, "combined"),
    ({"County": "OTHER COUNTIES", "County ANSI": "998"}, "combined"),
    ({"County ANSI": "998.0"}, "combined"),
    ({"Value": "(D)"}, "withheld"),
    ({"Value": "                 (D)"}, "withheld"),
    ({"Value": "(Z)"}, "rounded_away"),
    ({"Value": "(NA)"}, "other_symbol"),
    ({}, "repeated"),
]


@pytest.mark.parametrize(("row", "fate"), TRAPS)
def test_every_row_that_is_left_out_is_counted(export: Path, row: dict[str, str], fate: str) -> None:
    result = read_quickstats([_write(export, [{}, row])])
    assert result.table["yield_bu_ac"].tolist() == [200]
    counts = asdict(result.counts)
    left_out = {name: count for name, count in counts.items() if count and name not in ("rows", "kept")}
    assert left_out == {fate: 1}
    assert f"{fate.replace('_', ' ')} 1" in result.notes[0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(TRAPS), max_size=30))
def test_counts_add_up_to_the_rows(
    tmp_path_factory: pytest.TempPathFactory, traps: list[tuple[dict[str, str], str]]
) -> None:
    path = _write(tmp_path_factory.mktemp("nass") / "quickstats.csv", [{}, *(row for row, _ in traps)])
    counts = asdict(read_quickstats([path]).counts)
    rows = counts.pop("rows")
    of_kept = counts.pop("renumbered") + counts.pop("without_cv")
    assert of_kept == 0
    assert sum(counts.values()) == rows == len(traps) + 1


@pytest.mark.parametrize("spelled", ["19", "019", "19.0", " 19 "])
def test_county_codes_are_read_as_numbers_are_spelled(export: Path, spelled: str) -> None:
    assert read_quickstats([_write(export, [{"County ANSI": spelled}])]).table["fips"].item() == "17019"


def test_commas_between_thousands_are_no_decimals(export: Path) -> None:
    rows = [{"Value": "1,200"}]
    with pytest.raises(UserError, match="Value 1200 is not between 0 and 400 bushels"):
        read_quickstats([_write(export, rows)])


def test_a_county_that_was_renumbered_has_its_new_code(export: Path) -> None:
    rows = [{"State ANSI": "46", "County ANSI": "113", "Year": "2010"}, {"State ANSI": "46", "County ANSI": "102"}]
    result = read_quickstats([_write(export, rows)])
    assert result.table["fips"].tolist() == ["46102", "46102"]
    assert result.counts.renumbered == 1


def test_repeats_keep_the_coefficient_of_variation(export: Path) -> None:
    result = read_quickstats([_write(export, [{"CV (%)": ""}, {}])])
    assert result.table["cv_percent"].tolist() == [2.2]
    assert result.counts.repeated == 1


def test_symbols_for_the_coefficient_of_variation_are_counted_as_missing(export: Path) -> None:
    result = read_quickstats([_write(export, [{"CV (%)": "(L)"}])])
    assert result.table["cv_percent"].isna().all()
    assert result.counts.without_cv == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{}, {"Value": "201"}], r"county 17019 has two yields in 2021, 200 \(.*row 1\) and 201 \(.*row 2\)"),
        ([{}, {"County ANSI": "19", "Value": "201"}, {"Value": "200"}], "county 17019 has two yields"),
        ([{}, {"County ANSI": "19.5"}], "row 2: County ANSI '19.5' is not with State ANSI the code of a county"),
        ([{"State ANSI": "99"}], "row 1: County ANSI '19' is not with State ANSI the code of a county"),
        ([{"State ANSI": ""}], "is not with State ANSI the code of a county"),
        ([{"Year": "21"}], "Year '21' is not a year"),
        ([{"Value": "9,4"}], "Value '9,4' is not a number of bushels per acre"),
        ([{"Value": ""}], "Value '' is not a number of bushels per acre"),
        ([{"Value": "-5"}], "Value '-5' is not a number of bushels per acre"),
        ([{"Value": "0"}], "Value 0 is not between 0 and 400 bushels per acre"),
        ([{"Value": "9400"}], "Value 9400 is not between 0 and 400 .* kg per hectare"),
        ([{"Value": "9.4"}], r"median Value of 9.4 is below 20 .* tonnes per hectare"),
        ([{"Data Item": SOYBEAN_ITEM, "Value": "3.4"}], r"median Value of 3.4 is below 8 .* tonnes per hectare"),
        ([{"Data Item": SOYBEAN_ITEM, "Value": "131"}], "Value 131 is not between 0 and 130"),
        ([{"Program": "CENSUS"}], "none of 1 rows is a survey yield of a county"),
    ],
)
def test_doubtful_rows_are_refused(export: Path, rows: list[dict[str, str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_quickstats([_write(export, rows)])


def test_one_poor_county_among_others_is_no_other_unit(export: Path) -> None:
    rows = [{"County ANSI": str(code), "Value": value} for code, value in ((1, "8"), (3, "150"), (5, "140"))]
    assert len(read_quickstats([_write(export, rows)]).table) == 3


def test_other_headers_are_refused(export: Path) -> None:
    without = {name: value for name, value in ROW.items() if name != "Period"}
    _write(export, [without], header=[name for name in HEADER if name != "Period"])
    with pytest.raises(UserError, match=r"of which \['source_desc'.*\] is missing"):
        read_quickstats([export])
    export.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a readable CSV file"):
        read_quickstats([export])


def test_the_table_of_the_api_is_read_too(export: Path) -> None:
    api = {api: ROW[name] for name, api in API_NAMES.items()}
    columns = ["state_alpha", *reversed(api), "load_time"]
    result = read_quickstats([_write(export, [api, api | {"Value": " (D)", "year": "2020"}], header=columns)])
    assert result.table["fips"].tolist() == ["17019"]
    assert result.counts.withheld == 1


def test_a_file_as_long_as_the_longest_export_is_reported(export: Path) -> None:
    line = ",".join(ROW.get(name, "") if name != "Data Item" else f'"{CORN_ITEM}"' for name in HEADER) + "\n"
    for rows, capped in ((EXPORT_CAP, True), (EXPORT_CAP - 1, False)):
        export.write_text(",".join(HEADER) + "\n" + line * rows)
        result = read_quickstats([export])
        assert bool(result.capped) is capped
        assert any("exactly 50,000 rows" in note for note in result.notes) is capped


def test_parts_of_an_export_are_one_table(tmp_path: Path) -> None:
    parts = [_write(tmp_path / f"{year}.csv", [{"Year": year}]) for year in ("2020", "2021")]
    assert read_quickstats(parts).table["year"].tolist() == [2020, 2021]
    again = _write(tmp_path / "again.csv", [{"Value": "190"}])
    with pytest.raises(UserError, match=r"200 \(.*2021.csv, row 1\) and 190 \(.*again.csv, row 1\)"):
        read_quickstats([*parts, again])


def test_what_is_written_is_an_export_that_reads_back(export: Path) -> None:
    yields = pd.DataFrame(
        {
            "fips": ["01003", "17019", "46102"],
            "year": [2012, 2013, 2014],
            "crop": [1, 5, 1],
            "yield_gc_m2": [300.0, 150.0, 417.3],
            "cv_percent": [2.5, np.nan, 7.0],
        },
        index=[7, 8, 9],
    )
    names = pd.DataFrame({"state": ["Illinois"], "county": ["Champaign"]}, index=["17019"])
    write_quickstats(export, yields, names=names)
    header, first, second = export.read_text().splitlines()[:3]
    assert header.split(",") == HEADER
    assert "ILLINOIS" in second
    assert "CHAMPAIGN" in second
    assert "nan" not in first.lower()
    back = read_quickstats([export]).table
    assert back[["fips", "year", "crop"]].to_numpy().tolist() == yields[["fips", "year", "crop"]].to_numpy().tolist()
    np.testing.assert_allclose(back["yield_gc_m2"], yields["yield_gc_m2"], atol=0.05 * 3.16)  # half of 0.1 bushel
    np.testing.assert_allclose(back["cv_percent"], yields["cv_percent"])


@pytest.mark.realdata
def test_the_real_export_has_the_rows_that_the_csv_module_finds(realdata: Path) -> None:
    path = realdata / "nass" / "county_corn_yield_quickstats.csv"
    result = read_quickstats([path])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    counties = [row for row in rows if row["County ANSI"]]
    assert list(rows[0]) == HEADER
    assert result.counts.rows == len(rows) == 16_361
    assert result.counts.combined == len(rows) - len(counties) == 1_404
    assert result.counts.kept == len(counties) == 14_957
    assert result.counts.without_cv == sum(not row["CV (%)"] for row in counties)
    assert result.table["fips"].str.fullmatch(r"\d{5}").all()
    assert result.table["yield_bu_ac"].sum() == pytest.approx(sum(float(row["Value"]) for row in counties))
    iowa = result.table[result.table["fips"].str.startswith("19")]
    drought = iowa.groupby("year")["yield_gc_m2"].median()
    assert drought.idxmin() == 2012  # the drought year
    assert 300 < drought.loc[2012] < 370
    assert 430 < drought.loc[2021] < 520


def test_a_bushel_is_carbon_by_weight_area_moisture_and_carbon_content() -> None:
    """The factors as published, from other constants: metric tons per pound, hectares per square metre."""
    for code, published, moisture, carbon, pounds in ((1, 2.383915, 0.156, 0.45, 56), (5, 3.159454, 0.13, 0.54, 60)):
        assert GRAINS[code].gc_m2_per_bu_ac == pytest.approx(published, abs=2e-6)
        per_gc = 1 / carbon / (1 - moisture) * 0.00220462 / pounds / 0.000247105
        assert 1 / GRAINS[code].gc_m2_per_bu_ac == pytest.approx(per_gc, rel=2e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1, 300), st.sampled_from([1, 5])), min_size=1))
def test_bushels_and_carbon_convert_both_ways(yields: list[tuple[float, int]]) -> None:
    bushels, crop = (pd.Series(column) for column in zip(*yields, strict=True))
    np.testing.assert_allclose(yield_bu_ac(yield_gc_m2(bushels, crop), crop), bushels)


def test_a_plain_table_of_county_yields_is_read_and_a_malformed_row_named(tmp_path: Path) -> None:
    path = tmp_path / "soybean.csv"
    path.write_text("year,state_fips,county_fips,yield_bu_ac\n2009,1,1,30\n2008,17,019,45.5")
    found = read_county_table(path, crop=SOYBEAN)
    assert found["fips"].tolist() == ["01001", "17019"]
    assert found["yield_gc_m2"].tolist() == pytest.approx([30 * 3.1594, 45.5 * 3.1594], rel=1e-4)
    path.write_text("year,state_fips,county_fips,yield_bu_ac\n2009,1,1,30\n2008,17,999,45.5")
    with pytest.raises(UserError, match=r"row 2, .*'county_fips': '999'"):
        read_county_table(path, crop=SOYBEAN)
    path.write_text("year,yield\n2009,1")
    with pytest.raises(UserError, match="not a CSV file with the columns year, state_fips"):
        read_county_table(path, crop=SOYBEAN)
