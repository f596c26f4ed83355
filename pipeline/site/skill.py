"""Skill of predicted fluxes: R2, RMSE and bias beside null models, which need no network.

Most of a flux's variance is its seasonal cycle, so that a high R2 alone shows no skill. Skill is the reduction of the
mean squared error below that of the best null model on the same days.

References
----------
Murphy (1988), Monthly Weather Review 116:2417-2424, doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2 (skill score).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.scores import ANNUAL_COVERAGE, Period, Score, score

Floats = NDArray[np.float64]

UNITS: Mapping[str, str] = {"daily": "g C m-2 d-1", "annual": "g C m-2 yr-1"}
"""Units of RMSE and bias by period."""
SEASONAL_CYCLE = "mean seasonal cycle"
SEASONAL_RECO_LESS_GPP = "mean seasonal Reco - GPP"
# The mean of a few years varies randomly from day to day; smoothing makes it a stronger null model.
CYCLE_WINDOW_DAYS = 15


@dataclass(frozen=True)
class Comparison:
    """Scores of the network and of null models for one flux, all on the same days or years.

    Attributes
    ----------
    flux, period
        Name of the flux, such as "NEE"; "daily" [g C m-2 d-1] or "annual" [g C m-2 yr-1].
    network
        Score of the network.
    nulls
        Score of each null model by its description; empty if there is none.
    """

    flux: str
    period: Period
    network: Score
    nulls: Mapping[str, Score]

    @property
    def best_null(self) -> str | None:
        """Description of the null model with the smallest RMSE; None if there is none."""
        return min(self.nulls, key=lambda name: self.nulls[name].rmse, default=None)

    @property
    def skill(self) -> float:
        """Skill score 1 - MSE(network) / MSE(best null model): at most 1, positive if the network is closer.

        NaN if there is no null model, minus infinity if the best one has no error.

        Examples
        --------
        >>> network, cycle = Score(0.90, 1.0, 0.0, 365), Score(0.60, 2.0, 0.0, 365)
        >>> Comparison("NEE", "daily", network, {"mean seasonal cycle": cycle}).skill
        0.75
        """
        if self.best_null is None:
            return np.nan
        null_rmse = self.nulls[self.best_null].rmse
        return 1 - (self.network.rmse / null_rmse) ** 2 if null_rmse > 0 else -np.inf


@dataclass(frozen=True)
class NullModels:
    """Null models of Reco and NEE by description, each of shape (T,) [g C m-2 d-1], NaN on days without a value."""

    reco: Mapping[str, Floats]
    nee: Mapping[str, Floats]


def years_of(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year (T,) of each date."""
    return dates.astype("datetime64[Y]").astype(np.int64) + 1970


