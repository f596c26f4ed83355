"""Yields at the gross primary production of real fields, beside the level of real county yields in Illinois.

SLOPE's GPP on corn and soybean fields of Illinois is above most of what the simulator draws. Simulated site-years whose
GPP is as high show whether the network turns it into realistic yields. Soils are those of all simulated sites.

Shape legend: N sites, Y years.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from model.checkpoint import Checkpoint
from model.data.records import SiteSequences
from model.data.sites import simulate_fields
from model.evaluation.scores import predicted_carbon
from model.features import CORN, CROP_NAMES, GPP, SOYBEAN
from pipeline.evaluation.counties import read_surveys
from pipeline.evaluation.subjects import YEARS
from pipeline.sources.quickstats import read_county_table

SEED = 620_411  # no training recipe has it
LATITUDE, LONGITUDE = (37.0, 42.5), (-91.5, -87.5)
"""Extent of Illinois, degrees."""
GPP_RANGE = {CORN: (1550.0, 1750.0), SOYBEAN: (1100.0, 1250.0)}
"""Annual GPP of SLOPE in counties of Illinois [g C m-2 yr-1]."""
STATE = "17"
SOYBEAN_FILES = "yields/county_soybean_yield_*.csv"
COLUMNS = ["crop", "site_years", "gpp", "predicted", "simulated", "observed", "observed_years", "ratio"]


@dataclass(frozen=True)
class YieldComparison:
    """Yields at the GPP of real fields.

    Attributes
    ----------
    table
        One row per crop in `COLUMNS`: site-years within `GPP_RANGE`, their mean GPP, predicted and simulated yield,
        the mean of real county-years and their years, all [g C m-2 yr-1], and predicted / observed.
    imbalance
        Annual residual of the carbon balance, GPP - Reco + NEE, of all site-years (N * Y,) [g C m-2 yr-1].
    """

    table: pd.DataFrame
    imbalance: np.ndarray

    def printed(self) -> pd.DataFrame:
        """Return the table for the terminal."""
        shown = self.table.copy()
        for name in ("gpp", "predicted", "simulated", "observed"):
            shown[name] = shown[name].map("{:.0f}".format)
        return shown.assign(ratio=shown["ratio"].map("{:.3f}".format))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the origin of the yields, and on the carbon balance."""
        size = np.abs(self.imbalance)
        return (
            "Yields [g C m-2 yr-1] of simulated site-years in the extent of Illinois whose GPP lies in "
            + ", ".join(f"{low:.0f}-{high:.0f} ({CROP_NAMES[crop]})" for crop, (low, high) in GPP_RANGE.items())
            + "; observed: mean of the county yields of Illinois that NASS reports, of other years.",
            f"Annual residual of the carbon balance over {len(size):,} site-years [g C m-2 yr-1]: mean absolute "
            f"{size.mean():.1f}, mean {self.imbalance.mean():+.1f}, 95th percentile of its size "
            f"{np.percentile(size, 95):.1f}, largest {size.max():.1f}.",
        )


def illinois_sites(sites: int) -> SiteSequences:
    """Return simulated sites in the extent of Illinois, on which no network was trained."""
    rng = np.random.default_rng(SEED)
    latitude, longitude = rng.uniform(*LATITUDE, sites), rng.uniform(*LONGITUDE, sites)
    return simulate_fields(SEED, latitude=latitude, longitude=longitude, years=np.array(YEARS))


def observed_yields(data: Path) -> pd.DataFrame:
    """Return real county yields of Illinois, columns year, crop and yield_gc_m2; empty where there are no files.

    Raises
    ------
    UserError
        If a file is refused by its reader.
    """
    surveys = read_surveys(data)
    tables = [surveys.table] if surveys else []
    tables += [read_county_table(path, crop=SOYBEAN) for path in sorted(data.glob(SOYBEAN_FILES))]
    columns = ["fips", "year", "crop", "yield_gc_m2"]
    table = pd.concat([each[columns] for each in tables]) if tables else pd.DataFrame(columns=columns, dtype=str)
    return table[table["fips"].str.startswith(STATE)]


def compare_yields(checkpoint: Checkpoint, sites: SiteSequences, *, data: Path) -> YieldComparison:
    """Return predicted yields of the site-years with the GPP of real fields, beside real yields.

    Parameters
    ----------
    checkpoint
        Checkpoint of a single network.
    sites
        Simulated sites.
    data
        Folder of real yields, QuickStats exports of corn and a table of soybean.

    Raises
    ------
    UserError
        If a file of yields is refused.
    """
    carbon = predicted_carbon(checkpoint.network(), sites.x_NYTF, scalers=checkpoint.scalers)
    gpp_NY, real = sites.x_NYTF[..., GPP].sum(-1, dtype=np.float64), observed_yields(data)
    rows = []
    for crop, (low, high) in GPP_RANGE.items():
        chosen_NY = (sites.crop_NY == crop) & (gpp_NY >= low) & (gpp_NY <= high)
        means = [_mean(values[chosen_NY]) for values in (gpp_NY, carbon.yield_NY, sites.yield_NY)]
        yields = real[real["crop"] == crop]
        observed, years = _mean(yields["yield_gc_m2"].to_numpy(np.float64)), yields["year"]
        span = f"{years.min()}-{years.max()}" if len(years) else "-"
        rows.append((CROP_NAMES[crop], int(chosen_NY.sum()), *means, observed, span, means[1] / observed))
    residual_NYT = carbon.gpp_NYT.astype(np.float64) - carbon.reco_NYT + carbon.nee_NYT
    return YieldComparison(pd.DataFrame(rows, columns=COLUMNS), residual_NYT.sum(-1).ravel())


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else np.nan
