"""Findings of an analysis: tables, figure, numbers beside the paper's, and what they cannot say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.analysis.subject import Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_THOUSAND = 1000
MAIN = ""
"""Name of the main table, whose file has the name of the analysis alone."""


@dataclass(frozen=True)
class Published:
    """A figure of the paper: its value in the unit of the number beside it, in words if it has no digits; its source.

    Examples
    --------
    >>> Published(86.0, "p. 7").text, Published("above 0", "p. 8").text
    ('86', 'above 0')
    """

    value: float | str
    source: str

    @property
    def text(self) -> str:
        """The value as it is printed."""
        return self.value if isinstance(self.value, str) else f"{self.value:g}"


@dataclass(frozen=True)
class Number:
    """A result in one number.

    Attributes
    ----------
    name, value, unit
        What it is, its value (NaN if it cannot be computed) and CF unit or "%".
    paper
        The paper's figure of the same quantity, for another region and other weights; None if it gives none.
    """

    name: str
    value: float
    unit: str
    paper: Published | None = None

    def __str__(self) -> str:
        """Return the number in words, with the paper's.

        Examples
        --------
        >>> str(Number("share within 0.5 %", 71.25, "%", Published(86, "p. 7")))
        'share within 0.5 %: 71.2 % (paper: 86 %, p. 7)'
        """
        unit = "" if self.unit == "1" else f" {self.unit}"
        paper = f" (paper: {self.paper.text}{unit}, {self.paper.source})" if self.paper else ""
        return f"{self.name}: {self.text}{unit}{paper}"

    @property
    def text(self) -> str:
        """The value to three digits, or more where it is a number of thousands; a dash if it cannot be computed."""
        if math.isnan(self.value):
            return "–"
        return f"{self.value:,.0f}" if abs(self.value) >= _THOUSAND else f"{self.value:.3g}"

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, null for a value that is not finite."""
        return asdict(self) | {"value": self.value if abs(self.value) < float("inf") else None}


@dataclass(frozen=True, eq=False)
class Findings:
    """Findings of an analysis of a subject.

    Attributes
    ----------
    computed
        What was computed, in sentences.
    limits
        What it cannot say, in sentences.
    numbers
        Results in numbers, the most important first.
    tables
        Tables by name, `MAIN` first; columns have their units in their names.
    figure
        The picture.
    notes
        Missing or excluded data, counted.
    """

    computed: str
    limits: str
    numbers: tuple[Number, ...]
    tables: Mapping[str, pd.DataFrame]
    figure: Figure
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Analysis:
    """An analysis by name.

    Attributes
    ----------
    name, title, purpose
        Name on the command line, title of figure and page, and one line on what it answers.
    obstacle
        Returns the reason why a subject does not allow it (too few years, no county yields), or None.
    analyse
        Returns its findings; raises `UserError` for data that it cannot use.
    """

    name: str
    title: str
    purpose: str
    obstacle: Callable[[Subject], str | None]
    analyse: Callable[[Subject], Findings]


def too_few_years(subject: Subject, least: int) -> str | None:
    """Return the reason if the subject has fewer years than `least`."""
    found = len(subject.years)
    return f"needs {least} years with results; there are {found}" if found < least else None
