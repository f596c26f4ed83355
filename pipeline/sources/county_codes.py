"""Five-digit FIPS codes of counties from the codes of state and county, as tables spell them."""

from __future__ import annotations

import pandas as pd

# Counties that got another code, old to new, so that all years bear the code of the boundaries in `regions`.
RENUMBERED = {"46113": "46102"}  # Shannon County SD became Oglala Lakota in 2015
LAST_STATE, LAST_COUNTY = 78, 840  # Virgin Islands; Winchester city, Virginia


def county_fips(state: pd.Series, county: pd.Series) -> pd.Series:
    """Return FIPS codes, as 17019 of state "17" and county "19", "019" or "19.0"; NaN where either is no code.

    Counties that were renumbered keep the code that the table gives; `RENUMBERED` has the new one.
    """
    codes = [_code(state, last=LAST_STATE).str.zfill(2), _code(county, last=LAST_COUNTY).str.zfill(3)]
    return codes[0] + codes[1]


def _code(spelled: pd.Series, *, last: int) -> pd.Series:
    digits = spelled.str.strip().str.extract(r"^0*([1-9]\d*)(?:\.0+)?$", expand=False)
    return digits.where(pd.to_numeric(digits) <= last)
