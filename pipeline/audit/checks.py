"""What the audit holds a tile-year against: each check a pure function of what was read.

Every tolerance is a bound on rounding, not a matter of taste: stored daily fluxes keep 10 mantissa bits, which is a
relative error of at most 2^-11 of each value and so of any sum of absolute values; annual layers are float32.

Shape legend: N modelled cells of a tile, T days, L layers and U units of state, R C rows and columns of a tile.

References
----------
[1] National Corn Growers Association, National Corn Yield Contest 2023: 623 bushels an acre, the record; 1480 g m-2 of
    carbon at 15.5 % moisture and 0.447 g g-1.
[2] Limits of GPP: `pipeline.inputs.limits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.reading import AuditedYear
from pipeline.cube.layout import KEEP_BITS
from pipeline.cube.ledger import RANGES, Row
from pipeline.variables import DAILY, ENSEMBLE_STD, FLUXES, Quality

_ROUNDED = 2.0 ** -(KEEP_BITS + 1) * 1.001  # and of float32, of the sum and of the division by a rounded value
_SINGLE = 2.0**-21  # a few roundings of float32, of 2^-24 each

ORDINARY_FLOOR = 0.01  # g m-2 d-1: a jump of less is none, however smooth the winter


@dataclass(frozen=True)
class Check:
    """A check, how its result is read, and the largest that passes.

    Attributes
    ----------
    unit
        Of the result; "relative" ones enter the audit's last line.
    rerun
        Whether computing the tile-year again can mend it.
    """

    name: str
    what: str
    unit: str
    limit: float
    rerun: bool = True

    @property
    def relative(self) -> bool:
        """Whether the result is a relative difference."""
        return self.unit == "relative"


READING = Check("reading", "arrays that cannot be read", "arrays", 0)
CHECKSUM = Check("checksum", "stored values against the ledger's checksum", "tile-years", 0)
RECORD = Check("record", "cells, minima and maxima against the ledger", "numbers", 0)
PATTERN = Check("pattern", "NaN against mask and quality flag `missing`", "values", 0)
PLAUSIBLE = Check("plausible", "values beyond what crops can do", "values", 0, rerun=False)
BUDGET = Check("budget", "annual layers against each other", "relative", _SINGLE)
SUMS = Check("sums", "annual ra, rh, nee against sums of days", "relative", _ROUNDED)
DSOC = Check("dsoc", "dsoc against -(sum of daily nee) - yield", "g m-2 yr-1", 0.5)
BALANCE = Check("balance", "residual against days and GPP of the inputs", "relative", _ROUNDED)
RESTART = Check("restart", "carried state beyond -1 to 1 or not where results are", "cells", 0)
CONTINUITY = Check("continuity", "step on 1 January over the largest daily step of that winter", "ratio", 5)
SEAMS = Check("seams", "step at a tile's border over the largest inside tiles", "ratio", 2)
AGGREGATES = Check("aggregates", "counties, 0.0025 and 0.5 degree made again", "relative", 1e-9, rerun=False)

CHECKS = (
    READING, CHECKSUM, RECORD, PATTERN, PLAUSIBLE, BUDGET, SUMS, DSOC, BALANCE, RESTART, CONTINUITY, SEAMS, AGGREGATES,
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The worst that a check found in one place, of how many values; a worst of NaN passes no limit."""

    check: Check
    worst: float
    values: int
    why: str = ""

    @property
    def passes(self) -> bool:
        """Whether it is within the limit."""
        return bool(self.worst <= self.check.limit)


# (daily, annual) flux: smallest and largest value that is credible [g m-2 d-1, g m-2 yr-1]. Respiration has about the
# range of GPP [2]; yield that of [1]. Slightly negative predictions are no fault: signs are not enforced.
_DAILY_LIMITS = {"ra": (-10.0, 45.0), "rh": (-10.0, 45.0), "nee": (-45.0, 60.0)}
_ANNUAL_LIMITS = {
    "gpp": (-500.0, 4500.0), "ra": (-500.0, 4500.0), "rh": (-500.0, 4500.0), "reco": (-500.0, 6000.0),
    "nee": (-3000.0, 4500.0), "yield": (-200.0, 1500.0), "residue": (0.0, 4500.0), "dsoc": (-4500.0, 3000.0),
    "dsoc_balance": (-4500.0, 3000.0), "balance_residual": (-3000.0, 3000.0),
}  # fmt: skip


