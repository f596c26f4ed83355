"""Hourly weather -> daily climate in the units of the network.

Hours come as (5, hours, rows, cols) in the order temperature [degC], vapour pressure [kPa], wind speed at 10 m [m s-1],
short-wave radiation [W m-2], rain of the hour [mm]; an hour of a cell is there in all five or, NaN, in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

RAIN = 4  # place of rain; the four states come before it
MARGIN_HOURS = 24  # hours before and after the days, in which values to interpolate from are looked for
KPA_PER_PA = 1e-3
MJ_D_PER_W = 0.0864
KM_D_PER_M_S = 86.4


@dataclass(frozen=True)
class Daily:
    """Climate of consecutive days, `climate_FTYX` (7, days, rows, cols), and hours that each lacked, `missing_TYX`."""

    climate_FTYX: Array
    missing_TYX: NDArray[np.uint8]


def vapour_pressure(humidity: Array, pressure: Array) -> Array:
    """Vapour pressure [kPa] from specific humidity [kg kg-1] and air pressure [Pa]."""
    return humidity * pressure / (0.622 + 0.378 * humidity) * np.float32(KPA_PER_PA)


def reduce_days(hours_QHYX: Array, *, max_missing: int) -> Daily:
    """Return the climate of whole days, as features and units of `model.features.CLIMATE_NAMES`.

    Up to `max_missing` missing hours of a day are filled: states linearly in time between the nearest hours with
    values, the nearest repeated where there is none on one side; rain by the mean of the hours that are there. A day
    that lacks more is NaN.

    Parameters
    ----------
    hours_QHYX
        `MARGIN_HOURS`, the hours of the days, `MARGIN_HOURS`.
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
    """Copy (..., hours, rows, cols) without the margins as (..., days, 24, rows, cols)."""
    inner = hours[..., MARGIN_HOURS:-MARGIN_HOURS, :, :]
    return inner.reshape(*inner.shape[:-3], -1, 24, *inner.shape[-2:]).copy()


def _sum(hours_THYX: Array) -> Array:
    """Sum of each day's hours, one after another: NumPy's own order, and so the last bit, varies with the shape."""
    total_TYX: Array = reduce(np.add, np.moveaxis(hours_THYX, 1, 0))
    return total_TYX


def _interpolated(states_QHYX: Array) -> Array:
    """Fill missing hours linearly between the hours with values around them, or with the nearest at an end."""
    there_HYX = np.isfinite(states_QHYX[0])
    last = len(there_HYX) - 1
    hour_HYX = np.broadcast_to(np.arange(last + 1)[:, None, None], there_HYX.shape)
    before = np.maximum.accumulate(np.where(there_HYX, hour_HYX, -1), axis=0)
    after = np.minimum.accumulate(np.where(there_HYX, hour_HYX, last + 1)[::-1], axis=0)[::-1]
    before, after = np.where(before < 0, after, before), np.where(after > last, before, after)
    weight = ((hour_HYX - before) / np.maximum(after - before, 1)).astype(np.float32)
    low, high = (np.take_along_axis(states_QHYX, at.clip(0, last)[None], axis=1) for at in (before, after))
    filled: Array = (1 - weight) * low + weight * high
    return filled
