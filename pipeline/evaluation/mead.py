"""Mead, Nebraska: the tower and a run of *ecosys*, beside the network and the simulator that it learned from.

All four are given one GPP, the tower's or that of *ecosys*, so that only what becomes of it differs. The tower is
US-Ne1, irrigated maize; the run is that of US-Ne3, rainfed maize and soybean, both with the weather of Mead.

Shape legend: N sequences, Y years, T 365 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from model.checkpoint import Checkpoint
from model.data.records import DAYS
from model.data.sites import Field, simulated
from model.evaluation.scores import Carbon, predicted_carbon, season_of_day
from model.features import CORN, GPP, SOIL, SOYBEAN
from model.synthetic.management import Management
from model.synthetic.simulator import simulate
from model.synthetic.soils import Soils
from model.synthetic.weather import Weather
from pipeline.evaluation.subjects import TOWER_FILES, Subject, read_subject
from pipeline.sources.ecosys import daily_weather

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANTING, HARVEST = {CORN: 133, SOYBEAN: 140}, {CORN: 290, SOYBEAN: 283}
"""Median days of year on which the run of *ecosys* plants and harvests corn and soybean, 2001-2006."""
SOURCES = {"observed": "#444444", "network": "#0072b2", "simulator": "#d55e00"}
ROWS = ("reco", "rh", "nee")
NAMES = {"reco": "Reco", "rh": "Rh", "nee": "NEE"}


@dataclass(frozen=True)
class Place:
    """One record at Mead with what network and simulator make of its weather, soil and GPP.

    Attributes
    ----------
    title
        Of its panels.
    observed_name
        What stands for truth.
    years
        (Y,) calendar years.
    carbon
        By source, "observed", "network" and "simulator"; days that are not observed are NaN in all three.
    """

    title: str
    observed_name: str
    years: np.ndarray
    carbon: dict[str, Carbon]


def read_mead(checkpoint: Checkpoint, *, data: Path) -> tuple[Place, ...]:
    """Return the tower and the run of *ecosys*, with the network and the simulator on their inputs.

    Raises
    ------
    UserError
        Naming each file that is missing from the folder.
    """
    tower, run = (read_subject(name, data=data) for name in ("tower", "ecosys"))
    weather = daily_weather(data / TOWER_FILES[1])
    return (
        _place(tower, checkpoint, weather, ("US-Ne1, irrigated maize", "tower")),
        _place(run, checkpoint, weather, ("US-Ne3, rainfed maize and soybean", "ecosys")),
    )


def _place(subject: Subject, checkpoint: Checkpoint, weather: pd.DataFrame, names: tuple[str, str]) -> Place:
    carbon = {
        "observed": subject.observed,
        "network": predicted_carbon(checkpoint.network(), subject.x_NYTF, scalers=checkpoint.scalers),
        "simulator": simulated_carbon(subject, weather),
    }
    return Place(*names, subject.years, carbon)


def simulated_carbon(subject: Subject, weather: pd.DataFrame) -> Carbon:
    """Return the simulator's carbon with the subject's soil, crops and GPP and with this weather.

    GPP below 0, which a tower reports of some days, is taken as 0; that of 31 December of leap years, which no subject
    has, is simulated.
    """
    dates = pd.date_range(f"{subject.years[0]}-01-01", f"{subject.years[-1]}-12-31")
    sites = len(subject.sites)
    climate_7T = weather.loc[dates].to_numpy(np.float64).T
    drivers = Weather(dates.to_numpy().astype("datetime64[D]"), *np.repeat(climate_7T[..., None], sites, axis=2))
    soils = Soils(*subject.x_NYTF[:, 0, 0, SOIL].T.astype(np.float64))
    crop_YN = subject.crop_NY.T
    planting_YN, harvest_YN = (np.vectorize(days.__getitem__)(crop_YN) for days in (PLANTING, HARVEST))
    management = Management(crop_YN, planting_YN, harvest_YN, np.ones(crop_YN.shape))
    gpp_TN = np.full((len(dates), sites), np.nan)
    given_NYT = np.maximum(subject.x_NYTF[..., GPP], 0.0)
    gpp_TN[dates.day_of_year <= DAYS] = given_NYT.reshape(sites, -1).T
    done = simulate(drivers, soils=soils, management=management, gpp=gpp_TN)
    return Carbon.of_sites(simulated(done, field=Field(drivers, soils, management), sites=subject.sites))


def mead_budget(places: tuple[Place, ...]) -> pd.DataFrame:
    """Return mean annual carbon [g C m-2 yr-1] of each place and source, over the days that are observed.

    `winter_reco` is of December to February; `residual` is GPP - Reco + NEE, which is 0 where mass is conserved.
    """
    return pd.DataFrame([row for place in places for row in _budget(place)]).set_index(["place", "source"])


def _budget(place: Place) -> Iterator[dict[str, object]]:
    truth = place.carbon["observed"]
    seen = np.isfinite(truth.nee_NYT)
    winter = season_of_day()["winter"]
    for source, carbon in place.carbon.items():
        daily = {
            name: np.where(seen, getattr(carbon, f"{name}_NYT"), 0.0).sum(-1, dtype=np.float64)
            for name in ("gpp", "ra", "rh", "reco", "nee")
        }
        cold = np.where(seen, carbon.reco_NYT, 0.0)[..., winter].sum(-1)
        yearly = {**daily, "winter_reco": cold, "yield": carbon.yield_NY}
        yearly["residual"] = daily["gpp"] - daily["reco"] + daily["nee"]
        name = place.observed_name if source == "observed" else source
        yield {"place": place.title, "source": name, **{key: float(values.mean()) for key, values in yearly.items()}}


def mead_figure(places: tuple[Place, ...]) -> Figure:
    """Return a column per place: courses of Reco, Rh and NEE over the year, and the mean annual budget."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(12, 12), layout="constrained")
    panels = drawing.subplots(len(ROWS) + 1, len(places), sharey="row", squeeze=False)
    for column, place in zip(panels.T, places, strict=True):
        for axes, flux in zip(column, ROWS, strict=False):
            _draw_course(axes, place, flux)
            axes.set_ylabel(rf"{NAMES[flux]} [g C m$^{{-2}}$ d$^{{-1}}$]")
        _draw_budget(column[-1], place)
        column[0].set_title(f"{place.title}, {place.years[0]}–{place.years[-1]}", fontsize=10)
        column[0].legend(frameon=False)
    return drawing


