"""Hourly weather and soil layers in the input layout of the process model *ecosys*, as daily climate and 0-30 cm soil.

A weather file has four header lines, then one row an hour: year, day of year, hour, and temperature [degC], specific
humidity [g/g], wind [m s-1], precipitation [mm], pressure [kPa], short-wave and long-wave radiation [W m-2], CO2
[ppm], all but CO2 followed by a flag. *ecosys* names an hour by its end in local standard time, so that hour 0 of a
day is hour 24 of the day before; daily maxima, minima and sums then equal those that it reports itself. (In the shipped
files of Mead, radiation and the tower's temperature agree slightly better with hours named by their beginning; the
choice decides to which day one hour of the night belongs.) A year's file has 366 days; day 366 of a common year repeats
day 365 as padding and is dropped.
"""

from __future__ import annotations

import calendar
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.features import CLIMATE_NAMES, SOIL_NAMES
from pipeline.errors import UserError

# First two header lines: hourly by day of year, then the letters of index and data columns (X: not read by ecosys) and
# their units (C, g/g, m s-1, mm, W m-2). Files with other letters have other columns or units.
LAYOUT = ("HJ0311XDHTXHXWXPXXXR", "CXGXSXMXXXW")
HEADER_LINES = 4
HOURLY_COLUMNS = {
    0: "year",
    1: "day",
    2: "hour",
    3: "temperature_degc",
    5: "humidity_g_g",
    7: "wind_m_s",
    9: "precipitation_mm",
    11: "pressure_kpa",
    13: "shortwave_w_m2",
}
TOPSOIL_M = 0.3

# Line of the soil file (1-based) that holds each soil input by layer, in the network's units; line 2 is the depth of
# the layers' bottoms [m].
DEPTH_LINE = 2
SOIL_LINES = {
    "TBKDS": 3,
    "TFC": 4,
    "TWP": 5,
    "TKSat": 6,
    "TSAND": 8,
    "TSILT": 9,
    "TPH": 12,
    "TCEC": 13,
    "TSOC": 15,
}


def vapour_pressure(humidity_g_g: pd.Series, pressure_kpa: pd.Series) -> pd.Series:
    """Return vapour pressure [kPa] from specific humidity: e = q p / (0.622 + 0.378 q).

    Examples
    --------
    >>> vapour_pressure(pd.Series([0.010]), pd.Series([100.0])).round(3).tolist()
    [1.598]
    """
    return humidity_g_g * pressure_kpa / (0.622 + 0.378 * humidity_g_g)


