"""Agreement of predictions with targets: scores by output, period and group, and the carbon balance.

Everything here is physical and in reporting signs: respiration positive, NEE positive to the atmosphere.

Shape legend: N sites, Y years, T 365 days, F 19 inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model.checkpoint import Scalers
from model.data.records import Booleans, Floats, Integers, SiteSequences, TowerSet
from model.data.run_years import predict
from model.data.sites import normalised_inputs
from model.evaluation.responses import ResponseCurve
from model.features import CROP_NAMES, GPP

DAILY = ("ra", "rh", "reco", "nee")
"""Outputs with a value every day [g C m-2 d-1], summed over the year [g C m-2 yr-1]."""
ANNUAL = (*DAILY, "yield", "dsoc")
"""Outputs with a value every year [g C m-2 yr-1]."""
SEASON_ENDS = {"winter": 59, "spring": 151, "summer": 243, "autumn": 334}
"""Last day of year of each meteorological season; December is winter again."""
ANNUAL_COVERAGE = 0.9
"""Share of a year's days that must be observed before its sum counts."""
YIELD_SHARE = 0.5
"""Largest plausible yield relative to GPP."""
FAILED_SHARE = 0.02
"""Yield relative to GPP below which a crop counts as failed: drought or frost left almost no grain."""

Period: TypeAlias = Literal["daily", "annual"]
Reals: TypeAlias = NDArray[np.floating]
Groups: TypeAlias = Mapping[str, Mapping[str, Booleans]]
"""Site-years (N, Y) that are scored separately, by division and part, such as "crop" and "corn"."""


@dataclass(frozen=True)
class Score:
    """Skill of one output.

    Attributes
    ----------
    r2
        1 - MSE / variance of the observations; None where they do not vary.
    rmse, bias
        Root mean square and mean of predicted - observed, in the output's unit; NaN where there is no pair.
    count
        Number of pairs.
    """

    r2: float | None
    rmse: float
    bias: float
    count: int

    @property
    def r2_or_nan(self) -> float:
        """R2, NaN where the observations do not vary."""
        return np.nan if self.r2 is None else self.r2


def score(predicted: Reals, observed: Reals) -> Score:
    """Return the skill over all pairs of which neither value is NaN.

    >>> score(np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.0, 3.0, 5.0, np.nan]))
    Score(r2=0.75, rmse=0.816496580927726, bias=-0.6666666666666666, count=3)
    """
    # The published definition: population variance, so that the mean of the observations scores 0.
    pairs = np.isfinite(predicted) & np.isfinite(observed)
    if not pairs.any():
        return Score(None, np.nan, np.nan, 0)
    truth = observed[pairs].astype(np.float64)
    error = predicted[pairs].astype(np.float64) - truth
    mse, variance = float((error**2).mean()), float(truth.var())
    return Score(1 - mse / variance if variance > 0 else None, mse**0.5, float(error.mean()), len(error))


