"""Gaps of daily GPP."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.sources.gpp_gaps import GapRule, fill_gaps
from pipeline.sources.slope.reader import days_of

RULE = GapRule()


def year_of(*gaps: slice) -> NDArray[np.float32]:
    """One cell of a leap year: the day of year, missing in the gaps (day of year, inclusive)."""
    gpp = np.arange(1, 367, dtype=np.float32)
    for gap in gaps:
        gpp[gap.start - 1 : gap.stop] = np.nan
    return gpp[:, None, None]


def test_dormant_gaps_become_zero_and_are_counted() -> None:
    filled = fill_gaps(year_of(slice(1, 54), slice(300, 310)), rule=RULE)
    assert (filled.gpp_TYX[:54] == 0).all()
    assert filled.dormant_YX.item() == 54 + 6
    assert filled.interpolated_YX.item() == 5
    # 300-304 is linear between day 299 and the 0 of day 305.
    np.testing.assert_allclose(filled.gpp_TYX[299:304, 0, 0], 299 * (1 - np.arange(1, 6) / 6), rtol=1e-6)


def test_the_seasons_are_days_of_year_so_that_31_october_is_dormant_in_leap_years_alone() -> None:
    for year, dormant in ((2003, 0), (2004, 1)):
        gpp = np.ones((len(days_of(year)), 1, 1), np.float32)
        gpp[days_of(year).index(dt.date(year, 10, 31))] = np.nan
        filled = fill_gaps(gpp, rule=RULE)
        assert (filled.dormant_YX.item(), filled.interpolated_YX.item()) == (dormant, 1 - dormant)


def test_a_gap_across_the_border_of_the_seasons_counts_its_growing_days_alone() -> None:
    ten = fill_gaps(year_of(slice(90, 116)), rule=RULE)
    assert (ten.dormant_YX.item(), ten.interpolated_YX.item(), ten.longest_gap_YX.item()) == (17, 10, 10)
    np.testing.assert_allclose(ten.gpp_TYX[105:117, 0, 0], 117 * np.arange(12) / 11, rtol=1e-6)  # 0 on day 106
    eleven = fill_gaps(year_of(slice(90, 117)), rule=RULE)
    assert np.isnan(eleven.gpp_TYX).all()


def test_ten_growing_days_are_interpolated_and_eleven_lose_the_year() -> None:
    ten = fill_gaps(year_of(slice(150, 159)), rule=RULE)
    np.testing.assert_allclose(ten.gpp_TYX[:, 0, 0], np.arange(1, 367), rtol=1e-6)
    assert (ten.interpolated_YX.item(), ten.longest_gap_YX.item()) == (10, 10)
    eleven = fill_gaps(year_of(slice(150, 160)), rule=RULE)
    assert np.isnan(eleven.gpp_TYX).all()
    assert (eleven.interpolated_YX.item(), eleven.longest_gap_YX.item()) == (0, 11)


@st.composite
def gappy_series(draw: st.DrawFn) -> list[float]:
    """A year of one cell in which gaps of all lengths begin anywhere, often near the border of the seasons."""
    days = draw(st.sampled_from([365, 366]))
    series = np.random.default_rng(draw(st.integers(0, 2**32))).gamma(2, 3, days)
    begins = st.one_of(st.integers(0, days - 1), st.integers(90, 110), st.integers(290, 310))
    for first, length in draw(
        st.lists(st.tuples(begins, st.one_of(st.integers(1, 14), st.integers(1, 366))), max_size=8)
    ):
        series[first : first + length] = np.nan
    return [float(value) for value in series.astype(np.float32)]


def filled_by_hand(series: list[float], rule: GapRule) -> tuple[list[float], list[int]]:
    """One cell, day by day; and its dormant days, interpolated days and longest gap."""
    series, dormant, interpolated, longest = list(series), 0, 0, 0
    for number, value in enumerate(series, start=1):
        if math.isnan(value) and not rule.dormant_to < number < rule.dormant_from:
            series[number - 1], dormant = 0.0, dormant + 1
    index = 0
    while index < len(series):
        end = index
        while math.isnan(series[end]):
            end += 1
        before, gap = series[index - 1], end - index
        for step in range(gap):
            series[index + step] = before + (series[end] - before) * (step + 1) / (gap + 1)
        interpolated, longest, index = interpolated + gap, max(longest, gap), end + 1
    if longest > rule.max_gap_days:
        series, interpolated = [math.nan] * len(series), 0
    return series, [dormant, interpolated, longest]


@given(
    st.lists(gappy_series(), min_size=1, max_size=4),
    st.integers(0, 15),
    st.integers(100, 112),
    st.integers(300, 310),
)
def test_filling_many_cells_equals_filling_each_by_hand(
    cells: list[list[float]], max_gap_days: int, dormant_to: int, dormant_from: int
) -> None:
    rule = GapRule(max_gap_days=max_gap_days, dormant_to=dormant_to, dormant_from=dormant_from)
    cells = [cell for cell in cells if len(cell) == len(cells[0])]
    gpp = np.array(cells, np.float32).T[:, None].repeat(2, axis=1)
    before = gpp.copy()
    filled = fill_gaps(gpp, rule=rule)
    np.testing.assert_array_equal(gpp, before)
    for col, cell in enumerate(cells):
        series, counts = filled_by_hand(cell, rule)
        for row in range(2):
            found = [filled.dormant_YX[row, col], filled.interpolated_YX[row, col], filled.longest_gap_YX[row, col]]
            np.testing.assert_allclose(filled.gpp_TYX[:, row, col], series, rtol=1e-5, atol=1e-5)
            assert found == counts


def test_a_cell_without_any_value_is_missing() -> None:
    filled = fill_gaps(np.full((365, 1, 1), np.nan, np.float32), rule=RULE)
    assert np.isnan(filled.gpp_TYX).all()
    assert filled.longest_gap_YX.item() == 304 - 106
