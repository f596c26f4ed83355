"""Years in words."""

from __future__ import annotations

from collections.abc import Iterable


def spans(years: Iterable[int]) -> str:
    """`2000-2004, 2010`."""
    found: list[list[int]] = []
    for year in years:
        if found and year == found[-1][-1] + 1:
            found[-1] = [found[-1][0], year]
        else:
            found.append([year])
    return ", ".join("-".join(str(year) for year in span) for span in found)
