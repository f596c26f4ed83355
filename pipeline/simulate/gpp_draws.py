"""Draws of GPP from its uncertainty: errors that are correlated in space and time, the same for a cell in every tiling.

The error of a cell and day is its standard deviation times a Gaussian random field of mean 0 and variance 1. The field
is white noise on a lattice in space and time, smoothed by cubic B-splines: its correlation falls to 1/e at the stated
length. Each value of the noise is a hash of seed, draw and place in the lattice, and all arithmetic is element by
element, so that the draw of a cell depends on nothing but place, time, seed and number of the draw.

The error is at most GPP itself, in both directions: a draw is not negative, a day without GPP stays one, and the mean
over many draws is GPP.

Shape legend: M members, N cells, T days, K = 12 months, D draws.

References
----------
Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, doi:10.1145/2660193.2660195: the hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.arrays import Floats, MemberSums, YearFluxes, YearInputs, sum_of_days

if TYPE_CHECKING:
    from model.inference import Predictor

Reals = NDArray[np.float64]
Words = NDArray[np.uint64]

LENGTH_IN_STEPS = 1.185
"""Distance, in steps of the lattice, at which the autocorrelation of a cubic B-spline falls to 1/e."""
_NODES = range(-1, 3)  # around the node below a point: a cubic B-spline reaches two steps to each side
_CHUNKS = 4  # 16-bit parts of a hash; their sum is nearly Gaussian, and the smoothed field more so


@dataclass(frozen=True)
class Draws:
    """Settings of the draws.

    Attributes
    ----------
    count
        Number of draws D; 0 for none.
    seed
        Seed of the random numbers.
    length_km, length_days
        Distance and time at which the correlation of the errors falls to 1/e.
    """

    count: int = 0
    seed: int = 0
    length_km: float = 0.0
    length_days: float = 0.0

    def __str__(self) -> str:
        if not self.count:
            return "none"
        return f"{self.count} of seed {self.seed}, correlated over {self.length_km:g} km and {self.length_days:g} days"


NO_DRAWS = Draws()


@dataclass(frozen=True)
class Places:
    """Places of cells (N,): distances [km] to the east of a meridian and to the north of the equator."""

    east_km_N: Reals
    north_km_N: Reals

    def cells(self, chosen: NDArray[np.bool_]) -> Places:
        """Return the places of some cells."""
        return Places(self.east_km_N[chosen], self.north_km_N[chosen])


@dataclass(frozen=True)
class GppErrors:
    """The uncertainty of the GPP of some cells in one year.

    Attributes
    ----------
    draws
        Settings.
    places
        Places of the cells.
    first_day
        First day, counted from 1970-01-01: the field continues from year to year.
    std_TN
        Standard deviation of daily GPP [g C m-2 d-1]; 0 on all days of a cell where it is unknown.
    known_N
        Whether the standard deviation of a cell is known.
    """

    draws: Draws
    places: Places
    first_day: int
    std_TN: Floats
    known_N: NDArray[np.bool_]

    def cells(self, chosen: NDArray[np.bool_]) -> GppErrors:
        """Return the uncertainty of some cells; this one itself if all are chosen."""
        if chosen.all():
            return self
        return replace(
            self, places=self.places.cells(chosen), std_TN=self.std_TN[:, chosen], known_N=self.known_N[chosen]
        )

    @classmethod
    def joined(cls, parts: list[GppErrors]) -> GppErrors:
        """Return the uncertainty at the cells of all parts, in order."""
        east, north = (np.concatenate([getattr(p.places, name) for p in parts]) for name in ("east_km_N", "north_km_N"))
        std_TN = np.concatenate([part.std_TN for part in parts], axis=1)
        known_N = np.concatenate([part.known_N for part in parts])
        return replace(parts[0], places=Places(east, north), std_TN=std_TN, known_N=known_N)

    def drawn(self, gpp_TN: Floats, draw: int) -> Floats:
        """Return the GPP of a draw, counted from 0, (T, N) [g C m-2 d-1]."""
        out = np.empty_like(gpp_TN)
        days = range(self.first_day, self.first_day + len(gpp_TN))
        for day, field_N in enumerate(field(self.draws, draw, self.places, days)):
            error_N = self.std_TN[day] * field_N.astype(np.float32)
            out[day] = gpp_TN[day] + np.clip(error_N, -gpp_TN[day], gpp_TN[day])
        return out


def year_of_draws(predictor: Predictor, inputs: YearInputs, errors: GppErrors, state_SNH: Floats) -> YearFluxes:
    """Return the year of the network with GPP as it is, and as members those of all draws, each with its annual GPP.

    Parameters
    ----------
    state_SNH
        States: those of the year with GPP as it is, followed by those of each draw.

    Returns
    -------
    YearFluxes
        Its `members` have five fluxes: those of each draw in turn, NaN where the uncertainty is unknown.
    """
    layers, members = predictor.state_layers, []
    found = predictor.year(inputs, state_SNH[:layers])
    states = [found.state_SNH]
    for draw in range(errors.draws.count):
        gpp_TN = errors.drawn(inputs.gpp_TN, draw)
        first = (1 + draw) * layers
        year = predictor.year(replace(inputs, gpp_TN=gpp_TN), state_SNH[first : first + layers], summed=True)
        states.append(year.state_SNH)
        assert year.members
        own = year.members
        gpp_M1N = np.broadcast_to(sum_of_days(gpp_TN), (len(own.annual_MVN), 1, gpp_TN.shape[1]))
        members.append(MemberSums(np.concatenate([own.annual_MVN, gpp_M1N], axis=1), own.months_M3KN))
    joined = MemberSums(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, members), strict=True)))
    for array in _arrays(joined):
        array[..., ~errors.known_N] = np.nan
    return replace(found, state_SNH=np.concatenate(states), members=joined)


def _arrays(sums: MemberSums) -> tuple[NDArray[np.floating], Floats]:
    return sums.annual_MVN, sums.months_M3KN


def known_std(gpp_TN: Floats, std_TN: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the standard deviation on all days (T, N), and whether that of a cell is known (N,).

    On a day without one it is the day's GPP times the cell's ratio of the sums of both over the other days. It is 0
    where no day of the cell has one, or GPP is missing.

    Examples
    --------
    >>> std, known = known_std(np.array([[4.0, 4], [8, 8]]), np.array([[1.0, np.nan], [np.nan, np.nan]]))
    >>> std.tolist(), known.tolist()
    ([[1.0, 0.0], [2.0, 0.0]], [True, False])
    """
    present_TN = np.isfinite(std_TN) & np.isfinite(gpp_TN)
    std_N, gpp_N = np.zeros(gpp_TN.shape[1]), np.zeros(gpp_TN.shape[1])
    for present_D, of_day, gpp_D in zip(present_TN, std_TN, gpp_TN, strict=True):  # by day: the sum of no other cell
        std_N += np.where(present_D, of_day, 0)
        gpp_N += np.where(present_D, gpp_D, 0)
    ratio_N = np.divide(std_N, gpp_N, out=np.zeros_like(std_N), where=gpp_N > 0)
    filled_TN = np.where(present_TN, std_TN, np.nan_to_num(gpp_TN) * ratio_N.astype(np.float32))
    return filled_TN.astype(std_TN.dtype), np.asarray(present_TN.any(axis=0))


