"""The climate inputs of the network from a tower's own file.

Hourly and half-hourly files give the extremes of a day directly; the vapour pressure is that of saturation less the
deficit, or, in AmeriFlux BASE without deficit, times the relative humidity. Daily files give the extremes by a
regression (`daily_extremes`). Wind is that of the height where it was measured, not adjusted to 10 m.

Gaps of up to 10 days are interpolated linearly, also in precipitation, so that sums stay unbiased; longer ones stay.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3 (columns `_F` of FLUXNET are measured, or
filled by statistics or reanalysis; VPD_F in hPa, P_F as the sum of a step or day in mm).
Chu et al. (2023), Scientific Data 10:614, doi:10.1038/s41597-023-02531-2 (AmeriFlux BASE, with the same units).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from model.features import CLIMATE_NAMES
from model.synthetic.weather import saturation_pressure
from pipeline.errors import UserError
from pipeline.sources.gpp_gaps import GapRule
from pipeline.sources.towers.ameriflux import MIN_SHARE, is_base, positions
from pipeline.sources.towers.daily_extremes import error_note, estimate_extremes
from pipeline.sources.towers.fluxnet import DAY, GOOD, STAMP, read_means
from pipeline.sources.towers.half_hourly import Steps, read_steps
from pipeline.sources.towers.tables import TowerTable

OWN = "Weather is that of the tower's own file, with wind at the height where it was measured."
FLUXNET = {"temperature_degc": "TA_F", "vpd_hpa": "VPD_F", "radiation_w_m2": "SW_IN_F"}
FLUXNET |= {"wind_m_s": "WS_F", "precipitation_mm": "P_F"}
POTENTIAL = "SW_IN_POT"  # at the top of the atmosphere [W m-2]
BASE = {"temperature_degc": "TA", "vpd_hpa": "VPD", "humidity_percent": "RH", "radiation_w_m2": "SW_IN"}
BASE |= {"wind_m_s": "WS", "precipitation_mm": "P"}
BASE_MARKS = ("_PI_F", "_PI", "")  # what the team filled before what it only measured: weather need not be observed
MJ_PER_W_DAY, KM_PER_M_S_DAY = 0.0864, 86.4
REPORTED_FILL = 0.01  # share of values filled with low confidence, from which on it is reported


@dataclass(frozen=True)
class TowerWeather:
    """Climate inputs by date.

    Attributes
    ----------
    days
        Index consecutive dates; columns the seven climate inputs in their units (`model.features.CLIMATE_NAMES`), NaN
        on days with a gap that is too long to be filled.
    notes
        Sentences on origin, quality and gaps.
    """

    days: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_weather(table: TowerTable) -> TowerWeather:
    """Return the weather of a tower's file; the kind of the file is found by its columns.

    Raises
    ------
    UserError
        If a quantity has no column or no value, a value is not a number, or a stamp is malformed or out of order.
    """
    if is_base(table):
        return _without_gaps(_of_base(table))
    return _without_gaps(_of_days(table) if STAMP in table.columns else _of_steps(table))


def _check_columns(table: TowerTable, missing: Iterable[str]) -> None:
    names = ", ".join(missing)
    if names:
        raise UserError(f"{table.file}: holds no weather in {names}; give a folder of hourly weather (--weather)")


def _of_days(table: TowerTable) -> TowerWeather:
    names = [*FLUXNET.values(), POTENTIAL]
    _check_columns(table, (name for name in names if name not in table.columns))
    flags = [flag for flag in _flags(names) if flag in table.columns]
    raw = read_means(table, [*names, *flags], period=DAY)
    # Consecutive days, so that the neighbours of a day are those of the calendar.
    raw = raw.reindex(pd.date_range(raw.index[0], raw.index[-1]))
    _check_columns(table, (name for name in names if raw[name].isna().all()))
    means = pd.DataFrame(
        {
            "temperature_degc": raw["TA_F"],
            "vpd_kpa": raw["VPD_F"] / 10,
            "radiation_mj_m2_d": raw["SW_IN_F"] * MJ_PER_W_DAY,
            "potential_mj_m2_d": raw[POTENTIAL] * MJ_PER_W_DAY,
        }
    )
    days = estimate_extremes(means).assign(
        RADN=means["radiation_mj_m2_d"], WIND=raw["WS_F"] * KM_PER_M_S_DAY, PRECN=raw["P_F"]
    )
    return TowerWeather(days[list(CLIMATE_NAMES)], (OWN, error_note(), *_fill_notes(1 - raw[flags])))


def _of_steps(table: TowerTable) -> TowerWeather:
    _check_columns(table, (name for name in FLUXNET.values() if name not in table.columns))
    flags = [flag for flag in _flags(FLUXNET.values()) if flag in table.columns]
    steps = read_steps(table, [], others=(*FLUXNET.values(), *flags))
    quantities = pd.DataFrame({name: steps.values[column] for name, column in FLUXNET.items()})
    _check_columns(table, (FLUXNET[str(name)] for name in quantities if quantities[name].isna().all()))
    days = _daily_climate(Steps(steps.minutes, quantities), min_share=1.0)
    poor = (steps.values[flags] > GOOD).where(steps.values[flags].notna())
    return TowerWeather(days, (OWN, *_fill_notes(poor)))


def _of_base(table: TowerTable) -> TowerWeather:
    found = {
        quantity: [column for mark in BASE_MARKS for column in positions(table.columns, name + mark)]
        for quantity, name in BASE.items()
    }
    steps = read_steps(table, [], others=tuple(column for columns in found.values() for column in columns))
    # Columns may be present and empty: -9999 in all rows.
    chosen = {
        quantity: next((column for column in columns if steps.values[column].notna().any()), None)
        for quantity, columns in found.items()
    }
    # Either of the two gives the vapour pressure.
    chosen.pop("humidity_percent" if chosen["vpd_hpa"] or not chosen["humidity_percent"] else "vpd_hpa")
    _check_columns(table, (BASE[quantity] for quantity, column in chosen.items() if column is None))
    quantities = pd.DataFrame({name: steps.values[column] for name, column in chosen.items() if column})
    days = _daily_climate(Steps(steps.minutes, quantities), min_share=MIN_SHARE)
    columns = ", ".join(map(str, chosen.values()))
    share = f"on days with at least {MIN_SHARE:.0%} of their {steps.name}"
    return TowerWeather(days, (f"{OWN[:-1]}: {columns}, {share}.",))


def _flags(names: Iterable[str]) -> list[str]:
    return [f"{name}_QC" for name in names]


def _daily_climate(steps: Steps, *, min_share: float) -> pd.DataFrame:
    """Return the climate inputs by date; NaN where fewer than `min_share` of the day's steps have a value."""
    values = steps.values
    saturation = saturation_pressure(values["temperature_degc"].to_numpy(np.float64))
    if "vpd_hpa" in values:
        vapour = saturation - values["vpd_hpa"] / 10
    else:
        vapour = saturation * values["humidity_percent"].clip(upper=100) / 100
    values = values.assign(vapour_kpa=vapour.clip(lower=0))
    by_day = values.groupby(pd.DatetimeIndex(values.index).normalize())
    known = by_day.count() >= min_share * steps.per_day
    mean, highest, lowest = (each.where(known) for each in (by_day.mean(), by_day.max(), by_day.min()))
    spread = highest - lowest
    days = pd.DataFrame(
        {
            "RADN": (mean["radiation_w_m2"] * MJ_PER_W_DAY).clip(lower=0),  # thermal offsets of the night
            "TMAX_AIR": highest["temperature_degc"],
            "TDIF_AIR": spread["temperature_degc"],
            "HMAX_AIR": highest["vapour_kpa"],
            "HDIF_AIR": spread["vapour_kpa"],
            "WIND": mean["wind_m_s"] * KM_PER_M_S_DAY,
            "PRECN": mean["precipitation_mm"] * steps.per_day,
        }
    )
    return days.reindex(pd.date_range(days.index[0], days.index[-1]))


