"""Plausible values of inputs: limits of every variable of the inputs store, with their reasons and the likely causes.

The table is `limits.csv`. `low` and `high` are physical limits: a cell or day outside them is an error of the archive
or of its reading. Values in a larger unit (m s-1 for km d-1, % for g kg-1) may all lie inside them; they show in the
mean over region and year, which has limits of its own. A part of the region may have little of anything: ingest tests
the mean of a product-year once all its parts are read.

References
----------
[1] Allen et al. (1998), FAO Irrigation and Drainage Paper 56, table 2.6: extraterrestrial radiation.
[2] World Meteorological Organization, World Weather and Climate Extremes Archive, https://wmo.asu.edu.
[3] USDA-NRCS, gSSURGO, table `mdstattabcols`: least and largest value of each column, in its units.
[4] Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5: crop GPP of the Midwest.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pydantic import BaseModel

_ROUNDING = 1e-4  # of the width of the limits, or of a mean


class Plausible(BaseModel, frozen=True, extra="forbid"):
    """Limits of one variable, in its units of the inputs store.

    Attributes
    ----------
    low, high
        Limits of every value.
    mean_low, mean_high
        Limits of the mean over a region and a year.
    source
        Reason; numbers in brackets are the references of this module.
    cause
        Likely cause of values outside the limits.
    """

    units: str
    low: float
    high: float
    mean_low: float
    mean_high: float
    source: str
    cause: str

    @property
    def slack(self) -> float:
        """Excess over a limit that rounding explains, in the variable's units: shares are sums of many in float32."""
        return _ROUNDING * (self.high - self.low)


def _read() -> dict[str, dict[str, Plausible]]:
    limits: dict[str, dict[str, Plausible]] = {}
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            product, variable = row.pop("product"), row.pop("variable")
            limits.setdefault(product, {})[variable] = Plausible.model_validate(row)
    return limits


LIMITS = _read()
"""Limits by product and variable, stored or derived; related variables are neighbours."""


def plausible(product: str, variable: str) -> Plausible | None:
    """Return the limits of a variable, stored or derived, of a product; None if it has none."""
    return LIMITS[product].get(variable)


def faults(
    product: str, variable: str, minimum: float | None, maximum: float | None, *, mean: float | None = None
) -> str | None:
    """Say in a sentence which limits a variable breaks and why that happens; None where all is plausible.

    Parameters
    ----------
    minimum, maximum
        Of all values, in the units of the inputs store; None where there is none.
    mean
        Over a region and a year, if it is known.
    """
    limits = plausible(product, variable)
    if limits is None:
        return None
    near, found = limits.slack, []
    if minimum is not None and minimum < limits.low - near:
        found.append(f"minimum {minimum:.4g} is below {limits.low:g}")
    if maximum is not None and maximum > limits.high + near:
        found.append(f"maximum {maximum:.4g} is above {limits.high:g}")
    if mean is not None and not limits.mean_low * (1 - _ROUNDING) <= mean <= limits.mean_high * (1 + _ROUNDING):
        found.append(f"mean {mean:.4g} is outside {limits.mean_low:g} to {limits.mean_high:g}")
    unit = "" if limits.units == "1" else f" {limits.units}"
    return f"{variable}: {', '.join(found)}{unit} ({limits.source}); likely cause: {limits.cause}" if found else None
