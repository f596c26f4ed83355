"""The table of daily inputs: what is accepted comes back unchanged, what is refused is named with its day."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.features import FEATURE_NAMES
from pipeline.errors import UserError
from pipeline.site.table import LIMITS, read_site_csv, site_inputs, write_site_csv, write_template


def _refused(table: pd.DataFrame) -> str:
    with pytest.raises(UserError) as error:
        site_inputs(table, name="here")
    return str(error.value)


def test_a_table_survives_being_written_and_read(site_days: pd.DataFrame, tmp_path: Path) -> None:
    site_days.loc[3:5, "NEE"] = np.nan
    write_site_csv(tmp_path / "here.csv", site_days, notes=("Observations are synthetic.",))
    site = read_site_csv(tmp_path / "here.csv")
    assert site.name == "here"
    assert site.notes == ("Observations are synthetic.",)
    assert site.years == [2003, 2004, 2005]
    for index, name in enumerate(FEATURE_NAMES):
        if name in site_days:
            np.testing.assert_allclose(site.features[:, index], site_days[name], rtol=1e-12)
    np.testing.assert_allclose(site.nee, site_days["NEE"])
    assert np.isnan(site.nee).sum() == 3
    assert set(site.features[:, FEATURE_NAMES.index("Crop_Type")]) == {1.0, 5.0}
    np.testing.assert_array_equal(site.features[:, FEATURE_NAMES.index("Year")], site.day_years)


def test_the_template_names_every_column_with_its_unit_and_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "template.csv"
    write_template(path)
    text = path.read_text()
    assert all(f"# {name} [" in text for name in LIMITS)
    with pytest.raises(UserError, match="no rows"):
        read_site_csv(path)
    with pytest.raises(UserError, match="exists"):
        write_template(path)


def test_a_table_saved_by_a_spreadsheet_is_read(site_days: pd.DataFrame, tmp_path: Path) -> None:
    write_site_csv(tmp_path / "plain.csv", site_days)
    text = (tmp_path / "plain.csv").read_text()
    (tmp_path / "saved.csv").write_text("\ufeff" + text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    saved, plain = read_site_csv(tmp_path / "saved.csv"), read_site_csv(tmp_path / "plain.csv")
    np.testing.assert_array_equal(saved.features, plain.features)


def test_observations_are_optional(site_days: pd.DataFrame) -> None:
    site = site_inputs(site_days.drop(columns=["RECO", "NEE"]), name="here")
    assert np.isnan(site.reco).all()
    assert np.isnan(site.nee).all()


def test_crops_may_be_words_or_codes(site_days: pd.DataFrame) -> None:
    coded = site_days.assign(crop=site_days["crop"].map({"corn": 1.0, "soybean": 5.0}))
    np.testing.assert_array_equal(site_inputs(coded, name="a").crop, site_inputs(site_days, name="b").crop)


def test_every_missing_and_unknown_column_is_named(site_days: pd.DataFrame) -> None:
    message = _refused(site_days.drop(columns=["TPH", "WIND"]).assign(clay=1))
    assert message == "missing column WIND; missing column TPH; unknown column clay"


def test_a_gap_in_the_days_is_named_by_its_first_day(site_days: pd.DataFrame) -> None:
    assert _refused(site_days.drop(index=[40, 41])).startswith("2 days missing, the first 2003-02-10")
    leap = site_days[site_days["date"] != "2004-12-31"]
    assert "first 2004-12-31" in _refused(leap)


def test_days_out_of_order_or_twice_are_refused(site_days: pd.DataFrame) -> None:
    assert "follows" in _refused(pd.concat([site_days, site_days.tail(1)]))
    assert "write YYYY-MM-DD" in _refused(site_days.assign(date=site_days["date"].replace("2003-01-03", "3.1.2003")))


@pytest.mark.parametrize(
    ("column", "factor", "offset", "remedy"),
    [
        ("TMAX_AIR", 1, 273.15, "subtract 273.15 from kelvin"),
        ("RADN", 1 / 0.0864, 0, "multiply a daily mean in W m-2 by 0.0864"),
        ("HMAX_AIR", 10, 0, "divide hPa by 10"),
        ("WIND", 1 / 86.4, 0, "86.4 times the mean in m s-1"),
        ("TBKDS", 1000, 0, "divide kg m-3 by 1,000"),
        ("TFC", 100, 0, "divide percent by 100"),
        ("RADN", 1 / 3.6, 0, "multiply kWh m-2 d-1 by 3.6"),
        ("HMAX_AIR", 1 / 100, 0, "give the vapour pressure, in kPa"),
        ("HDIF_AIR", 1 / 100, 0, "give the range of vapour pressure, in kPa"),
        ("TDIF_AIR", 0, 0, "give maximum minus minimum"),
        ("WIND", 1 / 24, 0, "86.4 times the mean in m s-1"),
        ("PRECN", 1 / 1000, 0, "multiply metres by 1,000"),
        ("PRECN", 1 / 25.4, 0, "inches by 25.4"),
        ("GPP", 1 / 1000, 0, "multiply kg by 1,000"),
        ("RECO", 1 / 1000, 0, "multiply kg by 1,000"),
        ("NEE", 1 / 1000, 0, "multiply kg by 1,000"),
        ("TKSat", 1 / 3.6e6, 0, "multiply m s-1 by 3,600,000"),
        ("TSOC", 1 / 1000, 0, "multiply percent of carbon by 10"),
        ("TSOC", 1 / 10, 0, "multiply percent of carbon by 10"),
        ("TCEC", 1 / 100, 0, "multiply mol(+) per kg by 100"),
    ],
)
def test_a_wrong_unit_is_refused_with_its_remedy(
    site_days: pd.DataFrame, column: str, factor: float, offset: float, remedy: str
) -> None:
    message = _refused(site_days.assign(**{column: site_days[column] * factor + offset}))
    assert column in message
    assert remedy in message


def test_one_year_in_a_smaller_unit_is_named(site_days: pd.DataFrame) -> None:
    site_days.loc[site_days["date"].str.startswith("2004"), "GPP"] /= 1000
    message = _refused(site_days)
    assert message.startswith("GPP has a mean of 0.0054 in 2004 (years: 1), below 0.27, the least of a field; multiply")


@pytest.mark.parametrize(
    "field",
    [
        {"GPP": 0.15, "RECO": 0.3, "NEE": 0.4},  # a crop that mostly failed, 160 g C m-2 yr-1
        {"PRECN": 0.08, "RADN": 1.35, "HMAX_AIR": 0.5},  # the Central Valley without its irrigation
        {"RADN": 0.55, "WIND": 0.3},  # the Norwegian coast, behind trees
        {"TSAND": 9.2, "TSILT": 0.08, "TSOC": 0.12, "TCEC": 0.1, "TFC": 0.3, "TWP": 0.2, "TKSat": 10},  # sand hills
        {"TSAND": 1, "TSILT": 0.58, "TSOC": 0.3, "TKSat": 0.002},  # eroded clay: 550 g kg-1 with 6 g kg-1 of carbon
    ],
)
def test_fields_at_the_edge_of_cropping_are_read(site_days: pd.DataFrame, field: dict[str, float]) -> None:
    site_inputs(site_days.assign(**{name: site_days[name] * factor for name, factor in field.items()}), name="here")


def test_observations_of_some_days_are_no_year_of_little(site_days: pd.DataFrame) -> None:
    winter = site_days["date"].str[5:7].isin(["01", "02"])
    site_inputs(site_days.assign(RECO=site_days["RECO"].where(winter) * 0.2, NEE=np.nan), name="here")


def test_percent_of_sand_and_silt_is_recognised(site_days: pd.DataFrame) -> None:
    assert "multiply percent by 10" in _refused(site_days.assign(TSAND=10.0, TSILT=60.0))


def test_a_word_or_a_gap_among_numbers_is_named_with_its_day(site_days: pd.DataFrame, tmp_path: Path) -> None:
    broken = site_days.astype({"RADN": object, "PRECN": object})
    broken.loc[9, "RADN"] = "n/a?"
    broken.loc[[20, 21], "PRECN"] = ""
    write_site_csv(tmp_path / "broken.csv", broken)
    with pytest.raises(UserError) as error:
        read_site_csv(tmp_path / "broken.csv")
    assert "broken.csv: RADN is 'n/a?' on 2003-01-10 (days: 1)" in str(error.value)
    assert "PRECN is empty on 2003-01-21 (days: 2)" in str(error.value)


def test_fill_values_among_observations_are_refused_not_scored(site_days: pd.DataFrame) -> None:
    site_days.loc[4, "RECO"] = -9999
    assert "RECO is -9999 on 2003-01-05 (days: 1)" in _refused(site_days)


def test_soil_must_not_change_nor_crops_within_a_year(site_days: pd.DataFrame) -> None:
    site_days.loc[0, "TPH"] = 7.0
    assert "soil must be constant in time" in _refused(site_days)
    site_days.loc[0, "crop"] = "soybean"
    assert "crop changes within 2003" in _refused(site_days)
    site_days.loc[0, "crop"] = "wheat"
    assert "'wheat'" in _refused(site_days)


def test_a_missing_file_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--template"):
        read_site_csv(tmp_path / "missing.csv")