def _read_hours(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8", errors="replace") as file:
        found = tuple(file.readline().strip().rstrip(",") for _ in LAYOUT)
    if found != LAYOUT:
        raise UserError(
            f"{path}: header {found} is not the layout {LAYOUT}; rearrange its columns or convert it to a CSV"
        )
    columns = list(HOURLY_COLUMNS)
    try:
        hours = pd.read_csv(path, skiprows=HEADER_LINES, header=None, usecols=columns, dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path}: not readable as hourly weather ({error})") from None
    return hours[columns].rename(columns=HOURLY_COLUMNS)


def _by_day(hours: pd.DataFrame) -> pd.DataFrame:
    """Return the hours, numbered 1 to 24 by their end, with the date of their day and without padding."""
    midnight = hours["hour"] == 0
    hours = hours.assign(day=hours["day"] - midnight, hour=hours["hour"].where(~midnight, 24))
    leap = hours["year"].map(lambda year: calendar.isleap(int(year)))
    hours = hours[(hours["day"] <= 365) | leap]
    # Hour 0 of 1 January, where a file has it, falls on day 0: 31 December of the year before.
    dates = pd.to_datetime(hours["year"].astype(int).astype(str) + "-01-01") + pd.to_timedelta(
        hours["day"] - 1, unit="D"
    )
    return hours.assign(date=dates)


def _check_hours(hours: pd.DataFrame, folder: Path) -> None:
    if hours.isna().any(axis=None):
        first = hours[hours.isna().any(axis=1)].iloc[0]
        raise UserError(
            f"{folder}: a number is missing in the weather of {first['date']:%Y-%m-%d}, hour {first['hour']:.0f}; fill "
            f"the gap"
        )
    counts = hours.groupby("date")["hour"].agg(["size", "nunique"])
    bad = counts[(counts["size"] != 24) | (counts["nunique"] != 24)]
    if len(bad):
        raise UserError(
            f"{folder}: {len(bad)} days do not have each of 24 hours once, the first is {bad.index[0]:%Y-%m-%d} with "
            f"{bad['size'].iloc[0]} rows; give each hour once"
        )


def hourly_weather(folder: Path) -> pd.DataFrame:
    """Return one row an hour from all weather files (`*w.csv`) of a folder, each day with its 24 hours.

    Columns are those of `HOURLY_COLUMNS`, the vapour pressure vapour_kpa [kPa] from humidity and measured pressure, and
    the date of the hour's day.

    Raises
    ------
    UserError
        If there is no file, a header of another layout, a missing number, or a day without each of its 24 hours.
    """
    files = sorted(folder.glob("*w.csv"))
    if not files:
        raise UserError(f"{folder}: has no hourly weather file *w.csv; give the folder of these files")
    hours = _by_day(pd.concat([_read_hours(path) for path in files], ignore_index=True))
    _check_hours(hours, folder)
    return hours.assign(vapour_kpa=vapour_pressure(hours["humidity_g_g"], hours["pressure_kpa"]))


def daily_weather(folder: Path) -> pd.DataFrame:
    """Return the seven climate inputs by date from all weather files (`*w.csv`) of a folder.

    Radiation is the mean of 24 hours as a daily sum, wind the mean as a wind run at the height where it was measured
    (first value of the file's third line; not adjusted to 10 m).

    Raises
    ------
    UserError
        For the reasons of `hourly_weather`.
    """
    days = hourly_weather(folder).groupby("date")
    highest, lowest = days.max(), days.min()
    daily = pd.DataFrame(
        {
            "RADN": days["shortwave_w_m2"].mean() * 0.0864,
            "TMAX_AIR": highest["temperature_degc"],
            "TDIF_AIR": highest["temperature_degc"] - lowest["temperature_degc"],
            "HMAX_AIR": highest["vapour_kpa"],
            "HDIF_AIR": highest["vapour_kpa"] - lowest["vapour_kpa"],
            "WIND": days["wind_m_s"].mean() * 86.4,
            "PRECN": days["precipitation_mm"].sum(),
        }
    )
    return daily[list(CLIMATE_NAMES)]


def _layer_row(lines: list[str], number: int, *, path: Path) -> NDArray[np.float64]:
    try:
        return np.array([float(cell) for cell in lines[number - 1].split(",") if cell.strip()])
    except (IndexError, ValueError):
        raise UserError(f"{path}: line {number} is not a row of numbers; give an ecosys soil file") from None


def topsoil(path: Path) -> pd.Series:
    """Return the nine soil inputs (index `SOIL_NAMES`) as thickness-weighted means of 0-30 cm of an *ecosys* soil file.

    Raises
    ------
    UserError
        If a line is not a row of numbers, has another number of layers, or has a negative value, with which *ecosys*
        estimates the property.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable soil file ({error})") from None
    bottom_m = np.minimum(_layer_row(lines, DEPTH_LINE, path=path), TOPSOIL_M)
    thickness_m = np.diff(bottom_m, prepend=0)
    if thickness_m.min() < 0 or bottom_m[-1] < TOPSOIL_M:
        raise UserError(f"{path}: layers end at {bottom_m[-1]:g} m or are not in order; they must reach {TOPSOIL_M} m")
    means = {}
    for name in SOIL_NAMES:
        layers = _layer_row(lines, SOIL_LINES[name], path=path)
        if len(layers) != len(thickness_m) or layers[thickness_m > 0].min() < 0:
            raise UserError(
                f"{path}: line {SOIL_LINES[name]} ({name}) must hold {len(thickness_m)} values of 0 or more; "
                f"with a negative one, ecosys estimates the property: give its estimate"
            )
        means[name] = float(layers @ thickness_m / TOPSOIL_M)
    return pd.Series(means)
