"""Weather from towers' own files: hourly, daily and BASE, gaps, and the real tower beside the weather of its field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.synthetic.weather import saturation_pressure
from pipeline.errors import UserError
from pipeline.sources.ecosys import daily_weather, hourly_weather
from pipeline.sources.towers.read import read_tower_weather
from tests.helpers.tower_files import FLUXNET, write_fluxnet, write_zip

NAMES = ["TA_F", "VPD_F", "SW_IN_F", "WS_F", "P_F"]


def _hours(days: int, *, minutes: int = 60, start: str = "2003-07-01") -> pd.DataFrame:
    begins = pd.date_range(start, periods=days * 24 * 60 // minutes, freq=f"{minutes}min")
    hour = begins.hour + begins.minute / 60
    table = pd.DataFrame(
        {
            "TA_F": 20 + 8 * np.sin((hour - 9) / 24 * 2 * np.pi),
            "VPD_F": 4 + 2 * np.sin((hour - 9) / 24 * 2 * np.pi),
            "SW_IN_F": np.clip(800 * np.sin((hour - 6) / 12 * np.pi), -1, None),
            "WS_F": 3.0,
            "P_F": np.where(hour == 5, 2.5, 0.0),
        },
        begins,
    )
    stamps = [time.strftime("%Y%m%d%H%M") for time in (begins, begins + pd.Timedelta(minutes=minutes))]
    return table.assign(TIMESTAMP_START=stamps[0], TIMESTAMP_END=stamps[1])


def _written(folder: Path, table: pd.DataFrame, *, base: bool = False) -> Path:
    # A FLUXNET file is known by the columns of its fluxes.
    named = table if base else table.assign(NEE_VUT_REF=1.0)
    path = folder / "AMF_US-XX1_FLUXNET_FULLSET_HR_2003-2003_1-4.csv"
    named.fillna(-9999).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("minutes", [30, 60])
def test_extremes_of_a_day_are_those_of_its_steps(tmp_path: Path, minutes: int) -> None:
    table = _hours(2, minutes=minutes)
    found = read_tower_weather(_written(tmp_path, table))
    day = table.iloc[: len(table) // 2]
    vapour = saturation_pressure(day["TA_F"].to_numpy()) - day["VPD_F"].to_numpy() / 10
    expected = {
        "RADN": day["SW_IN_F"].mean() * 86400 / 1e6,
        "TMAX_AIR": 28.0,
        "TDIF_AIR": 16.0,
        "HMAX_AIR": vapour.max(),
        "HDIF_AIR": np.ptp(vapour),
        "WIND": 3.0 * 86.4,
        "PRECN": 2.5,
    }
    assert found.days.iloc[0].to_dict() == pytest.approx(expected, rel=1e-9)
    assert len(found.days) == 2
    assert found.notes == ("Weather is that of the tower's own file, with wind at the height where it was measured.",)


def test_base_takes_relative_humidity_where_there_is_no_deficit_and_days_with_enough_steps(tmp_path: Path) -> None:
    table = _hours(3).rename(
        columns=lambda name: name.removesuffix("_F").replace("TA", "TA_1_1_1") if "_F" in name else name
    )
    table = table.rename(columns={"VPD": "RH"}).assign(TA_2_1_1=0.0, FC=1.0, VPD=np.nan)
    table.loc[table.index[24:28], "RH"] = np.nan  # 4 of 24 hours: enough
    found = read_tower_weather(_written(tmp_path, table, base=True))
    vapour = saturation_pressure(table["TA_1_1_1"].to_numpy()) * table["RH"].to_numpy() / 100
    assert found.days["HMAX_AIR"].tolist() == pytest.approx(np.nanmax(vapour.reshape(3, 24), axis=1))
    assert "TA_1_1_1, RH, SW_IN, WS, P, on days with at least 80% of their hours" in found.notes[0]


def test_base_without_wind_is_refused_by_the_missing_column_alone(tmp_path: Path) -> None:
    columns = {"TA_F": "TA", "VPD_F": "RH", "SW_IN_F": "SW_IN", "P_F": "P"}
    table = _hours(2).drop(columns="WS_F").rename(columns=columns)
    with pytest.raises(UserError, match="holds no weather in WS;"):
        read_tower_weather(_written(tmp_path, table, base=True))


def test_gaps_up_to_ten_days_are_interpolated_and_counted_and_longer_ones_stay(tmp_path: Path) -> None:
    table = _hours(40)
    table.loc["2003-07-03":"2003-07-12", "TA_F"] = np.nan
    table.loc["2003-07-20":"2003-07-30", "P_F"] = np.nan
    table.loc["2003-07-13":"2003-07-13", "TA_F"] += 11
    found = read_tower_weather(_written(tmp_path, table))
    np.testing.assert_allclose(found.days["TMAX_AIR"].iloc[1:13], np.linspace(28, 39, 12))
    assert found.days["PRECN"].isna().sum() == 11
    assert found.days["PRECN"].loc["2003-07-20":"2003-07-30"].isna().all()
    assert "10 with gaps of up to 10 days are interpolated, 11 with longer gaps are missing" in found.notes[-1]


def test_a_gap_at_the_end_of_the_record_is_not_extrapolated(tmp_path: Path) -> None:
    table = _hours(10)
    table.loc["2003-07-09":, "WS_F"] = np.nan
    assert read_tower_weather(_written(tmp_path, table)).days["WIND"].isna().sum() == 2


@pytest.mark.parametrize("drop", [*NAMES, "empty"])
def test_a_file_without_a_quantity_is_refused_by_its_column(tmp_path: Path, drop: str) -> None:
    table = _hours(2).assign(P_F=np.nan) if drop == "empty" else _hours(2).drop(columns=drop)
    with pytest.raises(UserError, match=rf"holds no weather in {'P_F' if drop == 'empty' else drop};"):
        read_tower_weather(_written(tmp_path, table))


def test_a_daily_file_of_fluxes_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weather in VPD_F, SW_IN_F, WS_F, P_F, SW_IN_POT"):
        read_tower_weather(write_fluxnet(tmp_path, ["20030101,1,-2,1.0,3,5.5,4,6"]))


def test_of_an_archive_the_hours_are_taken_before_the_days(tmp_path: Path) -> None:
    hours = _written(tmp_path, _hours(2)).read_text()
    archive = write_zip(tmp_path, {FLUXNET.format("DD"): "broken", FLUXNET.format("HR"): hours})
    assert read_tower_weather(archive).days["TDIF_AIR"].tolist() == pytest.approx([16, 16])


def test_values_filled_with_low_confidence_are_reported(tmp_path: Path) -> None:
    flags = np.repeat([0, 1, 2, 3], 12)
    found = read_tower_weather(_written(tmp_path, _hours(2).assign(TA_F_QC=flags, P_F_QC=0)))
    assert found.notes[1] == "Filled with low confidence or from reanalysis: TA_F 50% of the record."


@pytest.mark.realdata
def test_the_real_hours_of_mead_give_the_same_inputs_in_the_form_of_fluxnet(realdata: Path, tmp_path: Path) -> None:
    """Hours of the weather files, written as a FLUXNET file, give the inputs that the reader of *ecosys* gives."""
    hours = hourly_weather(realdata / "mead-weather").query("year == 2003")
    # A step of FLUXNET that ends at midnight belongs to the day before, as hour 24 does.
    begins = pd.DatetimeIndex(hours["date"] + pd.to_timedelta(hours["hour"] - 1, unit="h"))
    saturation = saturation_pressure(hours["temperature_degc"].to_numpy())
    table = pd.DataFrame(
        {
            "TIMESTAMP_START": begins.strftime("%Y%m%d%H%M"),
            "TIMESTAMP_END": (begins + pd.Timedelta(hours=1)).strftime("%Y%m%d%H%M"),
            "TA_F": hours["temperature_degc"].to_numpy(),
            "VPD_F": 10 * (saturation - hours["vapour_kpa"].to_numpy()),
            "SW_IN_F": hours["shortwave_w_m2"].to_numpy(),
            "WS_F": hours["wind_m_s"].to_numpy(),
            "P_F": hours["precipitation_mm"].to_numpy(),
        }
    )
    found = read_tower_weather(_written(tmp_path, table)).days
    expected = daily_weather(realdata / "mead-weather").loc[found.index]
    assert len(found) == 365
    np.testing.assert_allclose(found, expected[found.columns], atol=1e-9)


@pytest.mark.realdata
def test_the_real_tower_agrees_with_the_weather_of_its_field(realdata: Path) -> None:
    found = read_tower_weather(next((realdata / "fluxnet").glob("*_DD_*.csv")))
    assert "RMSE on years left out of 1.71 degC (TMAX_AIR)" in found.notes[1]
    error = (found.days - daily_weather(realdata / "mead-weather")).loc["2002":"2004"]
    assert error.notna().all(axis=None)
    bias, rmse = error.mean(), np.sqrt((error**2).mean())
    limits = {"RADN": (0.2, 2.0), "TMAX_AIR": (0.4, 2.0), "TDIF_AIR": (0.6, 3.4), "HMAX_AIR": (0.1, 0.3)}
    limits |= {"HDIF_AIR": (0.05, 0.25), "WIND": (30, 65)}
    for name, (largest_bias, largest_rmse) in limits.items():
        assert abs(bias[name]) < largest_bias, name
        assert rmse[name] < largest_rmse, name
    assert len(limits) == len(NAMES) + 1


@pytest.mark.realdata
def test_the_precipitation_of_the_irrigated_tower_holds_its_irrigation(realdata: Path) -> None:
    tower = read_tower_weather(next((realdata / "fluxnet").glob("*_DD_*.csv"))).days["PRECN"].loc["2002":"2004"]
    rain = daily_weather(realdata / "mead-weather")["PRECN"].loc[tower.index]
    summer = pd.DatetimeIndex(tower.index).month.isin([6, 7, 8])
    assert (tower - rain)[summer].sum() / 3 > 200  # mm yr-1
    assert abs((tower - rain)[~summer].sum() / 3) < 60