def _season_days(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the day of the year (T,), counted from 0; day 366 is treated as day 365, which every year has."""
    # Dates from pandas carry nanoseconds; without the cast the difference would not be in days.
    days: NDArray[np.int64] = (dates.astype("datetime64[D]") - dates.astype("datetime64[Y]")).astype(np.int64)
    return np.minimum(days, 364)


def _window_sums(weights: Floats, days: NDArray[np.int64]) -> Floats:
    """Return the sums (365,) of weights in the window centred on each day of the year, December joined to January."""
    daily = np.pad(np.bincount(days, weights, minlength=365), CYCLE_WINDOW_DAYS // 2, mode="wrap")
    sums: Floats = np.convolve(daily, np.ones(CYCLE_WINDOW_DAYS), mode="valid")
    return sums


def _mean_cycle(values: Floats, days: NDArray[np.int64]) -> Floats:
    """Return the mean (365,) of all values in the window centred on each day of the year; NaN if there are none."""
    known = np.isfinite(values)
    total, count = _window_sums(values[known], days[known]), _window_sums(np.ones(known.sum()), days[known])
    cycle: Floats = np.full(365, np.nan)
    np.divide(total, count, out=cycle, where=count > 0.5)
    return cycle


def seasonal_cycle(values: Floats, *, dates: NDArray[np.datetime64], crop: NDArray[np.generic]) -> Floats:
    """Return for each year the mean seasonal cycle of the *other* years (T,), in the unit of `values`.

    Only years with the same crop are averaged, or all other years if none of these has a value. The cycle is smoothed
    by a running mean over `CYCLE_WINDOW_DAYS` days. NaN if no other year has a value near that day.

    Parameters
    ----------
    values
        Observed flux (T,); NaN on days without an observation.
    dates
        Days (T,).
    crop
        Crop code (T,).

    Examples
    --------
    Three years of constant fluxes 1, 2 and 6:

    >>> dates = np.arange("2001-01-01", "2004-01-01", dtype="datetime64[D]")
    >>> cycle = seasonal_cycle(np.repeat([1.0, 2.0, 6.0], 365), dates=dates, crop=np.ones(len(dates)))
    >>> cycle[[0, 365, 730]]
    array([4. , 3.5, 1.5])
    """
    years, days = years_of(dates), _season_days(dates)
    cycle = np.full(len(values), np.nan)
    for year in np.unique(years):
        this = years == year
        same_crop = ~this & (crop == crop[this][0])
        # A year's own days would give its null model part of the answer.
        others = same_crop if np.isfinite(values[same_crop]).any() else ~this
        cycle[this] = _mean_cycle(values[others], days[others])[days[this]]
    return cycle


def seasonal_nulls(
    reco: Floats, nee: Floats, *, gpp: Floats, dates: NDArray[np.datetime64], crop: NDArray[np.generic]
) -> NullModels:
    """Return the null models of observed Reco and NEE that are made of mean seasonal cycles.

    A tower's input GPP is Reco - NEE, so that it already contains most of the variation of NEE. The null model "mean
    seasonal Reco - GPP" knows that GPP and nothing of the year's own respiration: its error in NEE is the error of the
    mean seasonal cycle in Reco.

    Parameters
    ----------
    reco, nee
        Observed fluxes (T,) [g C m-2 d-1], NEE positive to the atmosphere; NaN on days without an observation.
    gpp
        Input gross primary production (T,) [g C m-2 d-1].
    dates, crop
        Days (T,) and crop code (T,).
    """
    reco_cycle, nee_cycle = (seasonal_cycle(flux, dates=dates, crop=crop) for flux in (reco, nee))
    return NullModels(
        {SEASONAL_CYCLE: reco_cycle}, {SEASONAL_RECO_LESS_GPP: reco_cycle - gpp, SEASONAL_CYCLE: nee_cycle}
    )


def _annual_sums(values: Floats, *, scored: NDArray[np.bool_], years: NDArray[np.int64]) -> Floats:
    """Return the sum over the scored days of each year in which at least `ANNUAL_COVERAGE` of the days are scored."""
    # The sum of a sparser year would compare a season instead of the annual budget.
    covered = [year for year in np.unique(years) if scored[years == year].mean() >= ANNUAL_COVERAGE]
    return np.array([values[scored & (years == year)].sum() for year in covered])


def compare(
    flux: str, *, observed: Floats, network: Floats, nulls: Mapping[str, Floats], dates: NDArray[np.datetime64]
) -> list[Comparison]:
    """Return the daily and the annual comparison, over the days on which observation, network and all nulls exist.

    Annual sums of predictions and observations run over these days only, in years that have nine tenths of them. Null
    models without any value, as those of a single year, are left out.

    Parameters
    ----------
    flux
        Name of the flux.
    observed, network, nulls
        Observed and predicted flux and the null models by description, each (T,) [g C m-2 d-1].
    dates
        Days (T,).

    Examples
    --------
    >>> dates = np.arange("2001-01-01", "2003-01-01", dtype="datetime64[D]")
    >>> observed = np.sin(np.arange(730))
    >>> daily, annual = compare("NEE", observed=observed, network=observed + 0.1, nulls={}, dates=dates)
    >>> round(daily.network.bias, 3), round(annual.network.bias, 3), annual.network.count
    (0.1, 36.5, 2)
    """
    nulls = {name: values for name, values in nulls.items() if np.isfinite(values).any()}
    scored = np.logical_and.reduce([np.isfinite(values) for values in (observed, network, *nulls.values())])
    years = years_of(dates)

    def annual(values: Floats) -> Floats:
        return _annual_sums(values, scored=scored, years=years)

    parts: Mapping[Period, Callable[[Floats], Floats]] = {"daily": lambda values: values[scored], "annual": annual}
    return [
        Comparison(
            flux,
            period,
            score(part(network), part(observed)),
            {name: score(part(values), part(observed)) for name, values in nulls.items()},
        )
        for period, part in parts.items()
    ]
