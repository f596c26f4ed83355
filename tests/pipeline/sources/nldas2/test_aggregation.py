"""From hours to days, without files."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.sources.nldas2.aggregation import MARGIN_HOURS, reduce_days, vapour_pressure


def hours(days: int, cells: int = 1) -> NDArray[np.float32]:
    """Whole days between margins; every quantity rises by its own amount an hour, rain is 1 mm."""
    count = 24 * days + 2 * MARGIN_HOURS
    rise = np.array([1.0, 0.01, 0.1, 2.0, 0.0], np.float32)
    start = np.array([-20.0, 0.5, 1.0, 10.0, 1.0], np.float32)
    series = start[:, None] + rise[:, None] * np.arange(count, dtype=np.float32)
    return np.repeat(series[:, :, None, None], cells, axis=3)


def test_vapour_pressure_equals_that_of_the_mixing_ratio() -> None:
    humidity, pressure = np.float32([0.0, 0.004, 0.02]), np.float32([95_000, 98_000, 101_325])
    ratio = humidity.astype(np.float64) / (1 - humidity)  # kg of vapour per kg of dry air
    np.testing.assert_allclose(vapour_pressure(humidity, pressure), ratio * pressure / (0.622 + ratio) / 1e3, rtol=1e-5)


def test_days_are_means_extremes_and_sums_of_their_24_hours() -> None:
    daily = reduce_days(hours(2), max_missing=3)
    # Day 1 begins at hour 24 of the series, so that its 24 hours have the mean 35.5 and the range 23.
    expected = [(10 + 2 * 35.5) * 0.0864, -20 + 47, 23, 0.5 + 0.47, 0.23, (1 + 3.55) * 86.4, 24]
    np.testing.assert_allclose(daily.climate_FTYX[:, 0, 0, 0], expected, rtol=1e-5)
    assert (daily.missing_TYX == 0).all()


@pytest.mark.parametrize("lacking", [[30], [24, 25, 26], [45, 46, 47], [24, 35, 47]])
def test_filled_hours_restore_what_is_linear_in_time(lacking: list[int]) -> None:
    series = hours(2)
    whole = reduce_days(series, max_missing=3)
    series[:, lacking] = np.nan
    filled = reduce_days(series, max_missing=3)
    np.testing.assert_allclose(filled.climate_FTYX, whole.climate_FTYX, rtol=1e-5)
    np.testing.assert_array_equal(filled.missing_TYX[:, 0, 0], [len(lacking), 0])


def test_rain_is_scaled_from_the_hours_that_are_there_and_never_interpolated() -> None:
    series = hours(1)
    series[4] = 0.0
    series[4, [30, 32]] = 6.0
    series[:, 31] = np.nan
    assert reduce_days(series, max_missing=3).climate_FTYX[6].item() == pytest.approx(12 * 24 / 23)


def test_cells_are_missing_each_for_itself() -> None:
    series = hours(2, cells=3)
    series[:, 24:28, :, 1] = np.nan
    series[..., 2] = np.nan
    daily = reduce_days(series, max_missing=3)
    np.testing.assert_array_equal(
        np.isnan(daily.climate_FTYX[:, :, 0]),
        np.broadcast_to([[False, True, True], [False, False, True]], (7, 2, 3)),
    )
    np.testing.assert_array_equal(daily.missing_TYX[:, 0], [[0, 4, 24], [0, 0, 24]])


def test_a_cell_alone_gives_the_same_bits_as_among_others() -> None:
    series = np.random.default_rng(4).uniform(0, 30, (5, 24 * 3 + 2 * MARGIN_HOURS, 7, 9)).astype(np.float32)
    series[:, 30, 2] = np.nan
    together = reduce_days(series, max_missing=3).climate_FTYX
    for row, col in np.ndindex(7, 9):
        alone = reduce_days(series[:, :, row : row + 1, col : col + 1], max_missing=3).climate_FTYX
        np.testing.assert_array_equal(alone[..., 0, 0], together[..., row, col])