@dataclass(frozen=True)
class Carbon:
    """Carbon budget of site-years, predicted or observed; NaN where there is no value.

    Attributes
    ----------
    gpp_NYT
        (N, Y, 365) input gross primary production [g C m-2 d-1].
    ra_NYT, rh_NYT, reco_NYT
        (N, Y, 365) autotrophic, heterotrophic and ecosystem respiration, positive [g C m-2 d-1].
    nee_NYT
        (N, Y, 365) net exchange, positive to the atmosphere [g C m-2 d-1].
    yield_NY
        (N, Y) grain carbon [g C m-2 yr-1].
    """

    gpp_NYT: Floats
    ra_NYT: Floats
    rh_NYT: Floats
    reco_NYT: Floats
    nee_NYT: Floats
    yield_NY: Floats

    @classmethod
    def of_fluxes(cls, gpp_NYT: Floats, *, fluxes_NYT3: Floats, yield_NY: Floats) -> Carbon:
        """Return carbon from Ra, Rh and NEE in the network's signs."""
        ra, rh, nee = -fluxes_NYT3[..., 0], -fluxes_NYT3[..., 1], fluxes_NYT3[..., 2]
        return cls(gpp_NYT, ra, rh, ra + rh, nee, yield_NY)

    @classmethod
    def of_sites(cls, sequences: SiteSequences) -> Carbon:
        """Return the targets of site sequences."""
        gpp_NYT = sequences.x_NYTF[..., GPP]
        return cls.of_fluxes(gpp_NYT, fluxes_NYT3=sequences.fluxes_NYT3, yield_NY=sequences.yield_NY)

    @classmethod
    def of_tower(cls, tower: TowerSet) -> Carbon:
        """Return the observations of a tower as one site; Ra and Rh apart and yield are NaN."""
        reco, nee = (
            np.where(tower.mask_YT, flux_YT, np.nan).astype(np.float32)[None]
            for flux_YT in (tower.reco_YT, tower.nee_YT)
        )
        nothing = np.full_like(reco, np.nan)
        return cls(tower.x_YTF[None, ..., GPP], nothing, nothing, reco, nee, nothing[..., 0])

    def daily(self, output: str) -> Floats:
        """Return the values (N, Y, 365) of one of `DAILY`."""
        values: Floats = getattr(self, f"{output}_NYT")
        return values


def predicted_carbon(network: nn.Module, x_NYTF: Floats, *, scalers: Scalers) -> Carbon:
    """Return the predictions of a network for all years, in order, after its spin-up.

    Parameters
    ----------
    network
        A network with the interface of `model.network.KGMLNetwork`; it is left in evaluation mode.
    x_NYTF
        Physical inputs.
    scalers
        Scalers with which the network was trained.
    """
    result = predict(network, normalised_inputs(x_NYTF, scalers=scalers))  # type: ignore[arg-type]
    outputs = scalers.outputs
    fluxes_NYT3, yield_NY = result.fluxes_NYT3.numpy(), result.yield_NY.numpy()
    std, mean = (np.array([getattr(outputs[name], part) for name in ("ra", "rh", "nee")]) for part in ("std", "mean"))
    return Carbon.of_fluxes(
        x_NYTF[..., GPP],
        fluxes_NYT3=(fluxes_NYT3 * std + mean).astype(np.float32),
        yield_NY=yield_NY * np.float32(outputs["yield"].std) + np.float32(outputs["yield"].mean),
    )


def annual_pair(predicted: Carbon, observed: Carbon, *, output: str) -> tuple[Reals, Reals]:
    """Return predicted and observed annual values (N, Y) of one of `ANNUAL`, summed over the observed days alone.

    A year counts where `ANNUAL_COVERAGE` of its days are observed; it is NaN elsewhere.
    """
    if output == "yield":
        return predicted.yield_NY, observed.yield_NY
    if output == "dsoc":
        # Carbon that enters the soil and does not leave it: net uptake less the harvest, -NEE - yield.
        nee, yields = (annual_pair(predicted, observed, output=name) for name in ("nee", "yield"))
        return -nee[0] - yields[0], -nee[1] - yields[1]
    values, truth = predicted.daily(output), observed.daily(output)
    # Predictions are summed over the same days as observations, or a gap would count as an error.
    seen = np.isfinite(truth)
    enough_NY = seen.mean(-1) >= ANNUAL_COVERAGE
    sums = (np.where(seen, each, 0.0).sum(-1, dtype=np.float64) for each in (values, truth))
    first, second = (np.where(enough_NY, total, np.nan) for total in sums)
    return first, second


@dataclass(frozen=True)
class ScoreRow:
    """Score of one output over one period and one group of site-years.

    Attributes
    ----------
    output
        One of `ANNUAL`.
    period
        "daily" or "annual".
    by, group
        "pooled" and "all", or a division such as "crop" and its part, "corn".
    score
        Score in g C m-2 d-1 (daily) or g C m-2 yr-1 (annual).
    """

    output: str
    period: Period
    by: str
    group: str
    score: Score


