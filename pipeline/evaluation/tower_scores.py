"""Scores of all models at towers, by site, crop and role of the years: by day, month, season and year.

Shape legend: Y years, T 365 days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from model.data.records import Booleans
from model.evaluation.scores import ANNUAL_COVERAGE, score, season_of_day
from model.features import CROP_NAMES
from pipeline.evaluation.towers import (
    BEFORE,
    ECOSYS,
    ECOSYS_SITE,
    NETWORK,
    PURE,
    ROLES,
    Floats,
    TowerFluxes,
    month_means,
)
from pipeline.site.skill import SEASONAL_CYCLE, SEASONAL_RECO_LESS_GPP, UNITS

FLUXES = {"reco": "Reco", "nee": "NEE"}
SEASONS = ("winter", "summer")
PERIODS = ("daily", "monthly", *SEASONS, "annual")
COLUMNS = ["site", "crop", "role", "years", "flux", "period", "model", "n", "r2", "rmse", "bias", "unit"]
SHORT = {
    NETWORK: NETWORK,
    BEFORE: "before",
    PURE: PURE,
    SEASONAL_CYCLE: "null: cycle",
    SEASONAL_RECO_LESS_GPP: "null: Reco-GPP",
    ECOSYS: "ecosys",
}
"""Models in the order of printed tables, and their names there."""
PRINTED = {
    "R2 of daily fluxes": ("daily", "r2"),
    "R2 of monthly fluxes": ("monthly", "r2"),
    "bias of annual sums [g C m-2 yr-1]": ("annual", "bias"),
    "RMSE of annual sums [g C m-2 yr-1]": ("annual", "rmse"),
}
"""Printed tables: heading, period and score."""
SCORE_NOTES = (
    "All models of a row are scored on the same n days, months or years, ecosys on those that its run has. Null models "
    "are means of learned and chosen years other than the year itself, of other judged years where a tower has no "
    "learned one: over the years they are made of, their bias is 0 by construction.",
    "Networks have the tower's GPP, which is Reco - NEE; ecosys has a GPP of its own and is not calibrated to the "
    "tower.",
)


class Group(NamedTuple):
    """Years of one crop and one role at a tower."""

    fluxes: TowerFluxes
    crop: int
    role: str

    @property
    def chosen_Y(self) -> Booleans:
        """(Y,) whether the year belongs to the group."""
        chosen_Y: Booleans = (self.fluxes.crops == self.crop) & (np.array(self.fluxes.roles) == self.role)
        return chosen_Y

    @property
    def years(self) -> list[int]:
        """Calendar years."""
        return [int(year) for year in self.fluxes.tower.years[self.chosen_Y]]

    @property
    def label(self) -> tuple[str, str, str]:
        """Site, crop and role."""
        return self.fluxes.tower.site, CROP_NAMES[self.crop], self.role

    def pairs(self, flux: str) -> tuple[Floats, dict[str, Floats]]:
        """Return the observed flux (Y, 365) and that of each model with a value, all NaN where one of them is NaN.

        Days of years that the run of *ecosys* does not have are NaN in that run only.
        """
        chosen_Y = self.chosen_Y
        observed_YT = self.fluxes.observed(flux)[chosen_Y]
        models = {name: values[chosen_Y] for name, values in self.fluxes.models(flux).items()}
        known_YT = np.isfinite(observed_YT)
        models = {name: values for name, values in models.items() if np.isfinite(values[known_YT]).any()}
        # The run ends after six years: it may not take the others away from all other models.
        whole = [values for name, values in models.items() if name != ECOSYS]
        seen_YT = np.logical_and.reduce([np.isfinite(values) for values in (observed_YT, *whole)])
        masked = {name: np.where(seen_YT, values, np.nan) for name, values in models.items()}
        return np.where(seen_YT, observed_YT, np.nan), masked

    def resolved(self, values_YT: Floats, period: str) -> Floats:
        """Return values over a period of `PERIODS`: daily fluxes or their means; annual sums; NaN where uncovered."""
        seen_YT = np.isfinite(values_YT)
        if period == "daily":
            return values_YT
        if period == "monthly":
            return month_means(values_YT, seen_YT=seen_YT, month_YT=self.fluxes.tower.month_YT[self.chosen_Y])
        days_T = np.ones(seen_YT.shape[1], bool) if period == "annual" else season_of_day()[period]
        enough_Y = seen_YT[:, days_T].mean(1) >= ANNUAL_COVERAGE
        sums_Y = np.where(seen_YT, values_YT, 0.0)[:, days_T].sum(1)
        counts_Y = np.maximum(seen_YT[:, days_T].sum(1), 1)
        return np.where(enough_Y, sums_Y if period == "annual" else sums_Y / counts_Y, np.nan)


def groups_of(towers: Sequence[TowerFluxes]) -> Iterator[Group]:
    """Yield the groups of all towers that have a year."""
    for fluxes in towers:
        for crop in CROP_NAMES:
            for role in ROLES:
                group = Group(fluxes, crop, role)
                if group.years:
                    yield group


def tower_table(towers: Sequence[TowerFluxes]) -> pd.DataFrame:
    """Return one row per group, flux, period and model, all models on the same days.

    Columns are `COLUMNS`: r2 is NaN where the observations do not vary; rmse and bias are in `unit`, those of months
    and seasons of mean daily fluxes. Towers known by months have no daily row.
    """
    rows = [
        (*group.label, ", ".join(map(str, group.years)), FLUXES[flux], *values)
        for group in groups_of(towers)
        for flux in FLUXES
        for values in _scores(group, flux)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _scores(group: Group, flux: str) -> Iterator[tuple[str, str, int, float, float, float, str]]:
    observed_YT, models = group.pairs(flux)
    for period in PERIODS:
        if period == "daily" and group.fluxes.tower.monthly:
            continue
        truth = group.resolved(observed_YT, period)
        for model, values_YT in models.items():
            one = score(group.resolved(values_YT, period), truth)
            if one.count:
                unit = UNITS["annual" if period == "annual" else "daily"]
                yield period, model, one.count, one.r2_or_nan, one.rmse, one.bias, unit


def role_lines(towers: Sequence[TowerFluxes]) -> Iterator[str]:
    """Yield a line per tower with its years by role."""
    for fluxes in towers:
        years = zip(fluxes.tower.years.tolist(), fluxes.roles, strict=True)
        by_role: dict[str, list[str]] = {}
        for year, role in years:
            by_role.setdefault(role, []).append(str(year))
        parts = "; ".join(f"{role} {', '.join(by_role[role])}" for role in ROLES if role in by_role)
        absent = fluxes.tower.site == ECOSYS_SITE and ECOSYS not in fluxes.nee
        note = "; the data folder has no run of ecosys" if absent else ""
        yield f"{fluxes.tower.site}, known by {'months' if fluxes.tower.monthly else 'days'}: {parts}{note}"


def printed_scores(table: pd.DataFrame, heading: str) -> str:
    """Return one of the tables of `PRINTED` as text: a row per site, crop, role and flux, n, and a column per model."""
    period, score = PRINTED[heading]
    rows = table[table["period"] == period]
    if rows.empty:
        return "none"
    index = ["site", "crop", "role", "flux"]
    counts = rows[rows["model"] == NETWORK].set_index(index)["n"]
    shown = rows.pivot(index=index, columns="model", values=score).reindex(counts.index)
    shown = shown[[name for name in SHORT if name in shown]].rename(columns=SHORT)
    shown.insert(0, "n", counts)
    shown = shown.reset_index()
    form = {"r2": "{:.3f}", "rmse": "{:.0f}", "bias": "{:+.0f}"}[score]
    return shown.to_string(index=False, float_format=form.format, na_rep="-")
