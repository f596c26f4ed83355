"""Skill of predicted fluxes: R2, RMSE and bias, beside null models that anybody could have had without a network.

References
----------
Murphy (1988), Monthly Weather Review 116:2417-2424, doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2 (skill score).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evaluation.scores import ANNUAL_COVERAGE, Score, score

Floats = NDArray[np.float64]

CYCLE_WINDOW_DAYS = 15  # a seasonal mean of few years is noise from day to day; smoothing makes it the harder null


@dataclass(frozen=True)
class Comparison:
    """Scores of the network and of the nulls for one flux, all on the same days or years.

    Attributes
    ----------
    flux, period
        "Reco" or "NEE"; "daily" [g C m-2 d-1] or "annual" [g C m-2 yr-1].
    network
        Score of the network.
    nulls
        Score of each null model by its description; empty where there is none.
    """

    flux: str
    period: str
    network: Score
    nulls: Mapping[str, Score]

    @property
    def best_null(self) -> str | None:
        """Description of the null with the smallest RMSE."""
        return min(self.nulls, key=lambda name: self.nulls[name].rmse, default=None)

    @property
    def skill(self) -> float:
        """1 - MSE(network) / MSE(best null): above 0 the network knows more than the best null; NaN without one."""
        if self.best_null is None:
            return np.nan
        null_rmse = self.nulls[self.best_null].rmse
        return 1 - (self.network.rmse / null_rmse) ** 2 if null_rmse > 0 else -np.inf


def years_of(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar year (T,) of each date."""
    return dates.astype("datetime64[Y]").astype(np.int64) + 1970


def _season_days(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the 0-based day of the year, whatever unit dates are in; day 366 shares day 365, which every year has."""
    days: NDArray[np.int64] = (dates.astype("datetime64[D]") - dates.astype("datetime64[Y]")).astype(np.int64)
    return np.minimum(days, 364)


def _mean_cycle(values: Floats, days: NDArray[np.int64]) -> Floats:
    """Return the mean (365,) of all values within the window around each day of the year; NaN where there is none."""
    known, half = np.isfinite(values), CYCLE_WINDOW_DAYS // 2
    sums, window = np.empty((2, 365)), np.ones(CYCLE_WINDOW_DAYS)
    for row, weights in enumerate((values[known], np.ones(known.sum()))):
        daily = np.bincount(days[known], weights, minlength=365)
        sums[row] = np.convolve(np.pad(daily, half, mode="wrap"), window, mode="valid")
    total, count = sums
    cycle: Floats = np.full(365, np.nan)
    np.divide(total, count, out=cycle, where=count > 0.5)
    return cycle


def seasonal_cycle(values: Floats, *, dates: NDArray[np.datetime64], crop: NDArray[np.generic]) -> Floats:
    """Return the mean seasonal cycle (T,) that each year's *other* years give: leave one year out.

    The cycle is that of the other years with the same crop, or of all other years if the crop grew in one year only.
    It is a mean over `CYCLE_WINDOW_DAYS` days. A year's own days never enter its null: that would show it the answer.

    Parameters
    ----------
    values
        Observed flux (T,); NaN where there is none.
    dates
        Days (T,).
    crop
        Crop code (T,).
    """
    years, days = years_of(dates), _season_days(dates)
    cycle = np.full(len(values), np.nan)
    for year in np.unique(years):
        this = years == year
        same_crop = ~this & (crop == crop[this][0])
        others = same_crop if same_crop.any() else ~this
        cycle[this] = _mean_cycle(values[others], days[others])[days[this]]
    return cycle


def _annual_sums(values: Floats, *, scored: NDArray[np.bool_], years: NDArray[np.int64]) -> Floats:
    """Return one sum a year over its scored days, without the years of which too few days are scored."""
    whole = [year for year in np.unique(years) if scored[years == year].mean() >= ANNUAL_COVERAGE]
    return np.array([values[scored & (years == year)].sum() for year in whole])


def compare(
    flux: str, *, observed: Floats, network: Floats, nulls: Mapping[str, Floats], dates: NDArray[np.datetime64]
) -> list[Comparison]:
    """Return the daily and the annual comparison, each on the days on which observation, network and all nulls exist.

    Annual sums run over these days alone, for prediction and observation alike. Nulls without any value (a single year)
    are left out.
    """
    nulls = {name: values for name, values in nulls.items() if np.isfinite(values).any()}
    scored = np.logical_and.reduce([np.isfinite(values) for values in (observed, network, *nulls.values())])
    years = years_of(dates)
    annual = {
        name: _annual_sums(values, scored=scored, years=years)
        for name, values in {"observed": observed, "network": network, **nulls}.items()
    }
    return [
        Comparison(
            flux,
            "daily",
            score(network[scored], observed[scored]),
            {name: score(values[scored], observed[scored]) for name, values in nulls.items()},
        ),
        Comparison(
            flux,
            "annual",
            score(annual["network"], annual["observed"]),
            {name: score(annual[name], annual["observed"]) for name in nulls},
        ),
    ]
