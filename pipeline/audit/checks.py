"""Checks of a tile-year: each a pure function of the values that were read, with the largest result that passes.

Tolerances are bounds on rounding. Stored daily fluxes keep 10 mantissa bits, which is a relative error of at most
2^-11 of each value, and so of any sum of absolute values; annual layers are single precision.

Shape legend: N modelled cells of a tile, T days, L layers and U units of state, R C rows and columns of a tile.

References
----------
[1] National Corn Growers Association, National Corn Yield Contest 2023: 623 bushels an acre, the record; 1480 g C m-2
    at 15.5 % moisture and 0.447 g of carbon in a gram of dry matter.
[2] Limits of GPP: `pipeline.inputs.limits`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats
from pipeline.audit.reading import AuditedYear
from pipeline.cube import members
from pipeline.cube.entry import RANGES, Row
from pipeline.cube.layout import ROUNDED
from pipeline.cube.parts import MONTH_PARTS
from pipeline.simulate.tile_year import MEMBER_FLUXES
from pipeline.variables import DAILY, ENSEMBLE_STD, FLUXES, Quality

Range: TypeAlias = tuple[float, float]

_SINGLE = 2.0**-21  # eight roundings to single precision, of 2^-24 each

# Ordinary daily steps are taken for at least this [g C m-2 d-1]: in a smooth winter, rounding alone would be many times
# the largest of them.
ORDINARY_FLOOR = 0.01


@dataclass(frozen=True)
class Check:
    """A check and the largest result that passes.

    Attributes
    ----------
    name
        Name in tables and failures.
    title
        Quantity that is checked.
    unit
        Unit of the result; "relative" results enter the audit's last line.
    limit
        Largest result that passes.
    rerun
        Whether computing the tile-year again can fix a failure.
    """

    name: str
    title: str
    unit: str
    limit: float
    rerun: bool = True

    @property
    def relative(self) -> bool:
        """Whether the result is a relative difference."""
        return self.unit == "relative"


READING = Check("reading", "arrays that cannot be read", "arrays", 0)
CHECKSUM = Check("checksum", "stored values compared with the ledger's checksum", "tile-years", 0)
RECORD = Check("record", "cells, minima and maxima compared with the ledger", "numbers", 0)
PATTERN = Check("pattern", "NaN compared with mask and quality flag `missing`", "values", 0)
PLAUSIBLE = Check("plausible", "layers with values that no crop reaches", "layers", 0, rerun=False)
BUDGET = Check("budget", "annual layers compared with each other", "relative", _SINGLE)
SUMS = Check("sums", "annual ra, rh, nee compared with sums of days, of members with months", "relative", ROUNDED)
# Rounding errors of days are independent: in a year of 5 g C m-2 d-1 their sum has a standard deviation of 0.03.
DSOC = Check("dsoc", "dsoc compared with -(sum of daily nee) - yield", "g C m-2 yr-1", 0.5)
BALANCE = Check("balance", "residual compared with daily fluxes and input GPP", "relative", ROUNDED)
RESTART = Check("restart", "cells whose carried state is beyond -1 to 1, or absent", "cells", 0)
# Were 1 January a day like others, its step would be the largest of the 61 in one winter of 61; 5 leaves a margin.
STATE = Check("state", "carried state compared with the ledger's digest", "tile-years", 0)
CONTINUITY = Check("continuity", "step on 1 January over the largest daily step of that winter", "ratio", 5)
SEAMS = Check("seams", "step at a tile's border over the largest inside tiles", "ratio", 2)  # see pipeline.audit.seams
COORDINATES = Check("coordinates", "coordinates and areas compared with their digests", "arrays", 0, rerun=False)
# Sums in double precision, added in another order.
AGGREGATES = Check("aggregates", "counties, 0.0025, 0.05 and 0.5 degree computed again", "relative", 1e-9, rerun=False)
TOTALS = Check("totals", "totals over cells, counties, states, maps and zonal polygons", "relative", 1e-9, rerun=False)

CHECKS = (
    READING, CHECKSUM, RECORD, PATTERN, PLAUSIBLE, BUDGET, SUMS, DSOC, BALANCE, RESTART, STATE, CONTINUITY, SEAMS,
    COORDINATES, AGGREGATES, TOTALS,
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Result of a check in one place.

    Attributes
    ----------
    check
        The check.
    worst
        Worst result, in the check's unit; NaN passes no limit.
    values
        Number of values that were compared.
    why
        Where the worst result is, or how it came about.
    """

    check: Check
    worst: float
    values: int
    why: str = ""

    @property
    def passes(self) -> bool:
        """Whether the worst result is within the limit."""
        return bool(self.worst <= self.check.limit)


