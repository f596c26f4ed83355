"""The checkpoint at one point: daily fluxes and annual carbon budget from daily inputs, scored on observed days.

A site is a map of one cell: the same `model.inference.Predictor` runs both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.arrays import YearFluxes, YearInputs
from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, GPP, SOIL, Feature
from model.inference import Predictor
from pipeline.site.skill import Comparison, compare, seasonal_nulls, years_of

Floats = NDArray[np.float64]

# As published: the hidden state starts at zero and runs through the first two years once before they count.
SPIN_UP_YEARS = 2


@dataclass(frozen=True)
class SiteInputs:
    """Daily inputs of complete calendar years at one point, with observations if there are any.

    `pipeline.site.table.site_inputs` makes one from a table and checks it.

    Attributes
    ----------
    name
        Site name.
    dates
        Every day (T,) of the years, datetime64[D].
    features
        The 19 inputs (T, 19) in the order and units of `model.features.FEATURES`; no value is missing.
    reco, nee
        Observed ecosystem respiration and net ecosystem exchange (T,) [g C m-2 d-1], NEE positive to the atmosphere;
        NaN on days without an observation or with one of low quality.
    notes
        Caveats for readers of the scores: gaps, masks, processes missing from the inputs. One that begins with
        "synthetic" marks Reco and NEE as simulated.
    """

    name: str
    dates: NDArray[np.datetime64]
    features: Floats
    reco: Floats
    nee: Floats
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> str:
        """Name of the given Reco and NEE in figures: `observed`, or `simulated` if they are synthetic."""
        return "simulated" if any(note.startswith("synthetic") for note in self.notes) else "observed"

    @property
    def gpp(self) -> Floats:
        """Input gross primary production (T,) [g C m-2 d-1]."""
        return self.features[:, GPP]

    @property
    def crop(self) -> Floats:
        """Crop code (T,): 1 corn, 5 soybean."""
        return self.features[:, CROP_TYPE]

    @property
    def day_years(self) -> NDArray[np.int64]:
        """Calendar year (T,) of each day."""
        return years_of(self.dates)

    @property
    def years(self) -> list[int]:
        """Calendar years, in order."""
        return [int(year) for year in np.unique(self.day_years)]

    def year(self, year: int) -> YearInputs:
        """Return one calendar year as a map of one cell."""
        # In float32, as the inputs of a map.
        features = self.features[self.day_years == year].astype(np.float32)
        return YearInputs(
            year,
            features[:, CLIMATE].T[:, :, None],
            np.zeros(1, np.intp),
            features[:, [GPP]],
            features[:1, CROP_TYPE].astype(np.uint8),
            features[:1, SOIL].T,
        )


@dataclass(frozen=True)
class SiteResult:
    """Predictions at a site in reporting signs: respiration positive, NEE positive to the atmosphere.

    Attributes
    ----------
    site
        Inputs and observations.
    ra, rh, nee
        Daily fluxes (T,) [g C m-2 d-1].
    yield_
        Grain yield (Y,) [g C m-2 yr-1].
    """

    site: SiteInputs
    ra: Floats
    rh: Floats
    nee: Floats
    yield_: Floats

    @property
    def reco(self) -> Floats:
        """Ecosystem respiration (T,) [g C m-2 d-1]: Ra + Rh."""
        return self.ra + self.rh


def run_site(checkpoint: Checkpoint, site: SiteInputs) -> SiteResult:
    """Return the fluxes of all years, the hidden state carried from year to year after a spin-up over the first two.

    A record of one year is spun up over that year twice. A year that is left out leaves the state as it is, as on maps.
    """
    predictor = Predictor(checkpoint)
    years = [site.year(year) for year in site.years]
    state = None
    for year in (years * SPIN_UP_YEARS)[:SPIN_UP_YEARS]:
        state = predictor.year(year, state).state_SNH
    fluxes: list[YearFluxes] = []
    for year in years:
        fluxes.append(predictor.year(year, state))
        state = fluxes[-1].state_SNH
    ra, rh, nee = _series(fluxes, "ra_TN"), _series(fluxes, "rh_TN"), _series(fluxes, "nee_TN")
    return SiteResult(site, ra, rh, nee, np.array([each.yield_N[0] for each in fluxes], np.float64))


def _series(years: Sequence[YearFluxes], name: Literal["ra_TN", "rh_TN", "nee_TN"]) -> Floats:
    """Return one flux (T,) of the only cell over all years."""
    return np.concatenate([getattr(year, name)[:, 0] for year in years]).astype(np.float64)


def comparisons(result: SiteResult) -> list[Comparison]:
    """Return daily and annual scores of Reco and NEE beside their null models (`pipeline.site.skill.seasonal_nulls`).

    Without observations the comparisons have no pairs.
    """
    site = result.site
    nulls = seasonal_nulls(site.reco, site.nee, gpp=site.gpp, dates=site.dates, crop=site.crop)
    return [
        *compare("Reco", observed=site.reco, network=result.reco, nulls=nulls.reco, dates=site.dates),
        *compare("NEE", observed=site.nee, network=result.nee, nulls=nulls.nee, dates=site.dates),
    ]


def unit_in_text(feature: Feature) -> str:
    """Return the unit of an input as the field writes it, of GPP in grams of carbon.

    Examples
    --------
    >>> from model.features import FEATURES
    >>> [unit_in_text(feature) for feature in FEATURES if feature.name in ("RADN", "GPP")]
    ['MJ m-2 d-1', 'g C m-2 d-1']
    """
    # A unit of the CF conventions names no substance.
    return f"g C{feature.unit.removeprefix('g')}" if feature.name == "GPP" else feature.unit


def daily_table(result: SiteResult) -> pd.DataFrame:
    """Return one row per day [g C m-2 d-1]; observed columns are NaN on days that are not scored."""
    site = result.site
    columns = {
        "gpp": site.gpp,
        "ra": result.ra,
        "rh": result.rh,
        "reco": result.reco,
        "nee": result.nee,
        "reco_observed": site.reco,
        "nee_observed": site.nee,
    }
    table = pd.DataFrame({f"{name}_gc_m2_d": values for name, values in columns.items()})
    table.insert(0, "date", site.dates.astype(str))
    return table


def annual_table(result: SiteResult) -> pd.DataFrame:
    """Return one row per year [g C m-2 yr-1]; dSOC = -NEE - yield is positive if the soil gains carbon.

    The balance residual is the sum of Ra + Rh - GPP - NEE, by which the network's NEE fails to close the balance.
    """
    site, years = result.site, result.site.day_years
    fluxes = {"gpp": site.gpp, "ra": result.ra, "rh": result.rh, "reco": result.reco, "nee": result.nee}
    table = pd.DataFrame(fluxes).groupby(years).sum()
    table["yield"] = result.yield_
    table["dsoc"] = -table["nee"] - table["yield"]
    table["balance_residual"] = table["reco"] - table["gpp"] - table["nee"]
    table = table.add_suffix("_gc_m2_yr")
    table.insert(0, "crop", site.crop[np.searchsorted(years, table.index)].astype(int))
    return table.rename_axis("year").reset_index()
