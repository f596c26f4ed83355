"""Inputs of the network on a coarse grid in longitude and latitude: means over the cells, weighted by exact overlap.

Shape legend: K cells of the coarse grid in a band, L of them that a tile meets, N cells of a tile, T days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from model.arrays import YearInputs
from model.features import CORN, SOYBEAN
from pipeline.aggregate.frame import Band, Frame
from pipeline.aggregate.sums import means
from pipeline.analysis.cells import Floats, Mask
from pipeline.grid.coverage import coverage
from pipeline.grid.latlon import LatLonGrid, overlaps
from pipeline.grid.sinusoidal import Tile
from pipeline.inputs.view import InputsView
from pipeline.simulate.tile_year import TileYear
from pipeline.storage import cf, repository

STOCK = "soc_stock_200"


@dataclass(frozen=True, eq=False)
class TileWeights:
    """The cells of a tile that are averaged, N, and their area in each coarse cell that the tile meets, L [m2]."""

    tile: Tile
    mask: Mask
    met_L: NDArray[np.intp]
    area_m2_LN: csr_array


@dataclass(frozen=True, eq=False)
class CoarseYear:
    """Inputs of one year on the coarse grid, for either crop.

    Attributes
    ----------
    year
        Calendar year.
    climate_7TK, gpp_TK, soil_9K
        Means in the units of the network; GPP is that of the cells with a complete year, NaN where there are none.
    corn_K, soybean_K
        Mean shares under the crops.
    """

    year: int
    climate_7TK: NDArray[np.float32]
    gpp_TK: NDArray[np.float32]
    soil_9K: NDArray[np.float32]
    corn_K: NDArray[np.float32]
    soybean_K: NDArray[np.float32]

    def under(self, crop: int) -> TileYear:
        """Return the inputs with one crop on all cells."""
        count = self.corn_K.size
        inputs = YearInputs(
            year=self.year,
            climate_7TC=self.climate_7TK,
            climate_of_N=np.arange(count),
            gpp_TN=self.gpp_TK,
            crop_N=np.full(count, crop, np.uint8),
            soil_9N=self.soil_9K,
        )
        never = np.zeros(count, bool)
        return TileYear(inputs, ~never, never, never, self.corn_K, self.soybean_K)

    @property
    def corn_weight_K(self) -> Floats:
        """Corn / (corn + soybean) of the year, and a half where neither grows."""
        corn, both = self.corn_K.astype(float), self.corn_K.astype(float) + self.soybean_K
        weight: Floats = np.divide(corn, both, out=np.full_like(both, 0.5), where=both > 0)
        return weight


def crop_of(year: int, *, corn_in_even_years: bool) -> int:
    """Return the crop of a year in one of the two opposite rotations.

    Examples
    --------
    >>> [crop_of(year, corn_in_even_years=True) for year in (2010, 2011)]
    [1, 5]
    """
    return CORN if (year % 2 == 0) == corn_in_even_years else SOYBEAN


@dataclass(frozen=True, eq=False)
class CoarseBand:
    """The cells of a band on the coarse grid.

    Attributes
    ----------
    view
        The inputs store.
    target
        All cells of the coarse grid in the band.
    tiles
        Tiles of the band with their weights.
    """

    view: InputsView
    target: LatLonGrid
    tiles: tuple[TileWeights, ...]

    @classmethod
    def of(
        cls, view: InputsView, frame: Frame, band: Band, *, per_degree: int, masks: Iterable[tuple[Tile, Mask]]
    ) -> CoarseBand:
        """Return the band on cells of 1 / `per_degree` degree, given the cells of each tile that are averaged."""
        target = band.fine.coarsen(band.fine.per_degree // per_degree)
        tiles = []
        for tile, mask in masks:
            grid, chosen = frame.domain.grid.of(tile), mask.ravel()
            region = coverage(frame.polygons, grid).sum(axis=0)
            area_m2 = np.repeat(grid.cell_area_m2(), grid.cols) * region
            weights = csr_array((overlaps(grid, target) @ diags_array(area_m2))[:, chosen])
            # Of thousands of coarse cells in a band a tile meets a few.
            met = np.flatnonzero(np.diff(weights.indptr))
            tiles.append(TileWeights(tile, mask, met, csr_array(weights[met])))
        return cls(view, target, tuple(tiles))

    @cached_property
    def area_m2(self) -> Floats:
        """Area that is averaged in each cell of `target` (cells,)."""
        total = np.zeros(self.target.rows * self.target.cols)
        for each in self.tiles:
            total[each.met_L] += each.area_m2_LN.sum(axis=1)
        return total

    @cached_property
    def chosen_K(self) -> NDArray[np.intp]:
        """Places in `target` of the cells with some area, K of them."""
        return np.flatnonzero(self.area_m2 > 0)

    @cached_property
    def soil_9K(self) -> NDArray[np.float32]:
        """Means of the nine soil features."""
        sums = np.zeros((9, self.area_m2.size))
        for each in self.tiles:
            sums[:, each.met_L] += self.view.soil_means(each.tile)[:, each.mask] @ each.area_m2_LN.T
        return (sums[:, self.chosen_K] / self.area_m2[self.chosen_K]).astype(np.float32)

    @cached_property
    def stock_K(self) -> Floats:
        """Mean stock of soil carbon to 200 cm over the cells where it is known [g C m-2]; NaN without any."""
        sums = np.zeros((2, self.area_m2.size))
        for each in self.tiles:
            where = self.view.grid.window(each.tile)
            stock_N = repository.part(self.view.root, f"soil/{STOCK}", where)[each.mask].astype(np.float64)
            known_N = np.isfinite(stock_N)
            sums[:, each.met_L] += np.stack([known_N, np.where(known_N, stock_N, 0)]) @ each.area_m2_LN.T
        stock: Floats = means(sums[1], sums[0])[self.chosen_K]
        return stock

    def year(self, year: int) -> CoarseYear:
        """Return the inputs of a year, of which one tile is in memory at a time."""
        days, count = cf.days_in_year(year), self.area_m2.size
        climate_7TK, gpp_TK = np.zeros((7, days, count)), np.zeros((days, count))
        gpp_area_K, crops_3K = np.zeros(count), np.zeros((3, count))
        for each in self.tiles:
            met, weights_LN = each.met_L, each.area_m2_LN
            climate_7TK[..., met] += self._climate_sums(each, year)
            gpp_TN = self.view.read_gpp(each.tile, year, mask=each.mask)
            complete_N = np.isfinite(gpp_TN).all(axis=0)
            gpp_TK[:, met] += (weights_LN @ np.where(complete_N, gpp_TN, 0).T.astype(np.float64)).T
            gpp_area_K[met] += weights_LN @ complete_N.astype(np.float64)
            fractions_2N = self.view.crop_fractions(each.tile, year)[:, each.mask].astype(np.float64)
            known_N = np.isfinite(fractions_2N).all(axis=0)
            crops_3K[:, met] += np.stack([known_N, *np.where(known_N, fractions_2N, 0)]) @ weights_LN.T
        chosen = self.chosen_K
        corn_K, soybean_K = np.nan_to_num(means(crops_3K[1:], crops_3K[0]))[:, chosen].astype(np.float32)
        return CoarseYear(
            year,
            (climate_7TK[..., chosen] / self.area_m2[chosen]).astype(np.float32),
            means(gpp_TK, np.broadcast_to(gpp_area_K, gpp_TK.shape))[:, chosen].astype(np.float32),
            self.soil_9K,
            corn_K,
            soybean_K,
        )

    def _climate_sums(self, each: TileWeights, year: int) -> Floats:
        """Return area x climate of a tile (7, T, L), by way of the few series that its cells share."""
        climate = self.view.read_climate(each.tile, year, mask=each.mask)
        cells, series = climate.of_N.size, climate.series_7TC.shape[2]
        of_series = csr_array((np.ones(cells), (np.arange(cells), climate.of_N)), shape=(cells, series))
        sums: Floats = climate.series_7TC.astype(np.float64) @ (each.area_m2_LN @ of_series).T.toarray()
        return sums
