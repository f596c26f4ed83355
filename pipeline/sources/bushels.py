"""Grain yields: bushels per acre, in which they are traded and surveyed, <-> carbon [g C m-2 yr-1]."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from model.features import CORN, SOYBEAN

GRAMS_PER_POUND = 453.59237
M2_PER_ACRE = 4046.8564224


@dataclass(frozen=True)
class Grain:
    """How a crop's grain is traded, what carbon it holds, and which yields can be [bushel per acre].

    Attributes
    ----------
    item
        Data Item of QuickStats.
    pounds_per_bushel, moisture, carbon
        Weight of a bushel at market `moisture` (share of weight), and the share of carbon in its dry matter, as in the
        published evaluation of KGML-ag-Carbon.
    least_median, most
        Median of a file below which, and value above which, the unit is not bushels per acre.
    """

    item: str
    pounds_per_bushel: float
    moisture: float
    carbon: float
    least_median: float
    most: float

    @property
    def gc_m2_per_bu_ac(self) -> float:
        """Carbon in the grain [g m-2] of one bushel per acre."""
        return self.pounds_per_bushel * GRAMS_PER_POUND / M2_PER_ACRE * (1 - self.moisture) * self.carbon


# Corn of 9 t ha-1 is 150 bushels, soybean of 3.4 t ha-1 is 50; the highest county of 2012-2021 gave 296 of corn.
GRAINS = {
    CORN: Grain("CORN, GRAIN - YIELD, MEASURED IN BU / ACRE", 56, 0.156, 0.45, least_median=20, most=400),
    SOYBEAN: Grain("SOYBEANS - YIELD, MEASURED IN BU / ACRE", 60, 0.13, 0.54, least_median=8, most=130),
}


def yield_gc_m2(bushels_per_acre: pd.Series, crop: pd.Series) -> pd.Series:
    """Return grain carbon [g C m-2 yr-1] of yields [bushel per acre] by crop code."""
    return bushels_per_acre * crop.map({code: grain.gc_m2_per_bu_ac for code, grain in GRAINS.items()})


def yield_bu_ac(grain_gc_m2: pd.Series, crop: pd.Series) -> pd.Series:
    """Return yields [bushel per acre] of grain carbon [g C m-2 yr-1] by crop code."""
    return grain_gc_m2 / crop.map({code: grain.gc_m2_per_bu_ac for code, grain in GRAINS.items()})