def _fill_notes(poor: pd.DataFrame) -> tuple[str, ...]:
    """Return a sentence on the columns that are filled, from the share of each row that is (columns `_QC`)."""
    shares = poor.mean()
    named = [f"{str(name)[:-3]} {share:.0%}" for name, share in shares.items() if share >= REPORTED_FILL]
    return (f"Filled with low confidence or from reanalysis: {', '.join(named)} of the record.",) if named else ()


def _without_gaps(weather: TowerWeather) -> TowerWeather:
    """Return the weather with gaps of up to `GapRule.max_gap_days` interpolated linearly and counted in a note."""
    limit = GapRule().max_gap_days
    days = weather.days.apply(lambda column: _interpolated(column, limit=limit))
    filled = int((weather.days.isna().any(axis=1) & days.notna().all(axis=1)).sum())
    missing = int(days.isna().any(axis=1).sum())
    if not filled and not missing:
        return weather
    note = (
        f"Of {len(days):,} days of the tower's weather, {filled:,} with gaps of up to {limit} days are interpolated, "
        f"{missing:,} with longer gaps are missing."
    )
    return TowerWeather(days, (*weather.notes, note))


def _interpolated(values: pd.Series, *, limit: int) -> pd.Series:
    known = values.notna()
    length = (~known).groupby(known.cumsum()).transform("sum")  # of the gap after each known value
    return values.where(known | (length > limit), values.interpolate(limit_area="inside"))
