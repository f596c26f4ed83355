"""The daily record of a flux tower: Reco, NEE, the GPP that closes their balance, and the days that can be scored.

References
----------
Verma et al. (2005), Agricultural and Forest Meteorology 131:77-96, doi:10.1016/j.agrformet.2005.05.003 (Mead fields).
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.errors import UserError

IRRIGATED = ("US-Ne1", "US-Ne2")  # of the towers that KGML-ag-Carbon was tuned on
MAX_SPIKES = 0.01  # share of values beyond the fluxes of fields, above which the unit must be another


@dataclass(frozen=True)
class FluxNames:
    """Names of the columns behind the days, for notes; None where the file has no such column."""

    reco: str | None
    nee: str
    gpp: str | None
    qc: str


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
        """Input GPP of the network [g C m-2 d-1]: Reco - NEE, else the tower's product, else 0.

        The product differs from Reco - NEE, as Reco and NEE are filtered separately, and the balance of the network
        needs the latter. Slightly negative values are kept: they are noise around zero, and clipping would add carbon.
        """
        closing: pd.Series = self.days["reco"] - self.days["nee"]
        return closing.fillna(self.days["gpp_product"]).fillna(0.0)

    def scored(self, min_qc: float) -> pd.Series:
        """Return the days that can be scored: Reco and NEE are present, and qc is at least `min_qc`."""
        return ~self.unbalanced & (self.days["qc"] >= min_qc)

    def notes(self, min_qc: float) -> tuple[str, ...]:
        """Return sentences on the origin of GPP, the days that are not scored, and the values left out on reading."""
        missing, zero = int(self.unbalanced.sum()), int(self.without_gpp.sum())
        poor = int((~self.unbalanced & ~self.scored(min_qc)).sum())
        names = self.names
        sentences = [
            f"Input GPP is Reco - NEE of the tower ({names.reco or 'no Reco'}, {names.nee}), below 0 on "
            f"{int((self.gpp < 0).sum()):,} of {len(self.days):,} days and not clipped.",
            f"{missing:,} days have no Reco or NEE and are not scored; their input GPP is the tower's "
            f"product ({names.gpp or 'none'}) on {missing - zero:,} and 0 on {zero:,}.",
            f"{poor:,} days with {names.qc} below {min_qc:g} are not scored.",
            *self.reading,
        ]
        if self.site in IRRIGATED:
            sentences.append(f"{self.site} is irrigated; PRECN is the rain of the weather file, without irrigation.")
        return tuple(sentences)


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
