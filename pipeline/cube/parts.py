"""Parts of a tile-year that have a digest of their own in the ledger: what the reader of one map needs, and no more.

A part is an annual layer, or a daily flux over `PART_DAYS` days, at the modelled cells.
"""

from __future__ import annotations

from itertools import product
from typing import Any, TypeAlias

from numpy.typing import NDArray

from model.arrays import MONTHS
from pipeline.digests import content_digest
from pipeline.storage import cf
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD

PART_DAYS = 61
PART_BYTES = 8  # of a digest: it guards against damage, not against forgery


def daily_part(name: str, first: int) -> str:
    """Return the name of the part of a daily flux that begins with day `first`, counted from 0.

    Examples
    --------
    >>> daily_part("nee", 61)
    'nee from day 61'
    """
    return f"{name} from day {first}"


def part_digest(values: NDArray[Any]) -> str:
    """Return the digest of a part, in hexadecimal digits."""
    return content_digest(values)[: 2 * PART_BYTES]


PARTS = (
    *(daily_part(variable.name, first) for variable in DAILY for first in range(0, cf.LEAP_DAYS, PART_DAYS)),
    *(variable.name for variable in (*ANNUAL, *ENSEMBLE_STD.values())),
)
"""All parts in order; a single network has none of `ENSEMBLE_STD`."""

MonthPart: TypeAlias = tuple[str, int]
"""A month, from 0, of a flux of the members of an ensemble."""
MONTH_PARTS: tuple[MonthPart, ...] = tuple(product((variable.name for variable in DAILY), range(MONTHS)))
"""All of them in order."""
