"""Sums of area and of area x value, of which every aggregate is made.

Means cannot be added: the mean over two counties is not that of their means. The sums behind a mean can, in any order
and grouping, which makes them a commutative monoid: tiles, bands and counties are added as they come, and the division
is done once, at the end. Totals are conserved on every target for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import stdtrit

from model.features import CORN, SOYBEAN
from pipeline.errors import UserError
from pipeline.variables import FLUXES, Quality

AREA_TYPES = ("cells", "corn", "soybean")
"""Areas that are summed: modelled cells in full, or the part of each under the crop for which it was modelled."""

Array: TypeAlias = NDArray[np.float64]
MEMBERS = "members"

Layers: TypeAlias = Mapping[str, NDArray[Any]]
"""Layers of N cells (..., N) by the names of `pipeline.variables`."""


@dataclass(frozen=True)
class Sums:
    """Sums over the cells of a year for any set of targets (counties, lat-lon cells, the cells themselves).

    Attributes
    ----------
    layers
        (area types, 2 + fluxes, *targets): area with results [m2], area modelled but without a result [m2], and
        area x value of each of `FLUXES` [g C yr-1]. Of an ensemble, the fluxes of each of its M members follow:
        (area types, 2 + fluxes x (1 + M), *targets), NaN where a cell has a result but no members.

    Examples
    --------
    Two counties, with 1 and 3 m2 of corn that took up 100 and 200 g C m-2 yr-1:

    >>> counties = Sums.zero(2)
    >>> corn, gpp = AREA_TYPES.index("corn"), 0
    >>> counties.area_m2[corn] = 1, 3
    >>> counties.totals_g[corn, gpp] = 100, 600

    The region has the mean over its area, which is not the mean of its counties:

    >>> float(counties.whole().means()[corn, gpp])
    175.0
    >>> float(np.mean(counties.means()[corn, gpp]))
    150.0
    """

    layers: Array

    @classmethod
    def zero(cls, *targets: int, members: int = 0) -> Sums:
        """Return the sums over no cell, for targets of this shape and an ensemble of so many members."""
        return cls(np.zeros((len(AREA_TYPES), 2 + len(FLUXES) * (1 + members), *targets)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.layers + other.layers)

    @property
    def area_m2(self) -> Array:
        """Area with results (area types, *targets)."""
        return self.layers[:, 0]

    @property
    def missing_m2(self) -> Array:
        """Area that is modelled but has no result, since inputs are missing, (area types, *targets)."""
        return self.layers[:, 1]

    @property
    def valid_share(self) -> Array:
        """Share of the modelled area that has results (area types, *targets), NaN where none is modelled."""
        return means(self.area_m2, self.area_m2 + self.missing_m2)

    @property
    def totals_g(self) -> Array:
        """Area x value (area types, fluxes, *targets) [g C yr-1], with the signs of `pipeline.variables`."""
        return self.layers[:, 2 : 2 + len(FLUXES)]

    @property
    def members(self) -> int:
        """Number of members of the ensemble; 0 of a single network."""
        return int(self.layers.shape[1]) // len(FLUXES) - 1

    @property
    def members_g(self) -> Array:
        """Area x value of each member (area types, members, fluxes, *targets) [g C yr-1]."""
        kinds, targets = self.layers.shape[:1], self.layers.shape[2:]
        return self.layers[:, 2 + len(FLUXES) :].reshape(*kinds, self.members, len(FLUXES), *targets)

    def spread_g(self) -> Array:
        """Return the standard deviation over the members of the totals (area types, fluxes, *targets) [g C yr-1].

        The divisor is members - 1; NaN where some cell has a result but no members, and for a single network.
        """
        if self.members < 2:
            return np.full_like(self.totals_g, np.nan)
        deviation: Array = self.members_g.std(axis=1, ddof=1)
        return deviation

    def spreads(self) -> Array:
        """Return the same of the means [g C m-2 yr-1], NaN also where there is no area."""
        return means(self.spread_g(), self.area_m2[:, None])

    def means(self) -> Array:
        """Return area-weighted means (area types, fluxes, *targets) [g C m-2 yr-1], NaN where there is no area."""
        return means(self.totals_g, self.area_m2[:, None])

    def onto(self, shares: csr_array) -> Sums:
        """Return the sums over targets that take these `shares` (new targets, present targets) of the present ones.

        Examples
        --------
        A cell of 8 m2, a quarter of which lies in the first county and the rest in the second:

        >>> cell = Sums(np.full_like(Sums.zero(1).layers, 8.0))
        >>> cell.onto(csr_array([[0.25], [0.75]])).area_m2[0].tolist()
        [2.0, 6.0]
        """
        # Layer by layer: one product with all layers comes out transposed, and copying it into order costs more.
        kinds, flat = self.layers.shape[:2], self.layers.reshape(-1, shares.shape[1])
        found = np.empty((len(flat), shares.shape[0]))
        for layer, onto in zip(flat, found, strict=True):
            onto[...] = shares @ layer
        return Sums(found.reshape(*kinds, shares.shape[0]))

    def blocks(self, factor: int) -> Sums:
        """Return the sums over blocks of `factor` x `factor` targets on a lat-lon grid (..., lat, lon)."""
        *kinds, rows, cols = self.layers.shape
        blocks = self.layers.reshape(*kinds, rows // factor, factor, cols // factor, factor)
        return Sums(blocks.sum(axis=(-3, -1)))

    def whole(self) -> Sums:
        """Return the sums over all targets together (area types, layers)."""
        return Sums(self.layers.sum(axis=tuple(range(2, self.layers.ndim))))


def means(totals_g: Array, area_m2: Array) -> Array:
    """Return totals over areas [g C m-2 per time], NaN where there is no area."""
    found: Array = np.divide(totals_g, area_m2, out=np.full_like(totals_g, np.nan), where=area_m2 > 0)
    return found


def cell_sums(annual: Layers, area_m2: Array, *, place: str) -> Sums:
    """Return the sums of each cell by itself, from the annual layers of one year.

    Parameters
    ----------
    annual
        The fluxes, `crop`, `quality`, `corn_fraction` and `soybean_fraction` of N cells, all (N,); of an ensemble also
        `MEMBERS`, the fluxes of each member (M, fluxes, N).
    area_m2
        Area of each cell (N,).
    place
        Name of the tile and year, for messages.

    Raises
    ------
    UserError
        If a cell has some of the fluxes but not all.
    """
    fluxes_FN = np.stack([annual[flux.name] for flux in FLUXES]).astype(np.float64)
    finite_FN = np.isfinite(fluxes_FN)
    present_N = finite_FN.all(axis=0)
    if partial := int((finite_FN.any(axis=0) & ~present_N).sum()):
        raise UserError(f"{place}: {partial} cells have some annual fluxes but not all; run that tile again")
    # A cell without a result is no part of any mean. It must not count as zero flux either: its area is kept apart.
    missing_N = (annual["quality"] & Quality.MISSING) != 0
    values_LN = np.concatenate([[present_N, missing_N], np.where(present_N, fluxes_FN, 0)])
    weights = _area_shares(annual)[:, None] * area_m2
    members_XN = annual[MEMBERS].reshape(-1, area_m2.size) if MEMBERS in annual else np.empty((0, area_m2.size))
    # Written in place: of many members, these are the largest arrays of an aggregation.
    found = Sums.zero(area_m2.size, members=len(members_XN) // len(FLUXES))
    np.multiply(weights, values_LN, out=found.layers[:, : len(values_LN)])
    # A cell without members makes the spread of what it lies in unknown, but not that of another crop's area.
    of_members = found.layers[:, len(values_LN) :]
    np.multiply(weights, members_XN, out=of_members, where=present_N & (weights > 0))
    return found


def interval_factor(members: int) -> float:
    """Return the half-width of a 90 % interval in standard deviations over so many members: Student's t.

    Examples
    --------
    >>> round(interval_factor(5), 3)
    2.132
    """
    return float(stdtrit(members - 1, 0.95)) if members > 1 else float("nan")


def _area_shares(annual: Layers) -> Array:
    """Share of each cell that belongs to each area type (area types, cells)."""
    crop = annual["crop"]
    grown = (annual["quality"] & Quality.NOT_GROWN) == 0
    # The fluxes of a cell are those of the one crop modelled, so that only this crop's fraction stands for them.
    corn = np.where(grown & (crop == CORN), annual["corn_fraction"], 0)
    soybean = np.where(grown & (crop == SOYBEAN), annual["soybean_fraction"], 0)
    return np.stack([np.ones(crop.size), corn, soybean])
