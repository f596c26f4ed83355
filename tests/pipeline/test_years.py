"""Lists of years as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.years import parse_year_range, parse_years, spans


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2012", (2012,)),
        ("2010-2012", (2010, 2011, 2012)),
        ("2012,2010", (2010, 2012)),
        ("2010-2012, 2011-2013,2008", (2008, 2010, 2011, 2012, 2013)),
    ],
)
def test_years_ranges_and_lists_are_read_in_order_and_once(text: str, years: tuple[int, ...]) -> None:
    assert parse_years(text) == years


@pytest.mark.parametrize("text", ["", "all", "02-04", "2012-2010", "2010,2013-2012", "2010-", "2010;2012", "2010.5"])
def test_text_that_is_no_list_of_years_is_refused_with_the_three_ways_to_write_one(text: str) -> None:
    with pytest.raises(UserError, match=r"^--years .*\(2012\), a range \(2010-2012\) or a list \(2010,2012\)$"):
        parse_years(text)


@given(st.sets(st.integers(1000, 9999), min_size=1))
def test_years_that_are_printed_are_read_back(years: set[int]) -> None:
    assert parse_years(spans(sorted(years))) == tuple(sorted(years))


def test_a_range_is_one_year_or_consecutive_years() -> None:
    assert parse_year_range("2003") == (2003,)
    assert parse_year_range("2002-2004") == (2002, 2003, 2004)


@pytest.mark.parametrize("text", ["02-04", "2004-2002", "all", "2002,2004"])
def test_a_list_is_no_range(text: str) -> None:
    with pytest.raises(UserError, match="such as 2002-2004"):
        parse_year_range(text)
