"""The checkpoint at one point: daily fluxes and annual carbon budget from daily inputs, scored where observed.

A site is a map of one cell: the same `model.inference.Predictor` serves both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.features import CLIMATE, CROP_TYPE, FEATURES, GPP, SOIL, training_range
from model.inference import Predictor, YearFluxes, YearInputs
from pipeline.site.skill import Comparison, compare, seasonal_cycle, years_of

Floats = NDArray[np.float64]

SPIN_UP_YEARS = 2  # as published: the state starts at zeros and sees the first two years once before they count


@dataclass(frozen=True)
class SiteInputs:
    """Daily inputs of whole calendar years at one point, with observations where there are any.

    `pipeline.site.table.site_inputs` makes one from a table and checks it.

    Attributes
    ----------
    name
        What the figure is called.
    dates
        Every day (T,) of the years, datetime64[D].
    features
        The 19 inputs (T, 19) in the order and units of `model.features.FEATURES`; no value is missing.
    reco, nee
        Observed ecosystem respiration and net exchange (T,) [g C m-2 d-1], NEE positive to the atmosphere; NaN on days
        that have none or must not be scored.
    notes
        What a reader of the scores must know: gaps, masks, what the inputs leave out.
    """

    name: str
    dates: NDArray[np.datetime64]
    features: Floats
    reco: Floats
    nee: Floats
    notes: tuple[str, ...] = ()

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
        What went in.
    ra, rh, nee
        Daily fluxes (T,) [g C m-2 d-1].
    grain
        Grain yield (Y,) [g C m-2 yr-1].
    """

    site: SiteInputs
    ra: Floats
    rh: Floats
    nee: Floats
    grain: Floats

    @property
    def reco(self) -> Floats:
        """Ecosystem respiration (T,) [g C m-2 d-1]: Ra + Rh."""
        return self.ra + self.rh


def run_site(checkpoint: Checkpoint, site: SiteInputs) -> SiteResult:
    """Return the fluxes of all years, the state carried from year to year after a spin-up over the first two.

    A record of one year spins up over that year twice.
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
    ra, rh, nee = (
        np.concatenate([getattr(each, name)[:, 0] for each in fluxes]).astype(np.float64)
        for name in ("ra_TN", "rh_TN", "nee_TN")
    )
    return SiteResult(site, ra, rh, nee, np.array([each.yield_N[0] for each in fluxes], np.float64))


def comparisons(result: SiteResult) -> list[Comparison]:
    """Return daily and annual scores of Reco and NEE beside their nulls; none where nothing was observed.

    Where the input GPP was made as Reco - NEE, it already holds most of NEE: the null "mean seasonal Reco - GPP" knows
    the day's GPP and nothing of the year's respiration, so that its error in NEE is that of the seasonal cycle in Reco.
    All seasonal means leave the scored year out.
    """
    site = result.site
    reco_cycle, nee_cycle = (
        seasonal_cycle(observed, dates=site.dates, crop=site.crop) for observed in (site.reco, site.nee)
    )
    reco_nulls = {"mean seasonal cycle": reco_cycle}
    nee_nulls = {"mean seasonal Reco - GPP": reco_cycle - site.gpp, "mean seasonal cycle": nee_cycle}
    return [
        *compare("Reco", observed=site.reco, network=result.reco, nulls=reco_nulls, dates=site.dates),
        *compare("NEE", observed=site.nee, network=result.nee, nulls=nee_nulls, dates=site.dates),
    ]


def outside_training(site: SiteInputs) -> list[str]:
    """Return one sentence for each input that leaves the range of the published training data, with its days."""
    sentences = []
    for index, feature in enumerate(FEATURES):
        low, high = training_range(index)
        values, margin = site.features[:, index], 1e-3 * (high - low)  # the published range is rounded
        days = int(((values < low - margin) | (values > high + margin)).sum())
        if days:
            sentences.append(
                f"{feature.name} lies outside the published training range {low:.4g} to {high:.4g} {feature.unit} "
                f"on {days:,} of {len(values):,} days."
            )
    return sentences


def daily_table(result: SiteResult) -> pd.DataFrame:
    """Return one row a day [g C m-2 d-1]; observed columns are empty on days that were not scored."""
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
    """Return one row a year [g C m-2 yr-1]: dSOC = -NEE - yield is positive where the soil gains.

    The balance residual is the sum of Ra + Rh - GPP - NEE: what the network's NEE leaves open.
    """
    site, years = result.site, result.site.day_years
    fluxes = {"gpp": site.gpp, "ra": result.ra, "rh": result.rh, "reco": result.reco, "nee": result.nee}
    table = pd.DataFrame(fluxes).groupby(years).sum()
    table["yield"] = result.grain
    table["dsoc"] = -table["nee"] - table["yield"]
    table["balance_residual"] = table["reco"] - table["gpp"] - table["nee"]
    table = table.add_suffix("_gc_m2_yr")
    table.insert(0, "crop", site.crop[np.searchsorted(years, table.index)].astype(int))
    return table.rename_axis("year").reset_index()
