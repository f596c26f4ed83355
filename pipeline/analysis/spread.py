"""Distribution of an area over the values of a quantity: an area-weighted histogram that adds up tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Spread:
    """Area by value, in bins of equal width between two limits; what lies beyond counts at the nearer end.

    Attributes
    ----------
    low, high, bins
        Limits and number of the bins.
    area_m2
        Area in each bin (bins,), changed by `add`.

    Examples
    --------
    >>> spread = Spread(0, 10)
    >>> spread.add(np.array([1.0, 2.0, 9.0]), np.array([1.0, 1.0, 2.0]))
    >>> round(spread.quantile(0.25), 2), round(spread.quantile(0.9), 2)
    (1.0, 9.0)
    """

    low: float
    high: float
    bins: int = 4000
    area_m2: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.area_m2 = np.zeros(self.bins)

    @property
    def width(self) -> float:
        """Width of a bin, and the error of a quantile."""
        return (self.high - self.low) / self.bins

    @property
    def edges(self) -> Floats:
        """Edges of the bins (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)

    def add(self, values: NDArray[np.floating], area_m2: Floats) -> None:
        """Add values with their areas; those that are NaN count in nothing."""
        present = np.isfinite(values)
        place = np.floor((values[present].astype(np.float64) - self.low) / self.width)
        index = np.clip(place, 0, self.bins - 1).astype(np.intp)
        self.area_m2 += np.bincount(index, area_m2[present], minlength=self.bins)

    def quantile(self, share: float) -> float:
        """Return the value that a share of the area does not exceed, to a bin's width; NaN without area."""
        total = self.area_m2.cumsum()
        if total[-1] == 0:
            return float("nan")
        return float(self.edges[np.searchsorted(total, share * total[-1])] + self.width / 2)

    def coarser(self, edges: Sequence[float] | Floats) -> Floats:
        """Return the share of the area between each two edges, which must be edges of bins."""
        at = np.rint((np.asarray(edges) - self.low) / self.width).astype(np.intp)
        below = np.concatenate([[0.0], self.area_m2.cumsum()])
        shares: Floats = np.diff(below[at]) / max(below[-1], 1e-300)
        return shares