def _draw_course(axes: Axes, place: Place, flux: str) -> None:
    seen = np.isfinite(place.carbon["observed"].nee_NYT)
    days = np.flatnonzero(seen.any((0, 1)))
    for source, colour in SOURCES.items():
        values = place.carbon[source].daily(flux)
        if np.isfinite(values).any():
            course = np.nanmean(np.where(seen, values, np.nan)[..., days], axis=(0, 1))
            label = place.observed_name if source == "observed" else source
            axes.plot(days + 1, course, color=colour, linewidth=1.3, label=label)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlim=(1, DAYS), xticks=(1, 91, 182, 274, 365), xlabel="day of year")


def _draw_budget(axes: Axes, place: Place) -> None:
    names = {"gpp": "GPP", "ra": "Ra", "rh": "Rh", "reco": "Reco", "winter_reco": "winter\nReco", "nee": "NEE"}
    names |= {"yield": "yield", "residual": "residual"}
    budget = pd.DataFrame(list(_budget(place))).set_index("source")
    for i, (colour, (_, row)) in enumerate(zip(SOURCES.values(), budget.iterrows(), strict=True)):
        values = row[list(names)].astype(float).fillna(0)
        bars = axes.bar(np.arange(len(names)) + 0.27 * (i - 1), values, 0.27, color=colour)
        axes.bar_label(bars, [f"{value:.0f}" if round(value) else "" for value in values], fontsize=6, padding=1)
    axes.axhline(0, color="0.4", linewidth=0.8)
    axes.set_xticks(np.arange(len(names)), list(names.values()))
    axes.set_ylabel(r"mean [g C m$^{-2}$ yr$^{-1}$]")
