"""Half-hourly and hourly fluxes of a tower [umol CO2 m-2 s-1] -> days [g C m-2 d-1].

Steps are stamped with their start and end in local standard time, so that every day has 24 hours; a step that ends at
midnight belongs to the day in which it began.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.daily_record import FluxLimit, spike_notes, without_spikes
from pipeline.sources.towers.tables import STEP_DIGITS, TowerTable

STAMPS = ["TIMESTAMP_START", "TIMESTAMP_END"]
# Fluxes are positive to the atmosphere, in amounts of CO2: one mole of CO2 carries one mole of carbon.
GC_PER_UMOL = 12.011e-6  # molar mass of carbon [g umol-1]
SECONDS_PER_DAY = 86400
STEP_MINUTES = (30, 60)
NAMES = {30: "half-hours", 60: "hours"}

# The uptake of maize reaches about 70 umol m-2 s-1.
STEP_LIMIT = FluxLimit(100.0, "umol CO2 m-2 s-1", "mg CO2 m-2 h-1 (158 times as much) or nmol")
SUMMER = (6, 7, 8)
SUMMER_DAYS = 20  # days of steps that are enough to judge a summer
SUMMER_UPTAKE_UMOL = 3.0  # NEE of a growing crop exceeds this in far more than 1 % of summer steps


@dataclass(frozen=True)
class Steps:
    """Columns by start of the step (local standard time), fluxes in umol CO2 m-2 s-1; NaN is missing."""

    minutes: int
    values: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def per_day(self) -> int:
        """Number of steps in a day."""
        return 24 * 60 // self.minutes

    @property
    def name(self) -> str:
        """Name of the steps for people: half-hours or hours."""
        return NAMES[self.minutes]


def read_steps(table: TowerTable, fluxes: list[str], *, others: tuple[str, ...] = ()) -> Steps:
    """Return columns of `table` by step: `fluxes` without spikes, which are counted, and `others` as they are.

    Raises
    ------
    UserError
        If a column is missing, a value is not a number, more than 1 % of the fluxes are beyond those of a field, or a
        step is malformed, repeated, out of order or of another length than the first.
    """
    raw = table.read([*fluxes, *others], stamps=STAMPS)
    start, minutes = _starts(table, raw)
    raw = raw.drop(columns=STAMPS).set_axis(start, axis=0)
    smooth = without_spikes(raw[fluxes], limit=STEP_LIMIT, place=table.file)
    return Steps(minutes, smooth.join(raw[list(others)]), spike_notes(raw[fluxes], smooth, limit=STEP_LIMIT))


def _starts(table: TowerTable, raw: pd.DataFrame) -> tuple[pd.DatetimeIndex, int]:
    start, end = (table.times(raw[name], digits=STEP_DIGITS) for name in STAMPS)
    minutes = int((end[0] - start[0]) / np.timedelta64(1, "m")) if not np.isnat(end[0] - start[0]) else 0
    step = np.timedelta64(minutes, "m")
    midnight = start.astype("datetime64[D]")
    # Steps begin at multiples of their length after midnight: other steps would belong to two days.
    faulty = np.isnat(start) | (end - start != step) | ((start - midnight) % step != np.timedelta64(0, "m"))
    faulty[1:] |= start[1:] < end[:-1]
    if minutes not in STEP_MINUTES or faulty.any():
        row = int(np.flatnonzero(faulty)[0]) if minutes in STEP_MINUTES else 0
        stamps = " to ".join(repr(raw[name].iloc[row]) for name in STAMPS)
        raise UserError(
            f"{table.file}: TIMESTAMP {stamps} in row {row + 1} is not one step of 30 or 60 minutes, YYYYMMDDHHMM, "
            f"after the earlier rows and of the same length; give the HH or HR file with each step once"
        )
    return pd.DatetimeIndex(start), minutes


def daily_share(steps: pd.Series, *, per_day: int) -> pd.Series:
    """Return by date the share of the steps of a full day for which `steps` (bool by start) is true; 0 to 1."""
    days = pd.DatetimeIndex(steps.index).normalize()
    return steps.groupby(days).sum() / per_day


def daily_fluxes(steps: Steps, columns: list[str], *, min_share: float = 1.0) -> pd.DataFrame:
    """Return daily sums [g C m-2 d-1] by date; NaN where fewer than `min_share` of the day's steps have a value.

    The sum is the mean of the present steps times 86,400 s: missing steps count as if they were like the others.
    """
    values = steps.values[columns]
    by_day = values.groupby(pd.DatetimeIndex(values.index).normalize())
    return by_day.mean().where(by_day.count() >= min_share * steps.per_day) * (GC_PER_UMOL * SECONDS_PER_DAY)


def scale_notes(nee: pd.Series, *, per_day: int) -> tuple[str, ...]:
    """Return a warning where the summer NEE by step is as small as in a file of another unit, if it is.

    A magnitude cannot prove the unit (fluxes of a fallow field are small too), hence a warning and no refusal. Days in
    umol m-2 s-1 taken for g C m-2 d-1 differ by 4 % only and cannot be detected.
    """
    summer = nee[pd.DatetimeIndex(nee.index).month.isin(SUMMER)].dropna().abs()
    if len(summer) < SUMMER_DAYS * per_day or summer.quantile(0.99) >= SUMMER_UPTAKE_UMOL:
        return ()
    return (
        f"Check the unit: 99 % of {nee.name} in June to August is within {summer.quantile(0.99):.2g}, little for a "
        f"crop in umol CO2 m-2 s-1, but usual in mg CO2 m-2 s-1 or g C m-2 per step.",
    )
