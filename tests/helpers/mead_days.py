"""Daily means and extremes of the hours of Mead, from which the regression of the extremes is derived."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from model.synthetic.weather import saturation_pressure
from pipeline.sources.ecosys import hourly_weather


class MeadDays(NamedTuple):
    means: pd.DataFrame
    extremes: pd.DataFrame


def mead_days(realdata: Path) -> MeadDays:
    """Means as a daily file of FLUXNET gives them (VPD not below 0) and extremes, 2001-2006."""
    hours = hourly_weather(realdata / "mead-weather")
    saturation = pd.Series(saturation_pressure(hours["temperature_degc"].to_numpy()), hours.index)
    by_day = hours.assign(vpd_kpa=(saturation - hours["vapour_kpa"]).clip(lower=0)).groupby("date")
    means = by_day[["temperature_degc", "vpd_kpa"]].mean()
    means["radiation_mj_m2_d"] = by_day["shortwave_w_m2"].mean() * 0.0864
    # At the top of the atmosphere the radiation is that of the day of year; the tower's file gives it.
    file = next((realdata / "fluxnet").glob("*_DD_*.csv"))
    tower = pd.read_csv(file, usecols=["TIMESTAMP", "SW_IN_POT"], index_col="TIMESTAMP", parse_dates=True)
    potential = tower["SW_IN_POT"].groupby(pd.DatetimeIndex(tower.index).day_of_year).mean() * 0.0864
    means["potential_mj_m2_d"] = potential.loc[pd.DatetimeIndex(means.index).day_of_year].to_numpy()
    highest, lowest = by_day.max(), by_day.min()
    columns = {"t": "temperature_degc", "h": "vapour_kpa"}
    extremes = {f"{key}max": highest[name] for key, name in columns.items()}
    extremes |= {f"{key}min": lowest[name] for key, name in columns.items()}
    return MeadDays(means, pd.DataFrame(extremes))
