"""The daily record of a flux tower: Reco, NEE, the GPP that closes their balance, and the days that can be scored.

References
----------
Verma et al. (2005), Agricultural and Forest Meteorology 131:77-96, doi:10.1016/j.agrformet.2005.05.003 (Mead fields).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.sources.gpp_gaps import GapRule, fill_gaps
from pipeline.sources.towers.gpp import corrected_gpp

MAX_SPIKES = 0.01  # share of values beyond the fluxes of fields, above which the unit must be another


@dataclass(frozen=True)
class FluxNames:
    """Names of the columns behind the days, for notes; None where the file has no such column."""

    reco: str | None
    nee: str
    gpp: str | None
    qc: str


class TowerGpp(NamedTuple):
    """Input GPP of a tower with its gaps filled by the rule of the maps.

    Attributes
    ----------
    days
        By date [g C m-2 d-1]; NaN on all days of the years of `too_long`.
    interpolated, dormant
        Number of days interpolated in the growing season, and set to 0 in the dormant season.
    too_long
        Longest gap [days] by year, where it is too long to be filled.
    """

    days: pd.Series
    interpolated: int
    dormant: int
    too_long: dict[int, int]

    def why_without(self) -> str:
        """Return a clause on the gaps that are too long to be filled."""
        gaps = ", ".join(f"{days} consecutive days of {year}" for year, days in self.too_long.items())
        return f"no GPP on {gaps}; a gap of the growing season is filled up to {GapRule().max_gap_days} days"


@dataclass(frozen=True)
class Tower:
    """Daily fluxes of a tower by date.

    Attributes
    ----------
    site
        FLUXNET name, as US-Ne1.
    names
        Columns of the file behind reco, nee, gpp_product and qc.
    days
        Index date, unique and in order; columns reco, nee (positive to the atmosphere), gpp_product [g C m-2 d-1] and
        qc, the share (0 to 1) of half-hours or hours that were measured or well filled. NaN is missing.
    reading
        Sentences on choices made and values left out while the file was read.
    """

    site: str
    names: FluxNames
    days: pd.DataFrame
    reading: tuple[str, ...] = ()

    def on(self, dates: pd.DatetimeIndex) -> Tower:
        """Return the same tower on exactly these days; NaN where its file has no row."""
        return replace(self, days=self.days.reindex(dates))

    @property
    def complete_years(self) -> list[int]:
        """Calendar years of which the file has every day."""
        years, rows = np.unique(pd.DatetimeIndex(self.days.index).year, return_counts=True)
        return [int(year) for year, count in zip(years, rows, strict=True) if count == 365 + calendar.isleap(year)]

    @property
    def unbalanced(self) -> pd.Series:
        """Days without Reco or NEE."""
        return self.days["reco"].isna() | self.days["nee"].isna()

    @property
    def without_gpp(self) -> pd.Series:
        """Days on which neither the balance nor the tower's product gives a GPP."""
        return self.unbalanced & self.days["gpp_product"].isna()

    @property
    def gpp(self) -> pd.Series:
        """GPP [g C m-2 d-1] that closes the balance, else the tower's product (`corrected_gpp`)."""
        return corrected_gpp(self.days["reco"], self.days["nee"], product=self.days["gpp_product"])

    def filled_gpp(self) -> TowerGpp:
        """Return the input GPP of the network, its gaps filled year by year as those of the maps (`fill_gaps`)."""
        dates, rule = pd.DatetimeIndex(self.days.index), GapRule()
        gpp = self.gpp.reindex(pd.date_range(f"{dates[0].year}-01-01", f"{dates[-1].year}-12-31"))
        filled = {
            int(str(year)): fill_gaps(days.to_numpy(np.float32)[:, None, None], rule=rule)
            for year, days in gpp.groupby(pd.DatetimeIndex(gpp.index).year)
        }
        longest = {year: int(each.longest_gap_YX[0, 0]) for year, each in filled.items()}
        too_long = {year: days for year, days in longest.items() if days > rule.max_gap_days}
        kept = [each for year, each in filled.items() if year not in too_long]
        values = pd.Series(np.concatenate([each.gpp_TYX[:, 0, 0] for each in filled.values()]), gpp.index)
        return TowerGpp(
            # Known days keep their float64; a year that is NaN after filling is NaN on all days.
            gpp.fillna(values).where(values.notna()).reindex(dates),
            sum(int(each.interpolated_YX[0, 0]) for each in kept),
            sum(int(each.dormant_YX[0, 0]) for each in kept),
            too_long,
        )

    def scored(self, min_qc: float) -> pd.Series:
        """Return the days that can be scored: Reco and NEE are present, and qc is at least `min_qc`."""
        return ~self.unbalanced & (self.days["qc"] >= min_qc)

    def notes(self, min_qc: float) -> tuple[str, ...]:
        """Return sentences on the origin of GPP, the days that are not scored, and the values left out on reading.

        The days are those of complete calendar years.
        """
        missing, product = int(self.unbalanced.sum()), int((self.unbalanced & ~self.without_gpp).sum())
        filled = self.filled_gpp()
        poor = int((~self.unbalanced & ~self.scored(min_qc)).sum())
        names = self.names
        return (
            f"Input GPP is Reco - NEE of the tower ({names.reco or 'no Reco'}, {names.nee}), below 0 on "
            f"{int((self.gpp < 0).sum()):,} of {len(self.days):,} days and not clipped.",
            f"{missing:,} days have no Reco or NEE and are not scored; their input GPP is the tower's "
            f"product ({names.gpp or 'none'}) on {product:,}, interpolated on {filled.interpolated:,} days of the "
            f"growing season, and 0 on {filled.dormant:,} of the dormant season.",
            f"{poor:,} days with {names.qc} below {min_qc:g} are not scored.",
            *self.reading,
        )


@dataclass(frozen=True)
class FluxLimit:
    """Magnitude beyond the fluxes of any field, its unit, and units in which files have such values."""

    magnitude: float
    unit: str
    suspects: str


def without_spikes(fluxes: pd.DataFrame, *, limit: FluxLimit, place: object) -> pd.DataFrame:
    """Return `fluxes` with values beyond `limit` as NaN; `spike_notes` counts them.

    Raises
    ------
    UserError
        If more than the share `MAX_SPIKES` of a column is beyond the limit, so that its unit must be another.
    """
    # A few spikes are faults of instruments; many mean that the whole column is in another unit.
    spikes = fluxes.abs() > limit.magnitude
    shares = spikes.sum() / fluxes.notna().sum().clip(lower=1)
    if (shares > MAX_SPIKES).any():
        name = str(shares.idxmax())
        raise UserError(
            f"{place}: {shares.max():.0%} of {name} exceed {limit.magnitude:g} {limit.unit} (the largest is "
            f"{fluxes[name].abs().max():.4g}); is it in {limit.suspects}? Convert it to {limit.unit}"
        )
    return fluxes.mask(spikes)


def spike_notes(before: pd.DataFrame, after: pd.DataFrame, *, limit: FluxLimit) -> tuple[str, ...]:
    """Return a sentence on the values that `without_spikes` removed, if any."""
    count = int((before.notna() & after.isna()).to_numpy().sum())
    if not count:
        return ()
    return (f"{count:,} values beyond {limit.magnitude:g} {limit.unit} are taken as missing.",)
