"""AmeriFlux BASE files: which columns are taken, which days have enough measurements, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.sources.towers.ameriflux import read_base
from pipeline.sources.towers.daily_record import Tower
from pipeline.sources.towers.read import read_tower
from pipeline.sources.towers.tables import TowerFile, TowerTable

GC_PER_UMOL = 12.011e-6
DAILY = GC_PER_UMOL * 86400
HEAD = "# Site: US-CRT,,\n# Version: 2-5,,\n"


def _file(folder: Path, columns: dict[str, object], *, days: int = 2, minutes: int = 30, head: str = HEAD) -> Path:
    begins = pd.date_range("2011-06-01", periods=days * 1440 // minutes, freq=f"{minutes}min")
    stamps = {"TIMESTAMP_START": begins, "TIMESTAMP_END": begins + pd.Timedelta(minutes=minutes)}
    table = pd.DataFrame({name: stamp.strftime("%Y%m%d%H%M") for name, stamp in stamps.items()}).assign(**columns)
    path = folder / f"AMF_US-CRT_BASE_{'HH' if minutes == 30 else 'HR'}_2-5.csv"
    path.write_text(head + table.to_csv(index=False, na_rep="-9999"))
    return path


def _read(folder: Path, columns: dict[str, object], **layout: int | str) -> Tower:
    return read_tower(_file(folder, columns, **layout))


def test_days_are_means_of_their_steps_in_daily_units(tmp_path: Path) -> None:
    for minutes in (30, 60):
        steps = 1440 // minutes
        tower = _read(tmp_path, {"NEE_PI": np.arange(2 * steps) / steps, "RECO_PI": 3.0}, minutes=minutes)
        first = (steps - 1) / (2 * steps)  # mean of 0, 1/n .. (n-1)/n
        np.testing.assert_allclose(tower.days["nee"], np.array([first, 1 + first]) * DAILY)
        np.testing.assert_allclose(tower.gpp, tower.days["reco"] - tower.days["nee"])
        assert tower.site == "US-CRT"
        assert (tower.days["qc"] == 1).all()


@pytest.mark.parametrize(
    ("columns", "name", "umol"),
    [
        ({"FC": 2.0, "NEE_PI": 1.0}, "NEE_PI", 1),
        ({"FC": 2.0, "NEE_PI": -9999}, "FC", 2),  # without any value
        ({"FC_2_1_1": 2.0, "FC_10_1_1": 1.0}, "FC_2_1_1", 2),  # numbers, not letters
        ({"FC_1_1_1": 2.0, "FC": 1.0}, "FC", 1),
        ({"FC_1_1_A": 2.0, "FC_1_1_2": 1.0}, "FC_1_1_2", 1),
        ({"FC_1_2_1": 2.0, "FC_1_1_3": 1.0}, "FC_1_1_3", 1),
        ({"NEE_PI_1_1_1": 2.0, "FC": 1.0}, "NEE_PI_1_1_1", 2),
        ({"FC": 2.0, "SC": 0.5}, "FC + SC", 2.5),
        ({"FC_1_1_1": 2.0, "SC_1_1_1": 0.5, "SC_2_1_1": 9.0}, "FC_1_1_1 + SC_1_1_1", 2.5),
        ({"FC_1_1_1": 2.0, "SC_2_1_1": 0.5}, "FC_1_1_1", 2),  # storage of another place
        ({"FC": 2.0, "SC": np.where(np.arange(96) < 40, 0.5, -9999)}, "FC", 2),  # too little storage
        ({"NEE_PI": 2.0, "SC": 0.5}, "NEE_PI", 2),  # the team's NEE has it
        ({"FC": 2.0, "NEE_PI_F": 1.0, "FC_SSITC_TEST": 1.0, "FCH4": 1.0, "FC_1_1_1_SD": 1.0}, "FC", 2),
    ],
)
def test_the_same_column_is_taken_always_and_named(
    tmp_path: Path, columns: dict[str, object], name: str, umol: float
) -> None:
    tower = _read(tmp_path, columns)
    assert tower.names.nee == name
    np.testing.assert_allclose(tower.days["nee"], umol * DAILY)


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    notes = " ".join(_read(tmp_path, {"FC_1_1_1": 2.0, "FC_2_1_1": 1.0, "RECO_PI": 3.0, "RECO_PI_F": 4.0}).notes(0.75))
    assert "(RECO_PI_F, FC_1_1_1)" in notes
    assert "not used: FC_2_1_1, RECO_PI." in notes
    assert "AmeriFlux BASE 2-5" in notes


def test_storage_is_needed_on_a_step_once_it_is_taken(tmp_path: Path) -> None:
    storage = np.where(np.arange(96) < 60, 0.5, np.nan)
    tower = _read(tmp_path, {"FC": 2.0, "SC": storage})
    assert list(tower.days["qc"]) == [1, 0.25]
    assert list(tower.days["nee"].isna()) == [False, True]


def test_reco_is_nee_plus_gpp_where_only_gpp_is_given(tmp_path: Path) -> None:
    tower = _read(tmp_path, {"NEE_PI": -4.0, "GPP_PI": 9.0})
    np.testing.assert_allclose(tower.days["reco"], 5 * DAILY)
    np.testing.assert_allclose(tower.gpp, tower.days["gpp_product"])
    assert tower.names.reco == "NEE_PI + GPP_PI"


def test_without_reco_and_gpp_there_is_no_gpp(tmp_path: Path) -> None:
    tower = _read(tmp_path, {"NEE_PI": -4.0})
    assert tower.without_gpp.all()
    assert "(no Reco, NEE_PI)" in tower.notes(0.75)[0]
    assert not tower.scored(0).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 48), st.floats(0, 1) | st.integers(0, 48).map(lambda steps: steps / 48))
def test_a_day_is_given_from_the_least_share_of_measured_steps(
    tmp_path_factory: pytest.TempPathFactory, measured: int, min_share: float
) -> None:
    nee = np.where(np.arange(96) % 48 < measured, 2.0, np.nan)
    nee[48:] = 1.0  # a whole day beside it
    path = _file(tmp_path_factory.mktemp("base"), {"NEE_PI": nee})
    days = read_base(TowerTable.of(TowerFile(path)), min_share=min_share).days
    enough = measured > 0 and measured / 48 >= min_share
    assert days["nee"].notna().tolist() == [enough, True]
    assert days["qc"].iloc[0] == measured / 48
    if enough:
        assert days["nee"].iloc[0] == pytest.approx(2 * DAILY)


def test_days_with_too_few_measurements_are_counted(tmp_path: Path) -> None:
    nee = np.where(np.arange(48 * 3) < 48 + 38, 2.0, np.nan)  # 48, 38 (79 %) and 0 of 48
    nee[48 * 2 : 48 * 3 - 1] = 1.0  # 47
    tower = _read(tmp_path, {"NEE_PI": nee}, days=3)
    assert list(tower.days["nee"].isna()) == [False, True, False]
    assert "Of the file's 3 days, 1 have less than 80%" in " ".join(tower.reading)
    assert "1 have gaps" in " ".join(tower.reading)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"H": 1.0}, "none of NEE_PI, NEE, FC has a value"),
        ({"NEE_PI": -9999, "NEE_PI_F": 2.0}, r"filled columns such as NEE_PI_F do not count"),
        ({"NEE_PI": -4.0, "GPP_PI": -9.0}, "GPP_PI is -9 .* change its sign"),
        ({"NEE_PI": -4.0, "RECO_PI": -5.0}, "RECO_PI is -5 .* change its sign"),
        ({"NEE_PI": "n/k"}, "NEE_PI holds values that are not numbers"),
        ({"FC": 632.0}, "100% of FC exceed 100 umol CO2 m-2 s-1"),
        ({"FC": -6999.0}, "100% of FC exceed 100 umol CO2 m-2 s-1"),
    ],
)
def test_faulty_files_are_refused(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _read(tmp_path, columns)


def test_a_lone_spike_is_taken_out_and_counted(tmp_path: Path) -> None:
    nee = np.full(480, 2.0)
    nee[100] = 400.0
    tower = _read(tmp_path, {"FC": nee}, days=10)
    np.testing.assert_allclose(tower.days["nee"], 2 * DAILY)
    assert tower.days["qc"].iloc[2] == 47 / 48
    assert "1 values beyond 100 umol CO2 m-2 s-1 are taken as missing." in tower.reading


def test_a_file_that_lost_its_comment_lines_is_still_a_base_file(tmp_path: Path) -> None:
    tower = _read(tmp_path, {"NEE_PI": 2.0}, head="")
    assert tower.site == "US-CRT"
    assert "AmeriFlux BASE without version" in tower.reading[0]


@pytest.mark.realdata
def test_the_real_file_has_its_two_winter_days(realdata: Path) -> None:
    path = realdata / "ameriflux" / "AMF_US-CRT_BASE_HH_2-5.csv"
    tower = read_tower(path)
    raw = [line.split(",") for line in path.read_text().splitlines()[2:]]
    at = raw[0].index("NEE_PI")
    measured = {
        day: sum(row[0].startswith(day) and row[at] != "-9999" for row in raw) for day in ("20110101", "20110102")
    }
    assert tower.site == "US-CRT"
    assert list(tower.days["qc"] * 48) == list(measured.values()) == [9, 29]
    assert tower.days["nee"].isna().all()
    assert "not used: FC." in tower.reading[-1]
