"""Weather and soil in the layout of ecosys, against what ecosys itself made of the same files."""

from __future__ import annotations

import calendar
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from pipeline.sources.ecosys import LAYOUT, daily_weather, topsoil, vapour_pressure


def _hours(year: int) -> pd.DataFrame:
    """Rows as the files hold them: 1 January from hour 1, hours 0 to 23, the last day to hour 24, a padded day 366."""
    last = 365 + calendar.isleap(year)
    stamps = [*[(day, hour) for day in range(1, last + 1) for hour in range(24)][1:], (last, 24)]
    if last == 365:
        stamps += [(366, hour) for hour in range(1, 25)]
    day, hour = np.array(stamps).T
    true_day = np.where(hour == 0, day - 1, day)
    hours = pd.DataFrame(0, index=range(len(day)), columns=range(18), dtype=float)
    hours[0], hours[1], hours[2] = year, day, hour
    hours[3] = np.where(day > last, 50, true_day / 10 + np.where(hour % 24 == 0, 5, 0))  # the day's maximum at its end
    hours[5], hours[7], hours[9], hours[11], hours[13] = 0.01, 4.0, 0.5, 100.0, 200.0
    return hours


def _write(folder: Path, hours: pd.DataFrame, *, header: tuple[str, str] = LAYOUT) -> None:
    lines = [*header, "6,0,12", "7,0.25"]
    text = "".join(f"{line},,,\n" for line in lines) + hours.to_csv(index=False, header=False)
    (folder / f"xx{hours[0].iloc[0] % 100:02.0f}w.csv").write_text(text)


def test_hour_zero_belongs_to_the_day_before_and_padding_to_none(tmp_path: Path) -> None:
    for year in (2003, 2004):
        _write(tmp_path, _hours(year))
    daily = daily_weather(tmp_path)
    assert list(daily.index) == list(pd.date_range("2003-01-01", "2004-12-31"))
    np.testing.assert_allclose(daily["TMAX_AIR"], daily.index.day_of_year / 10 + 5)
    np.testing.assert_allclose(daily["TDIF_AIR"], 5)


def test_daily_values_are_in_the_networks_units(tmp_path: Path) -> None:
    _write(tmp_path, _hours(2003))
    day = daily_weather(tmp_path).iloc[100]
    assert day["RADN"] == pytest.approx(200 * 86400 / 1e6)  # W m-2 for a day, in MJ
    assert day["WIND"] == pytest.approx(4 * 86.4)
    assert day["PRECN"] == pytest.approx(12)
    assert day["HMAX_AIR"] == pytest.approx(100 * 0.01 / (0.622 + 0.00378))
    assert day["HDIF_AIR"] == 0


def test_vapour_pressure_inverts_to_the_humidity_that_gave_it() -> None:
    vapour, pressure = pd.Series([0.5, 2.5]), pd.Series([98.0, 101.0])
    humidity = 0.622 * vapour / (pressure - 0.378 * vapour)
    np.testing.assert_allclose(vapour_pressure(humidity, pressure), vapour)


@pytest.mark.parametrize("fault", ["hour missing", "hour twice", "no number", "other layout", "no file"])
def test_faulty_weather_is_refused_by_name(tmp_path: Path, fault: str) -> None:
    hours, header = _hours(2003), LAYOUT
    if fault == "hour missing":
        hours = hours.drop(index=500)
    elif fault == "hour twice":
        hours = pd.concat([hours, hours.iloc[[500]]])
    elif fault == "no number":
        hours.loc[500, 3] = np.nan
    elif fault == "other layout":
        header = (LAYOUT[0], "FXGXSXMXXXW")
    if fault != "no file":
        _write(tmp_path, hours, header=header)
    expected = {"other layout": "is not the layout", "no file": "no hourly weather file"}.get(fault, "2003-01-21")
    with pytest.raises(UserError, match=expected):
        daily_weather(tmp_path)


def test_soil_is_weighted_by_thickness_to_30_cm(tmp_path: Path) -> None:
    rows = {2: "0.1,0.2,0.5", 8: "100,200,400", **dict.fromkeys((3, 4, 5, 6, 9, 12, 13, 15), "1,1,-1")}
    lines = [f"{rows.get(number, '0,0,0')},,," for number in range(1, 16)]
    (tmp_path / "soil").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"line 3 \(TBKDS\)"):
        topsoil(tmp_path / "soil")
    (tmp_path / "soil").write_text("\n".join(lines).replace("-1", "4"))
    soil = topsoil(tmp_path / "soil")
    assert soil["TSAND"] == pytest.approx((100 + 200 + 400) / 3)
    assert soil["TPH"] == pytest.approx(2)


def test_soil_that_is_too_shallow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "soil").write_text("\n".join(["0.1,0.2"] * 15))
    with pytest.raises(UserError, match="must reach"):
        topsoil(tmp_path / "soil")


@pytest.mark.realdata
def test_daily_weather_of_mead_equals_what_ecosys_reports(realdata: Path) -> None:
    daily = daily_weather(realdata / "mead-weather")
    reported = pd.read_csv(realdata / "ecosys" / "ecosys_USNe3_daily.csv").query("cycle == 1")
    reported = reported.set_index(pd.to_datetime(reported["date"])).loc[daily.index]
    assert len(daily) == 5 * 365 + 366
    # Printed with six digits. ecosys has its own pressure for vapour and a floor for wind: those are not compared.
    pairs = {"RADN": "srad_deck_MJ_m2", "TMAX_AIR": "tmax_C", "PRECN": "precip_deck_mm"}
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(daily[ours], reported[theirs], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(daily["TMAX_AIR"] - daily["TDIF_AIR"], reported["tmin_C"], atol=1e-4)


@pytest.mark.realdata
def test_soil_of_mead_equals_the_published_means(realdata: Path) -> None:
    means = pd.read_csv(realdata / "ecosys" / "ecosys_USNe3_soil_0_30cm.csv").iloc[0]
    columns = ["BKDS_Mg_m3", "SAND_kg_Mg", "SILT_kg_Mg", "FC_m3m3", "WP_m3m3", "SCNV_mm_h", "ORGC_kgC_Mg", "PH"]
    soil = topsoil(realdata / "mead-weather" / "mesoil")
    np.testing.assert_allclose(soil, means[[*columns, "CEC_cmol_kg"]], rtol=1e-4)
