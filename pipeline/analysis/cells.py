"""The modelled cells of a tile over some years: verified layers, areas, counties and places.

Shape legend: N modelled cells of the tile, Y years, Z counties of the region.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.cube.results import CheckedYear
from pipeline.grid.coverage import Polygons, coverage
from pipeline.grid.sinusoidal import Grid, Tile

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Places(NamedTuple):
    """Longitude and latitude [degree] of the cell centres, each (N,)."""

    longitude_N: NDArray[np.floating]
    latitude_N: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class TileCells:
    """Modelled cells of a tile.

    Attributes
    ----------
    tile, grid
        The tile, and its cells as a grid.
    window
        Rows and columns of the tile in the cube's grid.
    mask
        Modelled cells (rows, cols), N of them.
    results
        Results by year; None for a year in which the tile has none.
    counties_ZN
        Share of each cell in each county of the region.
    """

    tile: Tile
    grid: Grid
    window: tuple[slice, slice]
    mask: Mask
    results: Mapping[int, CheckedYear | None]
    counties_ZN: csr_array

    @classmethod
    def of(cls, tile: Tile, grid: Grid, counties: Polygons, results: Mapping[int, CheckedYear | None]) -> TileCells:
        """Return the cells of a tile that has a result in some year, given the cube's grid and outlines of counties."""
        mask = next(year.mask(tile) for year in results.values() if year)
        own = grid.of(tile)
        shares = coverage(counties, own)[:, mask.ravel()]
        return cls(tile, own, grid.window(tile), mask, results, csr_array(shares))

    def layer(self, name: str) -> NDArray[np.float32]:
        """Return an annual layer (Y, N) as real numbers, NaN where there is no result.

        Codes and flags are whole numbers below 2^24, which single precision holds exactly.

        Raises
        ------
        DamagedError
            If the cube holds other values than were computed.
        """
        found = np.full((len(self.results), int(self.mask.sum())), np.nan, np.float32)
        for row, year in zip(found, self.results.values(), strict=True):
            if year:
                row[:] = year.layer(self.tile, name, self.mask)
        return found

    @cached_property
    def area_m2_N(self) -> Floats:
        """Area of each cell inside the region (N,) [m2]."""
        whole = np.repeat(self.grid.cell_area_m2(), self.grid.cols)[self.mask.ravel()]
        return np.asarray(whole * self.counties_ZN.sum(axis=0), np.float64)

    @cached_property
    def places(self) -> Places:
        """Longitude and latitude of the cell centres."""
        longitude, latitude = self.grid.lonlat()
        return Places(longitude[self.mask], latitude[self.mask])