# Smallest and largest credible value [g C m-2 d-1, g C m-2 yr-1]. Respiration has about the range of GPP [2]; yield
# that of [1]. Slightly negative predictions are no fault: signs are not enforced.
_DAILY_LIMITS: Mapping[str, Range] = {"ra": (-10.0, 45.0), "rh": (-10.0, 45.0), "nee": (-45.0, 60.0)}
_ANNUAL_LIMITS: Mapping[str, Range] = {
    "gpp": (-500.0, 4500.0), "ra": (-500.0, 4500.0), "rh": (-500.0, 4500.0), "reco": (-500.0, 6000.0),
    "nee": (-3000.0, 4500.0), "yield": (-200.0, 1500.0), "residue": (0.0, 4500.0), "dsoc": (-4500.0, 3000.0),
    "dsoc_balance": (-4500.0, 3000.0), "balance_residual": (-3000.0, 3000.0),
}  # fmt: skip


@dataclass(frozen=True)
class _Results:
    """A tile-year on the cells that have results, N from here on."""

    year: AuditedYear
    present_N: NDArray[np.bool_]

    @property
    def cells(self) -> int:
        return int(self.present_N.sum())

    def days(self, name: str) -> Floats:
        """A daily flux (T, N) [g C m-2 d-1]."""
        return self.year.daily(name)[:, self.present_N]

    def annual(self, name: str) -> Floats:
        """An annual flux (N,) [g C m-2 yr-1]."""
        return self.year.annual(name)[self.present_N]

    def sum_of_days(self, name: str) -> NDArray[np.float64]:
        """Sum of a daily flux over the year (N,) [g C m-2 yr-1]."""
        return np.asarray(self.days(name).sum(axis=0, dtype=np.float64))

    def magnitude(self, name: str) -> NDArray[np.float64]:
        """Sum of absolute daily values (N,) [g C m-2 yr-1], to which rounding errors are relative."""
        return np.asarray(np.abs(self.days(name)).sum(axis=0, dtype=np.float64))


def check_year(year: AuditedYear) -> Iterator[Measured]:
    """Yield the results of every check that one tile-year allows by itself."""
    pattern = _pattern(year)
    yield from (_checksum(year), _record(year), pattern)
    results = _Results(year, (year.annual("quality") & Quality.MISSING) == 0)
    # Where results and flags contradict each other, NaN would spread through all other checks and hide the cause.
    if pattern.passes and results.cells:
        yield from (check(results) for check in (_plausible, _budget, _sums, _dsoc, _balance))


def _checksum(year: AuditedYear) -> Measured:
    found, recorded = year.stored.checksum, year.row.checksum
    why = f"checksum of the values {found[:8]}..., of the ledger {recorded[:8]}..." if found != recorded else ""
    if changed := _changed_members(year):
        why = "; ".join([*([why] if why else []), f"members have other values of {', '.join(changed)} than recorded"])
    return Measured(CHECKSUM, float(bool(why)), 1, why)


def _changed_members(year: AuditedYear) -> list[str]:
    """Return the fluxes of the members, or their months, that have other digests than were recorded."""
    annual = zip(MEMBER_FLUXES, members.digests(year.members), year.row.members, strict=False)
    months = zip(MONTH_PARTS, members.month_digests(year.members), year.row.member_months, strict=False)
    by_month = ((f"{flux} in month {month + 1}", own, known) for (flux, month), own, known in months)
    return [name for name, own, known in (*annual, *by_month) if own != known]


def _record(year: AuditedYear) -> Measured:
    row = year.row
    found = Row.of(
        year.stored, tile=row.tile, year=row.year, fingerprint=row.fingerprint,
        balance_residual=row.balance_residual, seconds=row.seconds, cpu_seconds=row.cpu_seconds, restart=row.restart,
    )  # fmt: skip
    pairs = {name: (getattr(found, name), getattr(row, name)) for name in ("cells", "missing_cells", "outside_share")}
    for extreme in ("minimum", "maximum"):
        extremes = zip(getattr(found, extreme), getattr(row, extreme), strict=True)
        pairs |= {f"{extreme} of {name}": pair for name, pair in zip(RANGES, extremes, strict=True)}
    wrong = [name for name, pair in pairs.items() if not same_number(*pair)]
    why = f"recorded otherwise: {', '.join(wrong[:3])}" if wrong else ""
    return Measured(RECORD, len(wrong), len(pairs), why)


def same_number(one: float, other: float) -> bool:
    """Return whether two numbers are equal, or both NaN, which is the extreme of a layer without values.

    Examples
    --------
    >>> same_number(1.5, 1.5), same_number(1.5, 2.5)
    (True, False)
    >>> same_number(math.nan, math.nan), same_number(math.nan, 1.5)
    (True, False)
    """
    return one == other or (math.isnan(one) and math.isnan(other))


