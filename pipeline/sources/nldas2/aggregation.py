"""Hourly weather -> daily climate in the units of the network.

Hours are given as (5, hours, rows, cols) in the order temperature [degC], vapour pressure [kPa], wind speed at 10 m
[m s-1], short-wave radiation [W m-2], rain of the hour [mm]; an hour of a cell has values in all five or is NaN in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RAIN = 4  # index of rain, after the four states
MARGIN_HOURS = 24  # hours before and after the days, from which missing ones are interpolated
KPA_PER_PA = 1e-3
MJ_D_PER_W = 0.0864  # MJ m-2 d-1 per W m-2
KM_D_PER_M_S = 86.4  # km d-1 per m s-1: the network's wind is a run of wind


@dataclass(frozen=True)
class Daily:
    """Climate of consecutive days, `climate_FTYX` (7, days, rows, cols), and their missing hours, `missing_TYX`."""

    climate_FTYX: Array
    missing_TYX: NDArray[np.uint8]


def vapour_pressure(humidity: Array, pressure: Array) -> Array:
    """Return the vapour pressure [kPa] from specific humidity [kg kg-1] and air pressure [Pa].

    0.622 is the ratio of the molar masses of water and dry air.

    Examples
    --------
    >>> round(float(vapour_pressure(np.float32(0.01), np.float32(101325))), 3)
    1.619
    """
    return humidity * pressure / (0.622 + 0.378 * humidity) * np.float32(KPA_PER_PA)


def reduce_days(hours_QHYX: Array, *, max_missing: int) -> Daily:
    """Return the climate of whole days, as features and units of `model.features.CLIMATE_NAMES`.

    Up to `max_missing` missing hours of a day are filled: states linearly in time between the nearest hours with
    values, or by the nearest where one side has none; rain by the mean of the day's other hours. A day with more
    missing hours is NaN.

    Parameters
    ----------
    hours_QHYX
        (5, 24 + 24 days + 24, rows, cols): the hours of the days, with `MARGIN_HOURS` before and after.
    max_missing
        Largest number of missing hours that is filled.
    """
    states_QHYX, rain_HYX = hours_QHYX[:RAIN], hours_QHYX[RAIN]
    states_QTHYX, rain_THYX = _by_day(states_QHYX), _by_day(rain_HYX)
    missing_TYX = np.isnan(rain_THYX).sum(axis=1)
    fillable_TYX = (missing_TYX > 0) & (missing_TYX <= max_missing)
    for day in np.flatnonzero(fillable_TYX.any(axis=(1, 2))):
        around_QHYX = states_QHYX[:, 24 * day : 24 * (day + 1) + 2 * MARGIN_HOURS]
        filled_QHYX = _interpolated(around_QHYX)[:, MARGIN_HOURS:-MARGIN_HOURS]
        np.copyto(states_QTHYX[:, day], filled_QHYX, where=fillable_TYX[day])
    there_TYX = np.where(missing_TYX <= max_missing, 24 - missing_TYX, np.nan)
    rain_TYX = _sum(np.nan_to_num(rain_THYX)) * 24 / there_TYX

    # The order of CLIMATE_NAMES: RADN, TMAX, TDIF, HMAX, HDIF, WIND, PRECN.
    temperature, pressure, wind, radiation = states_QTHYX
    warmest, moistest = temperature.max(axis=1), pressure.max(axis=1)
    climate = (
        _sum(radiation) / 24 * MJ_D_PER_W,
        warmest,
        warmest - temperature.min(axis=1),
        moistest,
        moistest - pressure.min(axis=1),
        _sum(wind) / 24 * KM_D_PER_M_S,
        rain_TYX,
    )
    return Daily(np.stack(climate).astype(np.float32), missing_TYX.astype(np.uint8))


def _by_day(hours: Array) -> Array:
    """Return a copy of (..., hours, rows, cols) without the margins as (..., days, 24, rows, cols)."""
    inner = hours[..., MARGIN_HOURS:-MARGIN_HOURS, :, :]
    return inner.reshape(*inner.shape[:-3], -1, 24, *inner.shape[-2:]).copy()


def _sum(hours_THYX: Array) -> Array:
    """Return the sum of each day's hours, added one after another.

    NumPy sums in an order that depends on the array's shape; the last bit of a cell would then depend on its window.
    """
    total_TYX: Array = reduce(np.add, np.moveaxis(hours_THYX, 1, 0))
    return total_TYX


def _interpolated(states_QHYX: Array) -> Array:
    """Return states with missing hours linear between the hours with values around them, or the nearest at an end."""
    there_HYX = np.isfinite(states_QHYX[0])
    last = len(there_HYX) - 1
    hour_HYX = np.broadcast_to(np.arange(last + 1)[:, None, None], there_HYX.shape)
    # Index of the last hour with a value up to each hour, and of the first one from it on.
    before = np.maximum.accumulate(np.where(there_HYX, hour_HYX, -1), axis=0)
    after = np.minimum.accumulate(np.where(there_HYX, hour_HYX, last + 1)[::-1], axis=0)[::-1]
    before, after = np.where(before < 0, after, before), np.where(after > last, before, after)
    weight = ((hour_HYX - before) / np.maximum(after - before, 1)).astype(np.float32)
    low, high = (np.take_along_axis(states_QHYX, at.clip(0, last)[None], axis=1) for at in (before, after))
    filled: Array = (1 - weight) * low + weight * high
    return filled