def check_year(year: AuditedYear) -> Iterator[Measured]:
    """Yield every check that one tile-year allows by itself."""
    # The rest tells nothing where results and flags contradict each other: NaN would spread through all of it.
    pattern = _pattern(year)
    yield from (_checksum(year), _record(year), pattern)
    present_N = (year.annual("quality") & Quality.MISSING) == 0
    if pattern.passes and present_N.any():
        yield from (check(year, present_N) for check in (_plausible, _budget, _sums, _dsoc, _balance))


def _checksum(year: AuditedYear) -> Measured:
    found = year.stored.checksum
    differs = found != year.row.checksum
    why = f"the values give {found[:8]}..., the ledger says {year.row.checksum[:8]}..." if differs else ""
    return Measured(CHECKSUM, float(differs), 1, why)


def _record(year: AuditedYear) -> Measured:
    row = year.row
    found = Row.of(
        year.stored, tile=row.tile, year=row.year, fingerprint=row.fingerprint,
        balance_residual=row.balance_residual, seconds=row.seconds, restart=row.restart,
    )  # fmt: skip
    facts = {name: (getattr(found, name), getattr(row, name)) for name in ("cells", "missing_cells", "outside_share")}
    for extreme in ("minimum", "maximum"):
        pairs = zip(RANGES, getattr(found, extreme), getattr(row, extreme), strict=True)
        facts |= {f"{extreme} of {name}": (mine, theirs) for name, mine, theirs in pairs}
    wrong = [name for name, (mine, theirs) in facts.items() if mine != theirs and not mine != mine != theirs != theirs]
    return Measured(RECORD, len(wrong), len(facts), f"another {', '.join(wrong[:3])} is recorded" if wrong else "")


def _pattern(year: AuditedYear) -> Measured:
    missing_N = (year.annual("quality") & Quality.MISSING) != 0
    layers: Mapping[str, NDArray[np.generic]] = {f"daily {v.name}": year.daily(v.name) for v in DAILY}
    names = [variable.name for variable in (*FLUXES, *ENSEMBLE_STD.values()) if variable.name in year.stored.annual]
    layers = {**layers, **{name: year.annual(name) for name in names}}
    wrong = {name: int(np.count_nonzero(np.isfinite(layer) == missing_N)) for name, layer in layers.items()}
    wrong = {"outside the mask": year.outside} | wrong
    first = next((name for name, count in wrong.items() if count), "")
    values = sum(layer.size for layer in layers.values())
    return Measured(PATTERN, sum(wrong.values()), values, f"first: {first}" if first else "")


def _plausible(year: AuditedYear, present_N: NDArray[np.bool_]) -> Measured:
    layers = {f"daily {name}": (year.daily(name), limits) for name, limits in _DAILY_LIMITS.items()}
    layers |= {name: (year.annual(name), limits) for name, limits in _ANNUAL_LIMITS.items()}
    beyond = {}
    for name, (layer, (low, high)) in layers.items():
        chosen = layer[..., present_N]
        if count := int(np.count_nonzero((chosen < low) | (chosen > high))):
            beyond[name] = f"{count} of {name} beyond {low:g} to {high:g} ({chosen.min():.4g} to {chosen.max():.4g})"
    values = sum(layer[..., present_N].size for layer, _ in layers.values())
    return Measured(PLAUSIBLE, len(beyond), values, "; ".join(beyond.values()))


def relative(difference: NDArray[np.float64], magnitude: NDArray[np.float64]) -> float:
    """Return the largest |difference| / magnitude; infinity where something differs and there is no magnitude."""
    with np.errstate(divide="ignore"):
        ratio = np.divide(np.abs(difference), magnitude, out=np.zeros_like(difference), where=difference != 0)
    return float(ratio.max(initial=0.0))


def _largest(check: Check, differences: Mapping[str, float], values: int) -> Measured:
    name = max(differences, key=lambda key: np.nan_to_num(differences[key], nan=np.inf))
    return Measured(check, differences[name], values, name)


def _budget(year: AuditedYear, present_N: NDArray[np.bool_]) -> Measured:
    flux = {variable.name: year.annual(variable.name)[present_N] for variable in FLUXES}
    terms = {
        "reco": ("ra", "rh"),
        "dsoc": ("-nee", "-yield"),
        "dsoc_balance": ("gpp", "-ra", "-rh", "-yield"),
        "balance_residual": ("ra", "rh", "-gpp", "-nee"),
        "residue": ("gpp", "-ra", "-yield"),
    }
    differences = {}
    for name, parts in terms.items():
        signed = [(-1 if part.startswith("-") else 1) * flux[part.removeprefix("-")] for part in parts]
        total: NDArray[np.float64] = np.sum(signed, axis=0)
        expected = np.maximum(total, 0) if name == "residue" else total
        differences[name] = relative(flux[name] - expected, np.abs(signed).sum(axis=0))
    return _largest(BUDGET, differences, len(terms) * int(present_N.sum()))