def groups_of(sites: Sequence[str], *, crop_NY: Integers, years: Integers) -> Groups:
    """Return the divisions by site, crop and year; sites of one name (simulations of a county) are one part."""
    names, shape = np.array(sites), crop_NY.shape
    site = {str(name): np.broadcast_to((names == name)[:, None], shape) for name in dict.fromkeys(names.tolist())}
    crop = {name: crop_NY == code for code, name in CROP_NAMES.items()}
    year = {str(value): np.broadcast_to(years == value, shape) for value in years.tolist()}
    return {"site": site, "crop": crop, "year": year}


def season_of_day() -> dict[str, Booleans]:
    """Return the days (365,) of each meteorological season."""
    days = np.arange(1, 366)
    # Days 1 to 365; December, after the last of the ends, joins the winter of January and February.
    starts = [0, *SEASON_ENDS.values()]
    seasons = {
        name: (days > start) & (days <= end) for (name, end), start in zip(SEASON_ENDS.items(), starts, strict=False)
    }
    return {**seasons, "winter": seasons["winter"] | (days > SEASON_ENDS["autumn"])}


def score_rows(predicted: Carbon, observed: Carbon, *, groups: Groups) -> tuple[ScoreRow, ...]:
    """Return the scores of all pairs, of each part of the groups and, for daily values, of each season."""
    rows = [*_daily_rows(predicted, observed, groups), *_annual_rows(predicted, observed, groups)]
    return tuple(row for row in rows if row.score.count)  # groups without a pair have no score


def _parts(groups: Groups) -> Iterator[tuple[str, str, Booleans | slice]]:
    yield "pooled", "all", slice(None)
    for by, parts in groups.items():
        for group, mask_NY in parts.items():
            yield by, group, mask_NY


def _daily_rows(predicted: Carbon, observed: Carbon, groups: Groups) -> Iterator[ScoreRow]:
    for output in DAILY:
        values, truth = predicted.daily(output), observed.daily(output)
        for by, group, mask in _parts(groups):
            yield ScoreRow(output, "daily", by, group, score(values[mask], truth[mask]))
        for season, days_T in season_of_day().items():
            yield ScoreRow(output, "daily", "season", season, score(values[..., days_T], truth[..., days_T]))


def _annual_rows(predicted: Carbon, observed: Carbon, groups: Groups) -> Iterator[ScoreRow]:
    for output in ANNUAL:
        values, truth = annual_pair(predicted, observed, output=output)
        for by, group, mask in _parts(groups):
            yield ScoreRow(output, "annual", by, group, score(values[mask], truth[mask]))


@dataclass(frozen=True)
class Balance:
    """Residual of the carbon balance, GPP - Ra - Rh + NEE, which is 0 where mass is conserved.

    Attributes
    ----------
    daily
        Mean absolute residual [g C m-2 d-1].
    daily_share
        The same relative to mean GPP.
    annual, annual_bias
        Mean absolute and mean annual residual [g C m-2 yr-1].
    """

    daily: float
    daily_share: float
    annual: float
    annual_bias: float


def balance(carbon: Carbon) -> Balance:
    """Return the mass-balance residual of predictions."""
    # Reporting signs: GPP and respiration positive, NEE upward.
    residual_NYT = carbon.gpp_NYT.astype(np.float64) - carbon.reco_NYT + carbon.nee_NYT
    annual_NY, daily = residual_NYT.sum(-1), float(np.abs(residual_NYT).mean())
    share = daily / float(carbon.gpp_NYT.mean(dtype=np.float64))
    return Balance(daily, share, float(np.abs(annual_NY).mean()), float(annual_NY.mean()))


