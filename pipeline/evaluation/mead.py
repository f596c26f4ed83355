"""Mead, Nebraska: a tower and a run of *ecosys*, each beside the network and the simulator that trained it.

Network and simulator get the GPP of the tower or of *ecosys*, so that only the use of the carbon differs. The tower is
US-Ne1, irrigated maize; the run is of US-Ne3, rainfed maize and soybean; both have the weather of Mead.

Shape legend: N sequences, Y years, T 365 days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.checkpoint import Checkpoint
from model.data.records import DAYS
from model.data.sites import Field, simulated
from model.evaluation.scores import Carbon, predicted_carbon, season_of_day
from model.features import CORN, GPP, SOIL, SOYBEAN
from model.synthetic.management import Management
from model.synthetic.simulator import simulate
from model.synthetic.soils import Soils
from model.synthetic.weather import Weather
from pipeline.evaluation.figures import ANNUAL_UNIT, DAILY_UNIT, QUARTERS
from pipeline.evaluation.subjects import TOWER, Subject, read_subject
from pipeline.site.tower import TowerFiles, read_site_weather
from pipeline.sources.ecosys import daily_weather

PLANTING, HARVEST = {CORN: 133, SOYBEAN: 140}, {CORN: 290, SOYBEAN: 283}
"""Median days of year on which the run of *ecosys* plants and harvests corn and soybean, 2001-2006."""
COLOURS = ("#444444", "#0072b2", "#d55e00")  # observations, network, simulator
FLUXES = {"reco": "Reco", "rh": "Rh", "nee": "NEE"}
BUDGET = {
    "gpp": "GPP",
    "ra": "Ra",
    "rh": "Rh",
    "reco": "Reco",
    "winter_reco": "winter\nReco",
    "nee": "NEE",
    "yield": "yield",
    "residual": "residual",
}
"""Bars of the annual budget and their labels."""


@dataclass(frozen=True)
class Place:
    """A record at Mead, with the carbon that network and simulator give for its weather, soil and GPP.

    Attributes
    ----------
    title
        Title of its panels.
    observed_name
        Name of the record: "tower" or "ecosys".
    years
        (Y,) calendar years.
    observed, network, simulator
        Carbon of the record and of both models; days without an observation are NaN in `observed` only.
    """

    title: str
    observed_name: str
    years: np.ndarray
    observed: Carbon
    network: Carbon
    simulator: Carbon

    @property
    def sources(self) -> Mapping[str, Carbon]:
        """Carbon by the name of its source, in the order of `COLOURS`."""
        return {self.observed_name: self.observed, "network": self.network, "simulator": self.simulator}

    @property
    def observed_days(self) -> NDArray[np.bool_]:
        """Site-years and days (N, Y, 365) with an observed NEE, the only ones that are compared."""
        return np.isfinite(self.observed.nee_NYT)


def read_mead(checkpoint: Checkpoint, *, data: Path) -> tuple[Place, ...]:
    """Return the tower and the run of *ecosys*, each with network and simulator on the same inputs.

    Raises
    ------
    UserError
        If files are missing from the folder; the message names each.
    """
    tower, run = (read_subject(name, data=data) for name in ("tower", "ecosys"))
    files = TowerFiles.of(TOWER, data)
    weather = {"tower": read_site_weather(files, site="US-Ne1").days, "ecosys": daily_weather(files.soil.parent)}
    return tuple(
        Place(
            title,
            subject.kind,
            subject.years,
            observed=subject.observed,
            network=predicted_carbon(checkpoint.network(), subject.x_NYTF, scalers=checkpoint.scalers),
            simulator=simulated_carbon(subject, weather[subject.kind]),
        )
        for title, subject in {"US-Ne1, irrigated maize": tower, "US-Ne3, rainfed maize and soybean": run}.items()
    )


def simulated_carbon(subject: Subject, weather: pd.DataFrame) -> Carbon:
    """Return the carbon that the simulator gives for the subject's soil, crops and GPP.

    GPP below 0, which a tower reports on some days, is set to 0. On 31 December of leap years, which no subject has,
    the GPP is simulated.

    Parameters
    ----------
    subject
        Its soil, crops and GPP.
    weather
        The seven climate inputs (columns) of every day of the subject's years (rows).
    """
    dates = pd.date_range(f"{subject.years[0]}-01-01", f"{subject.years[-1]}-12-31")
    sites = len(subject.sites)
    climate_7T = weather.loc[dates].to_numpy(np.float64).T
    drivers = Weather(dates.to_numpy().astype("datetime64[D]"), *np.repeat(climate_7T[..., None], sites, axis=2))
    soils = Soils(*subject.x_NYTF[:, 0, 0, SOIL].T.astype(np.float64))
    crop_YN = subject.crop_NY.T
    planting_YN, harvest_YN = (np.vectorize(days.__getitem__)(crop_YN) for days in (PLANTING, HARVEST))
    management = Management(crop_YN, planting_YN, harvest_YN, np.ones(crop_YN.shape))
    # NaN on 31 December of leap years: there the simulator computes a GPP of its own.
    gpp_TN = np.full((len(dates), sites), np.nan)
    given_NYT = np.maximum(subject.x_NYTF[..., GPP], 0.0)
    gpp_TN[dates.day_of_year <= DAYS] = given_NYT.reshape(sites, -1).T
    run = simulate(drivers, soils=soils, management=management, gpp=gpp_TN)
    return Carbon.of_sites(simulated(run, field=Field(drivers, soils, management), sites=subject.sites))


def mead_budget(places: Sequence[Place]) -> pd.DataFrame:
    """Return the mean annual carbon [g C m-2 yr-1] of each place and source (rows), summed over the observed days.

    `winter_reco` is Reco of December to February; `residual` is GPP - Reco + NEE, which is 0 if mass is conserved.
    """
    budgets = {place.title: _budget(place) for place in places}
    return pd.concat(budgets, names=["place", "source"])


def _budget(place: Place) -> pd.DataFrame:
    rows = {source: _annual_means(carbon, place.observed_days) for source, carbon in place.sources.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _annual_means(carbon: Carbon, days: NDArray[np.bool_]) -> dict[str, float]:
    """Return the columns of the budget: annual sums over the days (N, Y, 365), averaged over site-years."""
    yearly = {
        name: np.where(days, getattr(carbon, f"{name}_NYT"), 0.0).sum(-1, dtype=np.float64)
        for name in ("gpp", "ra", "rh", "reco", "nee")
    }
    yearly["winter_reco"] = np.where(days, carbon.reco_NYT, 0.0)[..., season_of_day()["winter"]].sum(-1)
    yearly["yield"] = carbon.yield_NY
    yearly["residual"] = yearly["gpp"] - yearly["reco"] + yearly["nee"]
    return {name: float(values.mean()) for name, values in yearly.items()}


def mead_figure(places: Sequence[Place]) -> Figure:
    """Return a column per place: mean annual cycles of Reco, Rh and NEE, and the mean annual budget."""
    drawing = Figure(figsize=(12, 12), layout="constrained")
    panels = drawing.subplots(len(FLUXES) + 1, len(places), sharey="row", squeeze=False)
    for column, place in zip(panels.T, places, strict=True):
        for axes, (flux, name) in zip(column, FLUXES.items(), strict=False):
            _draw_annual_cycle(axes, place, flux)
            axes.set_ylabel(f"{name} [{DAILY_UNIT}]")
        _draw_budget(column[-1], place)
        column[0].set_title(f"{place.title}, {place.years[0]}–{place.years[-1]}", fontsize=10)
        column[0].legend(frameon=False)
    return drawing


def _draw_annual_cycle(axes: Axes, place: Place, flux: str) -> None:
    days = np.flatnonzero(place.observed_days.any((0, 1)))
    for (source, carbon), colour in zip(place.sources.items(), COLOURS, strict=True):
        values = carbon.daily(flux)
        if np.isfinite(values).any():  # a tower has no Rh
            cycle = np.nanmean(np.where(place.observed_days, values, np.nan)[..., days], axis=(0, 1))
            axes.plot(days + 1, cycle, color=colour, linewidth=1.3, label=source)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(1, DAYS), xticks=QUARTERS, xlabel="day of year")


def _draw_budget(axes: Axes, place: Place) -> None:
    for i, (colour, (_, row)) in enumerate(zip(COLOURS, _budget(place).iterrows(), strict=True)):
        values = row[list(BUDGET)].fillna(0)
        bars = axes.bar(np.arange(len(BUDGET)) + 0.27 * (i - 1), values, 0.27, color=colour)
        # Upright: three numbers side by side are wider than their bars.
        numbers = [f"{value:.0f}".replace("-", "\N{MINUS SIGN}") if round(value) else "" for value in values]
        axes.bar_label(bars, numbers, fontsize=7, padding=2, rotation=90)
    axes.margins(y=0.2)  # for the numbers above and below
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(np.arange(len(BUDGET)), list(BUDGET.values()))
    axes.set_ylabel(f"mean [{ANNUAL_UNIT}]")
