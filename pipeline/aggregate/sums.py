"""Sums of area and of area x value: what every aggregate is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array

from model.features import CORN, SOYBEAN
from pipeline.errors import UserError
from pipeline.variables import FLUXES, Quality

# What is summed: all modelled cells whole, or the part of each that is under the crop for which it was modelled.
COVERS = ("cells", "corn", "soybean")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums over cells for any set of targets (counties, lat-lon cells, the cells themselves): a commutative monoid.

    Attributes
    ----------
    layers
        (covers, 2 + fluxes, *targets): area with results [m2], area modelled but without a result [m2], and
        area x value of each of `FLUXES` [g yr-1].
    """

    layers: Array

    @classmethod
    def zero(cls, *targets: int) -> Sums:
        """Return the sums over no cell."""
        return cls(np.zeros((len(COVERS), 2 + len(FLUXES), *targets)))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.layers + other.layers)

    @property
    def area_m2(self) -> Array:
        """Area with results (covers, *targets)."""
        return self.layers[:, 0]

    @property
    def missing_m2(self) -> Array:
        """Area that is modelled but has no result, for want of inputs, (covers, *targets)."""
        return self.layers[:, 1]

    @property
    def totals_g(self) -> Array:
        """Area x value (covers, fluxes, *targets) [g yr-1], with the signs of `pipeline.variables`."""
        return self.layers[:, 2:]

    def means(self) -> Array:
        """Return area-weighted means (covers, fluxes, *targets) [g m-2 yr-1], NaN where there is no area."""
        area = self.area_m2[:, None]
        return np.divide(self.totals_g, area, out=np.full_like(self.totals_g, np.nan), where=area > 0)

    def onto(self, shares: csr_array) -> Sums:
        """Return the sums over targets that take these `shares` (targets, present targets) of the present ones."""
        # Layer by layer: one product with all layers would come out transposed, and putting it right costs more.
        kinds, flat = self.layers.shape[:2], self.layers.reshape(-1, shares.shape[1])
        return Sums(np.stack([shares @ layer for layer in flat]).reshape(*kinds, shares.shape[0]))

    def blocks(self, factor: int) -> Sums:
        """Return the sums over blocks of `factor` x `factor` targets on a lat-lon grid (covers, layers, lat, lon)."""
        *kinds, rows, cols = self.layers.shape
        blocks = self.layers.reshape(*kinds, rows // factor, factor, cols // factor, factor)
        return Sums(blocks.sum(axis=(-3, -1)))

    def whole(self) -> Sums:
        """Return the sums over all targets together."""
        return Sums(self.layers.sum(axis=tuple(range(2, self.layers.ndim))))


def cell_sums(annual: xr.Dataset, area_m2: NDArray[np.floating], *, place: str) -> Sums:
    """Return the sums of each cell by itself, from the annual layers of one year.

    Parameters
    ----------
    annual
        The fluxes, `crop`, `quality`, `corn_fraction` and `soybean_fraction`, all (y, x).
    area_m2
        Area of a cell of each row (y,).
    place
        What to call these cells in a message.

    Raises
    ------
    UserError
        If a cell has some of the fluxes and lacks others.
    """
    fluxes_FN = np.stack([annual[flux.name].values.ravel() for flux in FLUXES]).astype(np.float64)
    finite_FN = np.isfinite(fluxes_FN)
    present_N = finite_FN.all(axis=0)
    if partial := int((finite_FN.any(axis=0) & ~present_N).sum()):
        year = int(annual["year"])
        raise UserError(f"{place}, year {year}: {partial} cells have some annual fluxes and lack others; run it again")
    missing_N = (annual["quality"].values.ravel() & Quality.MISSING) != 0
    values_LN = np.concatenate([[present_N, missing_N], np.where(present_N, fluxes_FN, 0)])
    area_N = np.repeat(area_m2, annual.sizes["x"])
    return Sums(_cover_shares(annual)[:, None] * area_N * values_LN)


def _cover_shares(annual: xr.Dataset) -> Array:
    """Share of each cell that each cover takes (covers, cells)."""
    crop = annual["crop"].values.ravel()
    grown = (annual["quality"].values.ravel() & Quality.NOT_GROWN) == 0
    corn = np.where(grown & (crop == CORN), annual["corn_fraction"].values.ravel(), 0)
    soybean = np.where(grown & (crop == SOYBEAN), annual["soybean_fraction"].values.ravel(), 0)
    return np.stack([np.ones(crop.size), corn, soybean])
