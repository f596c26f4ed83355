"""Monthly fluxes of a tower, from the MM files of FLUXNET.

In FLUXNET's files of months, fluxes are the means of the month's days [g C m-2 d-1], not sums, and the quality is the
share (0 to 1) of half-hours that were measured or well filled. A month before the tower began is filled, too, with a
quality of 0, and must be masked.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3 (FLUXNET2015, its columns and units).
Rymes, M. D. & Myers, D. R. (2001), Solar Energy 71:225-231, doi:10.1016/S0038-092X(01)00052-4 (smooth daily course of
monthly means that keeps these means).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.towers.daily_record import FluxNames
from pipeline.sources.towers.fluxnet import MONTH, STAMP, Partitioning, flux_names, read_fluxes
from pipeline.sources.towers.gpp import corrected_gpp
from pipeline.sources.towers.tables import TowerTable

SMOOTHINGS = 60
"""Passes of the three-day mean over the daily course. A choice: with 120 passes, days of US-Ne2 in 2005-2006 differ by
0.3 g C m-2 d-1 (root mean square); the means of the months, which alone are learned and scored, are the same."""


@dataclass(frozen=True)
class TowerMonths:
    """Monthly fluxes of a tower.

    Attributes
    ----------
    site
        FLUXNET name, as US-Ne2.
    names
        Columns of the file behind reco, nee, gpp_product and qc.
    months
        Index first day of the month, unique and in order; columns reco, nee (positive to the atmosphere), gpp_product,
        all means of days [g C m-2 d-1], and qc, 0 to 1. NaN is missing.
    reading
        Sentences on values left out while the file was read.
    """

    site: str
    names: FluxNames
    months: pd.DataFrame
    reading: tuple[str, ...] = ()

    @property
    def gpp(self) -> pd.Series:
        """GPP [g C m-2 d-1] that closes the balance, else the tower's product (`corrected_gpp`)."""
        return corrected_gpp(self.months["reco"], self.months["nee"], product=self.months["gpp_product"])

    def daily_gpp(self, radiation: pd.Series) -> pd.Series:
        """Return a daily course of GPP [g C m-2 d-1] with the means of the months, on the days of `radiation`.

        Within a month it follows the season (Rymes & Myers 2001) and the day's radiation. It is an estimate for the
        input of the network, of which only months and years can be scored. A negative mean is the same on all its days.

        Parameters
        ----------
        radiation
            Short-wave radiation by date [MJ m-2 d-1], of complete months.

        Raises
        ------
        UserError
            If a month of these days has no GPP.
        """
        month = pd.DatetimeIndex(radiation.index).to_period("M")
        mean = self.gpp.rename(lambda day: pd.Period(day, "M")).reindex(month).set_axis(radiation.index)
        if mean.isna().any():
            raise UserError(f"{self.site}: no GPP in {mean.index[mean.isna()][0]:%Y-%m}; choose other years")
        smooth = mean.clip(lower=0)
        for _ in range(SMOOTHINGS):
            smooth = smooth.rolling(3, center=True, min_periods=2).mean()
            smooth = _with_means(smooth, mean.clip(lower=0), month)
        course = _with_means(smooth * radiation, mean.clip(lower=0), month)
        return course.where(mean > 0, mean)

    def scored(self, min_qc: float) -> pd.DataFrame:
        """Return the means of the months [g C m-2 d-1], columns reco, nee and gpp.

        NaN in all columns where Reco or NEE is missing or the quality is below `min_qc`.
        """
        means = self.months[["reco", "nee"]].assign(gpp=self.gpp)
        return means.where(means[["reco", "nee"]].notna().all(axis=1) & (self.months["qc"] >= min_qc))


def _with_means(values: pd.Series, means: pd.Series, month: pd.PeriodIndex) -> pd.Series:
    """Return non-negative values by day, scaled month by month to these means."""
    own = values.groupby(month).transform("mean")
    return values * (means / own).where(own > 0, 0.0)


def read_months(table: TowerTable, *, partitioning: Partitioning = "NT") -> TowerMonths:
    """Return the months of a FLUXNET file.

    Raises
    ------
    UserError
        If the file is not monthly, or for the reasons of `read_fluxes`.
    """
    if STAMP not in table.columns:
        raise UserError(f"{table.file}: has no column {STAMP}; give the MM file of FLUXNET")
    names = flux_names(table, partitioning)
    months, reading = read_fluxes(table, names, period=MONTH)
    return TowerMonths(table.file.site, names, months, reading)
