"""Correction of a tower's GPP: the GPP that closes the carbon balance with the tower's Reco and NEE.

Partitioning gives Reco, NEE and GPP products that are filtered separately, so that Reco - NEE differs from the GPP
product. The balance of the network, Ra + Rh - GPP = NEE, then cannot be met, and its inputs are corrected beforehand.

References
----------
Liu et al. (2024), Nature Communications 15:357, doi:10.1038/s41467-023-43860-5. Its text gives GPP as "Reco plus NEE",
NEE counted as uptake; its code takes Reco - NEE, NEE positive to the atmosphere, as here.
"""

from __future__ import annotations

import pandas as pd


def corrected_gpp(reco: pd.Series, nee: pd.Series, *, product: pd.Series) -> pd.Series:
    """Return GPP = Reco - NEE, else the tower's product; NaN where neither is given.

    Slightly negative values are kept: they are noise around zero, and clipping would add carbon and open the balance.

    Parameters
    ----------
    reco, nee, product
        Ecosystem respiration, net ecosystem exchange (positive to the atmosphere) and the GPP of the tower's own
        partitioning, all in one unit and for the same days or months; NaN is missing.

    Examples
    --------
    >>> series = [pd.Series(values) for values in ([3.0, 3.0, None], [-2.0, 4.0, -2.0], [5.5, 0.1, 7.0])]
    >>> corrected_gpp(*series[:2], product=series[2]).tolist()
    [5.0, -1.0, 7.0]
    """
    closing: pd.Series = reco - nee
    return closing.fillna(product)
