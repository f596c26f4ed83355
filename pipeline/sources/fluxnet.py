"""FLUXNET2015 daily tower files: Reco, NEE and the GPP that closes their balance.

References
----------
Pastorello et al. (2020), Scientific Data 7:225, doi:10.1038/s41597-020-0534-3 (FLUXNET2015, its columns and QC).
Verma et al. (2005), Agricultural and Forest Meteorology 131:77-96, doi:10.1016/j.agrformet.2005.05.003 (Mead fields).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import UserError

Partitioning = Literal["NT", "DT"]  # night-time (Reichstein 2005) or day-time (Lasslop 2010) separation of NEE

MISSING = -9999
IRRIGATED = ("US-Ne1", "US-Ne2")  # of the towers that KGML-ag-Carbon was tuned on


@dataclass(frozen=True)
class Tower:
    """Daily fluxes of a tower by date.

    Attributes
    ----------
    site
        FLUXNET name, as US-Ne1.
    partitioning
        How Reco and the GPP product were separated.
    days
        Index date, unique and in order; columns reco, nee (positive to the atmosphere), gpp_product [g C m-2 d-1] and
        qc, the share of measured or well-filled half-hours. NaN is missing.
    """

    site: str
    partitioning: Partitioning
    days: pd.DataFrame

    def on(self, dates: pd.DatetimeIndex) -> Tower:
        """Return the same tower on exactly these days; NaN where it has no row."""
        return Tower(self.site, self.partitioning, self.days.reindex(dates))

    @property
    def whole_years(self) -> list[int]:
        """Calendar years of which the file has every day."""
        years, rows = np.unique(pd.DatetimeIndex(self.days.index).year, return_counts=True)
        return [int(year) for year, count in zip(years, rows, strict=True) if count == 365 + calendar.isleap(year)]

    @property
    def gpp(self) -> pd.Series:
        """GPP that the network is given [g C m-2 d-1]: Reco - NEE, else the tower's product, else 0.

        The product differs from Reco - NEE (Reco and NEE are filtered separately); the network's balance needs the
        latter. Slightly negative values are kept: they are noise around zero, and clipping them would add carbon.
        """
        closing: pd.Series = self.days["reco"] - self.days["nee"]
        return closing.fillna(self.days["gpp_product"]).fillna(0.0)

    def scored(self, min_qc: float) -> pd.Series:
        """Return where an observation is fit to be scored: Reco and NEE are there and qc is at least `min_qc`."""
        return self.days["reco"].notna() & self.days["nee"].notna() & (self.days["qc"] >= min_qc)

    def notes(self, min_qc: float) -> tuple[str, ...]:
        """Return how GPP was made and what is not scored, each counted."""
        days = self.days
        missing = days["reco"].isna() | days["nee"].isna()
        zero = int((missing & days["gpp_product"].isna()).sum())
        total, product, poor = len(days), int(missing.sum()) - zero, int((~missing & ~(days["qc"] >= min_qc)).sum())
        sentences = [
            f"Input GPP is Reco - NEE of the tower (RECO_{self.partitioning}_VUT_REF, NEE_VUT_REF), below 0 on "
            f"{int((self.gpp < 0).sum()):,} of {total:,} days and kept so.",
            f"{int(missing.sum()):,} days have no Reco or NEE and are not scored; their input GPP is the tower's "
            f"product on {product:,} and 0 on {zero:,}.",
            f"{poor:,} days with NEE_VUT_REF_QC below {min_qc:g} are not scored.",
        ]
        if self.site in IRRIGATED:
            sentences.append(
                f"{self.site} is irrigated; PRECN holds what the weather file holds, rain without irrigation."
            )
        return tuple(sentences)


def _site_name(path: Path) -> str:
    found = re.search(r"(?:FLX|AMF)_([A-Z]{2}-\w{3})_", path.name)
    return found[1] if found else path.stem


def _read_columns(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    try:
        header = pd.read_csv(path, nrows=0).columns
        absent = [name for name in ("TIMESTAMP", *columns) if name not in header]
        if absent:
            raise UserError(f"{path}: missing columns {absent}; give a FLUXNET2015 daily file (FLX_..._DD_...csv)")
        return pd.read_csv(path, usecols=["TIMESTAMP", *columns], dtype={"TIMESTAMP": str}, na_values=[str(MISSING)])
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable CSV file ({error})") from None


def read_tower(path: Path, *, partitioning: Partitioning = "NT") -> Tower:
    """Return the days of a FLUXNET2015 daily file (FULLSET or SUBSET), columns found by name.

    Raises
    ------
    UserError
        If a column is absent, a value is no number, or a date is malformed, repeated or out of order.
    """
    columns = {
        f"RECO_{partitioning}_VUT_REF": "reco",
        "NEE_VUT_REF": "nee",
        f"GPP_{partitioning}_VUT_REF": "gpp_product",
        "NEE_VUT_REF_QC": "qc",
    }
    raw = _read_columns(path, columns)
    words = [name for name in columns if not pd.api.types.is_numeric_dtype(raw[name])]
    if words:
        raise UserError(f"{path}: {words[0]} holds values that are not numbers; a missing value is {MISSING}")
    dates = pd.to_datetime(raw["TIMESTAMP"], format="%Y%m%d", errors="coerce")
    steps = np.diff(dates.to_numpy())
    if dates.isna().any() or (steps <= np.timedelta64(0)).any():
        row = int(np.flatnonzero(dates.isna() | np.r_[False, steps <= np.timedelta64(0)])[0])
        raise UserError(
            f"{path}: TIMESTAMP {raw['TIMESTAMP'].iloc[row]!r} in row {row + 1} is not the YYYYMMDD of a later day "
            f"than the row before; give the daily file with each day once"
        )
    days = raw[list(columns)].rename(columns=columns).set_axis(pd.DatetimeIndex(dates), axis=0)
    return Tower(_site_name(path), partitioning, days)
