"""Annual NEE of a FLUXNET tower with its standard uncertainty, from daily (DD) or monthly (MM) files.

The random part is the root of the sum of squares of NEE_VUT_REF_RANDUNC, days or months taken as independent. The part
of the friction-velocity threshold is that of a normal distribution with the quartiles NEE_VUT_25 and NEE_VUT_75, summed
over the year as fully dependent. FLUXNET adds both in squares; its joint uncertainty has the percentiles 16 and 84, of
which its SUBSET files hold none. Errors common to all eddy-covariance measurements, such as energy-balance closure, are
not included.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3.
"""

from __future__ import annotations

import calendar

import numpy as np
import pandas as pd

from pipeline.sources.towers.fluxnet import DAY, MONTH, STAMP, read_means
from pipeline.sources.towers.tables import MONTH_DIGITS, TowerTable

NEE, RANDOM, QUARTILES = "NEE_VUT_REF", "NEE_VUT_REF_RANDUNC", ("NEE_VUT_25", "NEE_VUT_75")
NORMAL_QUARTILE = 0.6745  # of the standard normal distribution
COLUMNS = ["nee", "nee_sd"]


def annual_nee(table: TowerTable) -> pd.DataFrame:
    """Return NEE, positive to the atmosphere, and its standard uncertainty by complete year [g C m-2 yr-1].

    Columns are `COLUMNS`; nee_sd is NaN where the file holds no quartiles. Days without a random uncertainty, fewer
    than the others, count as 0. A table that is neither daily nor monthly, or not of FLUXNET, has no row.

    Raises
    ------
    UserError
        If the file is refused by `read_means`.
    """
    if STAMP not in table.columns or NEE not in table.columns:
        return pd.DataFrame(columns=COLUMNS, dtype=np.float64)
    known = [name for name in (NEE, RANDOM, *QUARTILES) if name in table.columns]
    digits = len(str(table.read([NEE], stamps=[STAMP])[STAMP].iloc[0]))
    period = MONTH if digits == MONTH_DIGITS else DAY
    means = read_means(table, known, period=period).reindex(columns=[NEE, RANDOM, *QUARTILES])
    dates = pd.DatetimeIndex(means.index)
    sums = means.mul(dates.days_in_month if period is MONTH else 1, axis=0)
    years = sums.assign(random=sums[RANDOM] ** 2).groupby(dates.year)
    low, high = (years[name].sum(min_count=1) for name in QUARTILES)
    random = years["random"].sum()
    threshold = (high - low) / 2 / NORMAL_QUARTILE
    steps = pd.Series({year: 12 if period is MONTH else 365 + calendar.isleap(int(str(year))) for year in years.groups})
    complete = years[NEE].count() == steps
    annual = pd.DataFrame({"nee": years[NEE].sum(), "nee_sd": np.sqrt(random + threshold**2)})
    return annual[complete]