def _pattern(year: AuditedYear) -> Measured:
    """Compare where values are NaN with where the quality flag says so; outside the mask all must be empty."""
    missing_N = (year.annual("quality") & Quality.MISSING) != 0
    layers: dict[str, NDArray[Any]] = {f"daily {variable.name}": year.daily(variable.name) for variable in DAILY}
    for variable in (*FLUXES, *ENSEMBLE_STD.values()):
        if variable.name in year.stored.annual:
            layers[variable.name] = year.annual(variable.name)
    wrong = {"outside the mask": year.outside}
    wrong |= {name: int(np.count_nonzero(np.isfinite(layer) == missing_N)) for name, layer in layers.items()}
    if len(year.row.members) == len(MEMBER_FLUXES):  # of draws: no spread where the uncertainty is unknown
        spreads = {std.name for std in ENSEMBLE_STD.values()} & layers.keys()
        wrong |= {name: int(np.count_nonzero(np.isfinite(layers[name]) & missing_N)) for name in spreads}
    first = next((name for name, count in wrong.items() if count), "")
    values = sum(layer.size for layer in layers.values())
    return Measured(PATTERN, sum(wrong.values()), values, f"first: {first}" if first else "")


def _plausible(results: _Results) -> Measured:
    daily = (_outside(f"daily {name}", results.days(name), limits) for name, limits in _DAILY_LIMITS.items())
    annual = (_outside(name, results.annual(name), limits) for name, limits in _ANNUAL_LIMITS.items())
    outside = [found for found in (*daily, *annual) if found]
    days = len(results.days(DAILY[0].name))
    values = (len(_DAILY_LIMITS) * days + len(_ANNUAL_LIMITS)) * results.cells
    return Measured(PLAUSIBLE, len(outside), values, "; ".join(outside))


def _outside(name: str, values: Floats, limits: Range) -> str:
    """Describe the values outside the limits; empty if there are none."""
    low, high = limits
    count = int(np.count_nonzero((values < low) | (values > high)))
    if not count:
        return ""
    return f"{count} of {name} beyond {low:g} to {high:g} ({values.min():.4g} to {values.max():.4g})"


def relative(difference: NDArray[np.float64], magnitude: NDArray[np.float64]) -> float:
    """Return the largest |difference| / magnitude; infinity where something differs and there is no magnitude.

    Examples
    --------
    >>> relative(np.array([0.0, -0.5]), np.array([0.0, 2.0]))
    0.25
    >>> relative(np.array([0.1]), np.array([0.0]))
    inf
    """
    with np.errstate(divide="ignore"):
        ratio = np.divide(np.abs(difference), magnitude, out=np.zeros_like(difference), where=difference != 0)
    return float(ratio.max(initial=0.0))


def largest(check: Check, differences: Mapping[str, float], values: int) -> Measured:
    """Return the largest of some differences, with its name; NaN counts as larger than any."""
    name = max(differences, key=lambda key: np.nan_to_num(differences[key], nan=np.inf))
    return Measured(check, differences[name], values, name)


def _budget(results: _Results) -> Measured:
    """Compare each annual layer that is a sum of others with that sum."""
    flux = {variable.name: results.annual(variable.name) for variable in FLUXES}
    terms = {
        "reco": [flux["ra"], flux["rh"]],
        "dsoc": [-flux["nee"], -flux["yield"]],
        "dsoc_balance": [flux["gpp"], -flux["ra"], -flux["rh"], -flux["yield"]],
        "balance_residual": [flux["ra"], flux["rh"], -flux["gpp"], -flux["nee"]],
        "residue": [flux["gpp"], -flux["ra"], -flux["yield"]],
    }
    differences = {}
    for name, parts in terms.items():
        total: NDArray[np.float64] = np.sum(parts, axis=0)
        expected = np.maximum(total, 0) if name == "residue" else total
        # Relative to the sum of the terms' magnitudes: where they cancel, the result is small and its rounding is not.
        differences[name] = relative(flux[name] - expected, np.abs(parts).sum(axis=0))
    return largest(BUDGET, differences, len(terms) * results.cells)


def _sums(results: _Results) -> Measured:
    differences = {
        name: relative(results.annual(name) - results.sum_of_days(name), results.magnitude(name))
        for name in (variable.name for variable in DAILY)
    }
    differences |= _sums_of_members(results)
    return largest(SUMS, differences, len(differences) * results.cells)


