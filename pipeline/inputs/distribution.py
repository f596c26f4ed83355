"""Distribution of a variable's values, part by part: count, missing, sum, extremes and a histogram that all add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.ranges import Range

BINS = 4096  # within the bounds; percentiles are accurate to one of them
_PIECE = 1_000_000  # values at a time: temporary arrays stay at about 10 MB


@dataclass(frozen=True)
class Bounds:
    """Limits against which values are counted.

    Attributes
    ----------
    low, high
        Range of the histogram; if not finite, there are no percentiles.
    trained
        Range of the network's training data; None for a variable that is not its input.
    """

    low: float
    high: float
    trained: Range | None = None

    @property
    def width(self) -> float:
        """Width of a bin."""
        return (self.high - self.low) / BINS


@dataclass(frozen=True, eq=False)
class Distribution:
    """Distribution of a variable over any set of cells and days.

    Distributions of the same bounds form a commutative monoid: those of parts add up to that of all values, whatever
    the parts and their order, so that a survey holds one part of the store at a time in memory.

    Attributes
    ----------
    missing
        Number of NaNs, which count in nothing else.
    total
        Sum.
    minimum, maximum
        Extremes; infinite without values.
    untrained
        Number outside `bounds.trained`.
    bins
        (BINS + 2,) numbers below the bounds, in each bin, above the bounds.

    Examples
    --------
    >>> bounds = Bounds(0, 10)
    >>> found = Distribution.of(np.array([1.0, np.nan]), bounds) + Distribution.of(np.array([3.0, 11.0]), bounds)
    >>> found.count, found.missing, found.mean, found.outside
    (3, 1, 5.0, 1)
    """

    bounds: Bounds
    missing: int = 0
    total: float = 0.0
    minimum: float = np.inf
    maximum: float = -np.inf
    untrained: int = 0
    bins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS + 2, np.int64))

    @classmethod
    def of(cls, values: NDArray[Any], bounds: Bounds) -> Distribution:
        """Return the distribution of an array of any shape."""
        distribution = cls(bounds)
        for piece in _pieces(values):
            distribution += cls._of_piece(piece, bounds)
        return distribution

    @classmethod
    def _of_piece(cls, values: NDArray[Any], bounds: Bounds) -> Distribution:
        missing_N = np.isnan(values)
        present = values[~missing_N] if missing_N.any() else values
        return cls(
            bounds,
            missing=values.size - present.size,
            total=float(present.sum(dtype=np.float64)),
            minimum=float(present.min(initial=np.inf)),
            maximum=float(present.max(initial=-np.inf)),
            untrained=int(bounds.trained.excludes(present).sum()) if bounds.trained else 0,
            bins=_histogram(present, bounds),
        )

    def __add__(self, other: Distribution) -> Distribution:
        assert self.bounds == other.bounds
        return Distribution(
            self.bounds,
            self.missing + other.missing,
            self.total + other.total,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.untrained + other.untrained,
            self.bins + other.bins,
        )

    @property
    def count(self) -> int:
        """Number of values that are not missing."""
        return int(self.bins.sum())

    @property
    def outside(self) -> int:
        """Number of values outside the bounds."""
        return int(self.bins[0] + self.bins[-1])

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return self.total / self.count if self.count else np.nan

    def percentile(self, percent: float) -> float:
        """Return the value that `percent` (above 0) of all values do not exceed; NaN without values.

        It may be low by one bin; beyond the bounds only the extremes are known.
        """
        if not self.count or np.isinf(self.bounds.width):
            return np.nan
        place = int(np.searchsorted(np.cumsum(self.bins), percent / 100 * self.count))
        inside = self.bounds.low + (place - 1) * self.bounds.width
        middle = {0: self.minimum, BINS + 1: self.maximum}.get(place, inside)
        return float(np.clip(middle, self.minimum, self.maximum))


def _pieces(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    flat = values.ravel()
    for start in range(0, flat.size, _PIECE):
        yield flat[start : start + _PIECE]


def _histogram(values: NDArray[Any], bounds: Bounds) -> NDArray[np.int64]:
    """Count values below the bounds, in each bin (the upper bound belongs to the last) and above."""
    if np.isinf(bounds.width):
        return np.bincount(np.ones(values.size, np.intp), minlength=BINS + 2)
    below, above = int((values < bounds.low).sum()), int((values > bounds.high).sum())
    inside = values[(values >= bounds.low) & (values <= bounds.high)] if below or above else values
    # In the values' own precision, which is faster: it shifts the edges of bins by a thousandth of their width.
    index = ((inside - bounds.low) / bounds.width).astype(np.intp)
    within = np.bincount(np.clip(index, 0, BINS - 1, out=index), minlength=BINS)
    return np.concatenate([[below], within, [above]])