@dataclass(frozen=True)
class YieldBounds:
    """Counts of site-years by whether their yield is plausible: above 0 and below `YIELD_SHARE` of GPP.

    Attributes
    ----------
    within
        Share of site-years with a plausible yield.
    negative, above, count
        Number of yields at or below 0, of yields too high, and of all site-years.
    failed, failed_outside
        Number of site-years whose observed yield is below `FAILED_SHARE` of GPP, and of those among them whose
        prediction is not plausible; 0 where yield was not observed.
    """

    within: float
    negative: int
    above: int
    count: int
    failed: int = 0
    failed_outside: int = 0


def yield_bounds(carbon: Carbon, *, observed: Carbon | None = None) -> YieldBounds:
    """Return the counts of plausible predicted yields, and of failed crops if yields were observed."""
    gpp_NY = carbon.gpp_NYT.sum(-1, dtype=np.float64)
    # A yield that is both (GPP of 0 and yield of 0) counts once, as too low.
    low_NY, high_NY = carbon.yield_NY <= 0, carbon.yield_NY >= YIELD_SHARE * gpp_NY
    outside_NY = low_NY | high_NY
    # A failed crop may yield nothing in truth too: such site-years are counted apart, for the reader to judge.
    failed_NY = observed.yield_NY < FAILED_SHARE * gpp_NY if observed else np.zeros_like(outside_NY)
    return YieldBounds(
        within=float(((carbon.yield_NY > 0) & (carbon.yield_NY < YIELD_SHARE * gpp_NY)).mean()),
        negative=int(low_NY.sum()),
        above=int((high_NY & ~low_NY).sum()),
        count=carbon.yield_NY.size,
        failed=int(failed_NY.sum()),
        failed_outside=int((failed_NY & outside_NY).sum()),
    )


@dataclass(frozen=True)
class Evaluation:
    """All results of one network on one data set."""

    rows: tuple[ScoreRow, ...]
    balance: Balance
    yield_bounds: YieldBounds
    responses: tuple[ResponseCurve, ...] = ()

    def row(self, output: str, period: Period, *, by: str = "pooled", group: str = "all") -> ScoreRow | None:
        """Return one score, or None where nothing was observed."""
        key = (output, period, by, group)
        return next((row for row in self.rows if (row.output, row.period, row.by, row.group) == key), None)

    def pooled(self, output: str) -> ScoreRow:
        """Return the score over all pairs of an observed output: daily, of yield annual."""
        row = self.row(output, "annual" if output == "yield" else "daily")
        assert row is not None
        return row


@dataclass(frozen=True)
class Fold:
    """One division of site-years into those to train on and those held out to test, (N, Y) each."""

    name: str
    training_NY: Booleans
    test_NY: Booleans


def leave_years_out(years: Integers, *, sites: int, size: int = 1) -> tuple[Fold, ...]:
    """Return folds that hold out `size` consecutive years at all sites; each year is held out once.

    >>> folds = leave_years_out(np.arange(2001, 2006), sites=1, size=2)
    >>> [(fold.name, fold.test_NY.astype(int).tolist()) for fold in folds[:2]]
    [('2001-2002', [[1, 1, 0, 0, 0]]), ('2003-2004', [[0, 0, 1, 1, 0]])]
    """
    folds = []
    for start in range(0, len(years), size):
        test_NY = np.zeros((sites, len(years)), dtype=bool)
        test_NY[:, start : start + size] = True
        held = years[start : start + size].tolist()
        name = f"{held[0]}-{held[-1]}" if len(held) > 1 else str(held[0])
        folds.append(Fold(name, ~test_NY, test_NY))
    return tuple(folds)


def leave_sites_out(groups: Sequence[str], *, years: int) -> tuple[Fold, ...]:
    """Return folds that hold out all years at the sites of one group, such as a county or neighbouring towers.

    Parameters
    ----------
    groups
        Group of each site (N).
    years
        Number of years.
    """
    names = np.array(groups)
    folds = []
    for name in dict.fromkeys(groups):
        test_NY = np.repeat((names == name)[:, None], years, axis=1)
        folds.append(Fold(name, ~test_NY, test_NY))
    return tuple(folds)
