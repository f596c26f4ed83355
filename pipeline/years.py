"""Calendar years in text: lists of years as users write them, and as messages print them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.errors import UserError

_ONE_OR_RANGE = re.compile(r"(\d{4})(?:-(\d{4}))?")


def spans(years: Iterable[int]) -> str:
    """Return ascending years as text, with consecutive ones joined to ranges.

    Examples
    --------
    >>> spans([2000, 2001, 2002, 2010])
    '2000-2002, 2010'
    """
    found: list[list[int]] = []
    for year in years:
        if found and year == found[-1][-1] + 1:
            found[-1] = [found[-1][0], year]
        else:
            found.append([year])
    return ", ".join("-".join(str(year) for year in span) for span in found)


def parse_years(text: str, *, place: str = "--years") -> tuple[int, ...]:
    """Return the years named by text such as `2012`, `2010-2012` or `2008,2010-2012`, ascending, each once.

    Parameters
    ----------
    text
        Years of four digits and ranges of them, separated by commas.
    place
        Name of the option or argument, for the message.

    Raises
    ------
    UserError
        If the text is anything else, or a range is empty.

    Examples
    --------
    >>> parse_years("2008,2010-2012")
    (2008, 2010, 2011, 2012)
    """
    ranges = [_range(part) for part in text.split(",")]
    if not all(ranges):
        raise UserError(
            f"{place} {text!r}: not a list of years; write one year (2012), a range (2010-2012) or a list (2010,2012)"
        )
    return tuple(sorted({year for each in ranges for year in each}))


def parse_year_range(text: str, *, place: str = "--years") -> tuple[int, ...]:
    """Return the consecutive years named by `2003` or `2002-2004`.

    Raises
    ------
    UserError
        If the text is anything else, or the range is empty.

    Examples
    --------
    >>> parse_year_range("2002-2004")
    (2002, 2003, 2004)
    """
    years = _range(text)
    if not years:
        raise UserError(f"{place} {text!r}: not a range of years; write one year, or a range such as 2002-2004")
    return tuple(years)


def _range(text: str) -> range:
    """Return the years of one year or one range; empty if the text is neither."""
    found = _ONE_OR_RANGE.fullmatch(text.strip())
    return range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)