def _sum_of_days(year: AuditedYear, name: str, present_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(year.daily(name)[:, present_N].sum(axis=0, dtype=np.float64))


def _magnitude(year: AuditedYear, name: str, present_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.abs(year.daily(name)[:, present_N]).sum(axis=0, dtype=np.float64))


def _sums(year: AuditedYear, present_N: NDArray[np.bool_]) -> Measured:
    differences = {
        v.name: relative(
            year.annual(v.name)[present_N] - _sum_of_days(year, v.name, present_N), _magnitude(year, v.name, present_N)
        )
        for v in DAILY
    }
    return _largest(SUMS, differences, len(DAILY) * int(present_N.sum()))


def _dsoc(year: AuditedYear, present_N: NDArray[np.bool_]) -> Measured:
    recomputed = -_sum_of_days(year, "nee", present_N) - year.annual("yield")[present_N]
    difference = np.abs(year.annual("dsoc")[present_N] - recomputed)
    return Measured(DSOC, float(difference.max()), difference.size)


def _balance(year: AuditedYear, present_N: NDArray[np.bool_]) -> Measured:
    """Hold the annual residual, and the ledger's daily one, against daily fluxes and GPP.

    Without the inputs that the year was computed from, the annual GPP of the cube stands in.
    """
    ra, rh, nee = (_sum_of_days(year, name, present_N) for name in ("ra", "rh", "nee"))
    magnitude: NDArray[np.float64] = np.sum([_magnitude(year, v.name, present_N) for v in DAILY], axis=0)
    gpp = year.annual("gpp")[present_N]
    differences = {}
    if year.gpp_TN is not None:
        gpp_TN = year.gpp_TN[:, present_N]
        gpp = gpp_TN.sum(axis=0, dtype=np.float64)
        differences["gpp of the inputs"] = relative(year.annual("gpp")[present_N] - gpp, gpp)
        residual_TN = sum(sign * year.daily(name)[:, present_N] for name, sign in _RESIDUAL.items()) - gpp_TN
        daily = np.array([np.abs(residual_TN).mean(dtype=np.float64) - year.row.balance_residual])
        differences["daily residual of the ledger"] = relative(daily, magnitude.mean(keepdims=True) / len(residual_TN))
    residual = ra + rh - gpp - nee
    differences["annual residual"] = relative(year.annual("balance_residual")[present_N] - residual, magnitude + gpp)
    return _largest(BALANCE, differences, len(differences) * int(present_N.sum()))


_RESIDUAL = {"ra": 1, "rh": 1, "nee": -1}


def check_restart(state_LURC: Callable[[int], NDArray[np.float32]], layers: int, ran_RC: NDArray[np.bool_]) -> Measured:
    """Hold the state kept at a year's end against where results are.

    A unit's state is a weighted mean of hyperbolic tangents, so that it lies within -1 and 1.

    Parameters
    ----------
    state_LURC
        Returns one layer (U, R, C) of the state.
    layers
        Their number L.
    ran_RC
        Cells that ran in the year: all of these have a state.
    """
    wrong_RC = np.zeros(ran_RC.shape, bool)
    for layer in range(layers):
        state_URC = state_LURC(layer)
        with np.errstate(invalid="ignore"):
            beyond_RC = (np.abs(state_URC) > 1 + _SINGLE).any(axis=0)
        wrong_RC |= beyond_RC | (ran_RC & ~np.isfinite(state_URC).all(axis=0))
    return Measured(RESTART, int(np.count_nonzero(wrong_RC)), layers * ran_RC.size)


def check_new_year(
    december: Mapping[str, NDArray[np.floating]], january: Mapping[str, NDArray[np.floating]]
) -> Measured:
    """Hold the step from 31 December to 1 January against the largest of any day of the two months around it.

    Steps are medians over the cells of |difference|, so that a field that changes crops does not count.

    Parameters
    ----------
    december, january
        Daily fluxes (T, N) by name [g m-2 d-1].
    """
    ratios, cells = {}, 0
    for name, before in december.items():
        days = np.concatenate([before, january[name]])
        days = days[:, np.isfinite(days).all(axis=0)]
        cells = max(cells, days.shape[1])
        if days.size:
            step_T = np.median(np.abs(np.diff(days, axis=0)), axis=1)
            turn = len(before) - 1
            ratios[name] = float(step_T[turn] / max(np.delete(step_T, turn).max(), ORDINARY_FLOOR))
    return _largest(CONTINUITY, ratios, cells) if ratios else Measured(CONTINUITY, 0.0, 0)