def field(draws: Draws, draw: int, places: Places, days: range) -> Iterator[Reals]:
    """Yield the random field (N,) of each day, counted from 1970-01-01: mean 0, variance 1."""
    step_km, step_days = draws.length_km / LENGTH_IN_STEPS, draws.length_days / LENGTH_IN_STEPS
    cells = _Lattice.at(places.east_km_N / step_km), _Lattice.at(places.north_km_N / step_km)

    @lru_cache(maxsize=len(_NODES))
    def smoothed(node: int) -> Reals:
        """The noise of one step in time, smoothed in space."""
        total_N = np.zeros(places.east_km_N.size)
        for east, north in product(range(len(_NODES)), repeat=2):
            noise_N = noise((draws.seed, draw, node, cells[0].node(east), cells[1].node(north)))
            total_N += cells[0].weights[east] * cells[1].weights[north] * noise_N
        return total_N

    for day in days:
        time = _Lattice.at(np.array([day / step_days]))
        each = (time.weights[k][0] * smoothed(int(time.node(k)[0])) for k in range(len(_NODES)))
        yield reduce(np.add, each)


@dataclass(frozen=True)
class _Lattice:
    """Points along one axis of the lattice: the node below each, and the weights of the four nodes around it."""

    below: NDArray[np.int64]
    weights: tuple[Reals, ...]

    @classmethod
    def at(cls, place: Reals) -> _Lattice:
        """Return those of places [steps]."""
        below = np.floor(place)
        t = place - below
        weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        # The variance of a weighted sum of independent values of variance 1 is the sum of the squared weights.
        scale = 1 / np.sqrt(weights[0] ** 2 + weights[1] ** 2 + weights[2] ** 2 + weights[3] ** 2)
        return cls(below.astype(np.int64), tuple(weight * scale for weight in weights))

    def node(self, number: int) -> NDArray[np.int64]:
        """Return a node of each point."""
        return self.below + _NODES[number]


def noise(key: tuple[int | NDArray[np.int64], ...]) -> Reals:
    """Return a value of mean 0 and variance 1 for each key, independent of those of all other keys."""
    word = np.zeros(1, np.uint64)  # an array: NumPy warns where its scalars wrap around
    for part in key:
        word = _mixed(word + np.uint64(0x9E3779B97F4A7C15) + np.asarray(part, np.int64).view(np.uint64))
    parts = sum(((word >> np.uint64(16 * chunk)) & np.uint64(0xFFFF)).astype(np.float64) for chunk in range(_CHUNKS))
    # A sum of `_CHUNKS` integers that are uniform from 0 to 65535, of variance (65536^2 - 1) / 12 each.
    centred: Reals = (parts - _CHUNKS * 65535 / 2) / np.sqrt(_CHUNKS * (65536.0**2 - 1) / 12)
    return centred


def _mixed(word: Words) -> Words:
    """Return the finalizer of SplitMix64; integers wrap around."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
