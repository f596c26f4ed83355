"""Distribution of a variable's values, part by part: count, missing, sum, extremes and a histogram that all add up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 4096  # within the bounds; percentiles are known to one of them
_PIECE = 1_000_000  # values at a time: temporary arrays stay at some 10 MB


@dataclass(frozen=True)
class Bounds:
    """What values are counted against: `low` to `high` span the histogram; in training the network saw `trained`.

    Without finite bounds there are no percentiles.
    """

    low: float
    high: float
    trained: tuple[float, float] = (-np.inf, np.inf)

    @property
    def width(self) -> float:
        """Width of a bin."""
        return (self.high - self.low) / BINS


@dataclass(frozen=True, eq=False)
class Distribution:
    """Values of one variable on any set of cells and days: a commutative monoid for distributions of the same bounds.

    Attributes
    ----------
    missing
        Values that are NaN; in nothing else.
    untrained
        Values outside `bounds.trained`.
    bins
        (BINS + 2,) values below the bounds, in each bin, above the bounds.
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
        low, high = bounds.trained
        return cls(
            bounds,
            missing=values.size - present.size,
            total=float(present.sum(dtype=np.float64)),
            minimum=float(present.min(initial=np.inf)),
            maximum=float(present.max(initial=-np.inf)),
            untrained=int(((present < low) | (present > high)).sum()),
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
        """Values that are not missing."""
        return int(self.bins.sum())

    @property
    def outside(self) -> int:
        """Values outside the bounds."""
        return int(self.bins[0] + self.bins[-1])

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return self.total / self.count if self.count else np.nan

    def percentile(self, percent: float) -> float:
        """Return the value that `percent` (above 0) of all don't exceed, low by one bin at most; NaN without values.

        Beyond the bounds only the extremes are known.
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
    # In the values' own precision, which is quick: it moves a bin's edge by a thousandth of its width.
    index = ((inside - bounds.low) / bounds.width).astype(np.intp)
    within = np.bincount(np.clip(index, 0, BINS - 1, out=index), minlength=BINS)
    return np.concatenate([[below], within, [above]])