def _sums_of_members(results: _Results) -> dict[str, float]:
    """Compare the months of the members of an ensemble with their years, both less the mean over the members."""
    sums = results.year.members
    if not sums or not sums.months_M3KN.size:
        return {}
    known_N = results.present_N & np.isfinite(sums.annual_MVN).all(axis=(0, 1))  # not where GPP could not be drawn
    differences = {}
    for number, flux in enumerate(DAILY):
        annual_MN = sums.annual_MVN[:, number, known_N].astype(np.float64)
        months_MKN = sums.months_M3KN[:, number][..., known_N].astype(np.float64)
        difference = months_MKN.sum(axis=1) - (annual_MN - annual_MN.mean(axis=0))
        magnitude = np.abs(months_MKN).sum(axis=1) + _SINGLE / ROUNDED * np.abs(annual_MN)
        differences[f"{flux.name} of members"] = relative(difference, magnitude)
    return differences


def _dsoc(results: _Results) -> Measured:
    recomputed = -results.sum_of_days("nee") - results.annual("yield")
    difference = np.abs(results.annual("dsoc") - recomputed)
    return Measured(DSOC, float(difference.max()), difference.size)


def _balance(results: _Results) -> Measured:
    """Compare the annual residual, and the daily one of the ledger, with daily fluxes and GPP.

    Without the inputs that the year was computed from, the annual GPP of the cube replaces theirs.
    """
    magnitude: NDArray[np.float64] = np.sum([results.magnitude(variable.name) for variable in DAILY], axis=0)
    gpp = results.annual("gpp")
    differences = {}
    if results.year.gpp_TN is not None:
        gpp_TN = results.year.gpp_TN[:, results.present_N]
        gpp = gpp_TN.sum(axis=0, dtype=np.float64)
        differences["gpp of the inputs"] = relative(results.annual("gpp") - gpp, gpp)
        residual_TN = results.days("ra") + results.days("rh") - results.days("nee") - gpp_TN
        difference = np.abs(residual_TN).mean(dtype=np.float64) - results.year.row.balance_residual
        daily_magnitude = magnitude.mean(keepdims=True) / len(residual_TN)
        differences["daily residual of the ledger"] = relative(np.array([difference]), daily_magnitude)
    residual = results.sum_of_days("ra") + results.sum_of_days("rh") - gpp - results.sum_of_days("nee")
    differences["annual residual"] = relative(results.annual("balance_residual") - residual, magnitude + gpp)
    return largest(BALANCE, differences, len(differences) * results.cells)


def check_restart(state_LUN: Callable[[int], NDArray[np.float32]], layers: int, ran_N: NDArray[np.bool_]) -> Measured:
    """Count the cells whose state at a year's end is out of range, or absent although they ran.

    The state of a GRU unit is a weighted mean of hyperbolic tangents, so that it lies within -1 and 1.

    Parameters
    ----------
    state_LUN
        Returns one layer (U, N) of the state: all layers together are the largest array of the cube.
    layers
        Their number L.
    ran_N
        Cells that ran in the year: all of these have a state.
    """
    wrong_N = np.zeros(ran_N.shape, bool)
    for layer in range(layers):
        state_UN = state_LUN(layer)
        with np.errstate(invalid="ignore"):
            beyond_N = (np.abs(state_UN) > 1 + _SINGLE).any(axis=0)
        absent_N = ran_N & ~np.isfinite(state_UN).all(axis=0)
        wrong_N |= beyond_N | absent_N
    return Measured(RESTART, int(np.count_nonzero(wrong_N)), layers * ran_N.size)


def check_state(found: str, recorded: str) -> Measured:
    """Compare the digest of a year's final state with the one of the ledger."""
    differs = found != recorded
    why = f"digest of the state {found[:8]}..., of the ledger {recorded[:8]}..." if differs else ""
    return Measured(STATE, float(differs), 1, why)


def check_new_year(december: Mapping[str, Floats], january: Mapping[str, Floats]) -> Measured:
    """Compare the step from 31 December to 1 January with the largest of any day of the two months around it.

    Steps are medians over the cells of |difference|, so that a field that changes crops does not count.

    Parameters
    ----------
    december, january
        Daily fluxes (T, N) by name [g C m-2 d-1].
    """
    ratios, cells = {}, 0
    for name, before_TN in december.items():
        days_TN = np.concatenate([before_TN, january[name]])
        days_TN = days_TN[:, np.isfinite(days_TN).all(axis=0)]
        cells = max(cells, days_TN.shape[1])
        if days_TN.size:
            step_T = np.median(np.abs(np.diff(days_TN, axis=0)), axis=1)
            new_year = len(before_TN) - 1
            ordinary = max(np.delete(step_T, new_year).max(), ORDINARY_FLOOR)
            ratios[name] = float(step_T[new_year] / ordinary)
    return largest(CONTINUITY, ratios, cells) if ratios else Measured(CONTINUITY, 0.0, 0)
