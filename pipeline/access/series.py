"""Means over polygons: annual sums by area type, and daily fluxes, of the cells that lie in each polygon.

A cell counts with its area times its share inside the polygon. Sums are taken tile by tile and divided last, so that
a polygon across tiles has the same mean as one inside a tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from model.arrays import MONTHS
from pipeline.access.dataset import RECO, OpenCube, days_of
from pipeline.access.polygons import TileShares, tile_shares
from pipeline.access.window import Window
from pipeline.aggregate.layout import VALID_SHARE
from pipeline.aggregate.months import MonthSums, count_layers, months_of, onto, present_layers, with_members
from pipeline.aggregate.sums import AREA_TYPES, MEMBERS, Sums, cell_sums, means
from pipeline.cube import layout, members
from pipeline.cube.results import Box, CheckedYear, within
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES

Floats = NDArray[np.float64]


class Labelled(Protocol):
    """Something with a label, such as a polygon."""

    @property
    def label(self) -> str:
        """Its name in tables."""
        ...


@dataclass(frozen=True, eq=False)
class _Part:
    """The modelled cells of a window of a tile, N: places in it, areas [m2], and weights in the polygons (P, N)."""

    tile: Tile
    window: Window
    modelled: NDArray[np.bool_]
    area_m2_N: Floats
    polygons_P: NDArray[np.intp]
    shares_PN: csr_array

    @property
    def box(self) -> Box:
        """Rows and columns of the tile."""
        rows, cols = (
            slice(span.start % self.tile.cells, span.start % self.tile.cells + span.stop - span.start)
            for span in (self.window.rows, self.window.cols)
        )
        return rows, cols

    @property
    def weights_m2_PN(self) -> csr_array:
        return self.shares_PN @ diags_array(self.area_m2_N)


@dataclass(frozen=True)
class _Everything:
    """What holds all cells."""

    label: str = "all cells"


@dataclass(frozen=True, eq=False)
class PolygonSeries:
    """The cube's series over some polygons, P.

    Attributes
    ----------
    cube, polygons
        The opened cube, and the polygons.
    shares
        Yields the shares of cells in them, given the polygons and the cube's grid.

    Raises
    ------
    UserError
        By all methods, if none of the polygons meets the grid.
    """

    cube: OpenCube
    polygons: Sequence[Labelled]
    shares: Callable[[Sequence[Any], Grid], Iterator[TileShares]] = tile_shares

    @classmethod
    def of_all_cells(cls, cube: OpenCube) -> PolygonSeries:
        """Return the series over all modelled cells of the cube, as over one polygon."""

        def whole(_: Sequence[Any], grid: Grid) -> Iterator[TileShares]:
            for planned in layout.tiles(cube.root) or ():
                every = csr_array(np.ones((1, planned.tile.cells**2)))
                yield TileShares(planned.tile, Window(*grid.window(planned.tile)), np.zeros(1, np.intp), every)

        return cls(cube, [_Everything()], whole)

    @cached_property
    def _tiles(self) -> tuple[TileShares, ...]:
        tiles = tuple(self.shares(self.polygons, self.cube.grid))
        if not tiles:
            raise UserError(
                f"none of the polygons, such as {self.polygons[0].label!r}, meets the cube, which {self.cube.reach}; "
                "give polygons in its region, with longitude before latitude"
            )
        return tiles

    @cached_property
    def _parts(self) -> tuple[_Part, ...]:
        parts = (self._part(each) for each in self._tiles)
        return tuple(part for part in parts if part.area_m2_N.size)

    def _part(self, each: TileShares) -> _Part:
        modelled = self.cube.modelled(each.window)
        area_m2 = np.repeat(self.cube.part(each.window).cell_area_m2(), modelled.shape[1])[modelled.ravel()].astype(
            float
        )
        return _Part(each.tile, each.window, modelled, area_m2, each.polygons_P, each.shares_PN[:, modelled.ravel()])

    def coverage(self) -> xr.Dataset:
        """Return the areas of each polygon (polygon): inside the cube's grid, modelled, and in cells cut by its border.

        `mixed_share` is the share of the modelled area in cells that lie only partly inside the polygon: their values
        are also those of its neighbours.
        """
        area_m2, modelled_m2, mixed_m2, cells = np.zeros((4, len(self.polygons)))
        for tile in self._tiles:
            all_m2 = np.repeat(self.cube.part(tile.window).cell_area_m2(), tile.window.shape[1])
            area_m2[tile.polygons_P] += tile.shares_PN @ all_m2
        for part in self._parts:
            cut_PN = part.shares_PN.copy()
            cut_PN.data[cut_PN.data == 1] = 0
            modelled_m2[part.polygons_P] += part.shares_PN @ part.area_m2_N
            mixed_m2[part.polygons_P] += cut_PN @ part.area_m2_N
            cells[part.polygons_P] += np.diff(part.shares_PN.indptr)
        shares = np.divide(mixed_m2, modelled_m2, out=np.full_like(mixed_m2, np.nan), where=modelled_m2 > 0)
        columns = {
            "area": area_m2,
            "modelled_area": modelled_m2,
            "mixed_share": shares,
            "cells": cells.astype(np.int64),
        }
        units = {"area": "m2", "modelled_area": "m2", "mixed_share": "1", "cells": "1"}
        return xr.Dataset(
            {name: ("polygon", values, {"units": units[name]}) for name, values in columns.items()}, self._labels()
        )

    def sums(self, year: int) -> Sums:
        """Return the annual sums of a year over each polygon (area types, 2 + fluxes, P); see `aggregate.sums`.

        Raises
        ------
        UserError
            If the year has no results, or a cell has some of the fluxes but not all.
        """
        self.cube.chosen([year])
        results, count = self.cube.cells.year(year), members.count(self.cube.root)
        found = Sums.zero(len(self.polygons), members=count)
        for part in self._parts:
            annual = {layer.name: self.cube.cells.annual(layer, year, part.tile, box=part.box) for layer in ANNUAL}
            annual |= {MEMBERS: self._members(part, results, annual["gpp"])} if count else {}
            of_cells = cell_sums(annual, part.area_m2_N, place=f"{self.cube.location}, {year}")
            found.layers[..., part.polygons_P] += of_cells.onto(part.shares_PN).layers
        return found

    def months(self, year: int) -> Floats:
        """Return sums over each polygon of the layers of `pipeline.aggregate.months` (layers, 12, P).

        They are the area [m2], and area x flux [g C month-1]. A cell counts in a month if it has all fluxes of `DAILY`
        on all of its days.

        Raises
        ------
        UserError
            If the year has no results.
        """
        self.cube.chosen([year])
        count = members.count(self.cube.root)
        found = np.zeros((count_layers(count), MONTHS, len(self.polygons)))
        for part in self._parts:
            layers, weights = self._present(part, year), part.weights_m2_PN
            sums = MonthSums.zero(months_of(year, layers.shape[1]), layers.shape[2])
            sums.add(layers, slice(None))
            for month, of_month in enumerate(np.moveaxis(sums.complete(), 1, 0)):
                own = self._month_of_members(part, year, month) if count else None
                all_layers = with_members(of_month, own, count=count)
                found[:, month, part.polygons_P] += onto(all_layers[:, None], weights)[:, 0]
        return found

    def annual(self, years: Sequence[int] | None = None) -> xr.Dataset:
        """Return annual means [g C m-2 yr-1] over each polygon (year, cover, polygon), and the areas behind them [m2].

        `cover` is one of `aggregate.sums.AREA_TYPES`: the modelled cells in full, or the part of each under the crop
        for which it was modelled. Of an ensemble, the layers of `ENSEMBLE_STD` are standard deviations of these means
        over its members.
        """
        wanted = list(self.cube.chosen(years))
        sums = [self.sums(year) for year in wanted]
        dims, places = ("year", "cover", "polygon"), {flux.name: place for place, flux in enumerate(FLUXES)}

        def stacked(values: Callable[[Sums], Floats], flux: str) -> Floats:
            return np.stack([values(of_year)[:, places[flux]] for of_year in sums])

        layers = {flux.name: (dims, stacked(Sums.means, flux.name), flux.attributes) for flux in FLUXES}
        if sums[0].members:
            layers |= {
                spread.name: (dims, stacked(Sums.spreads, flux), spread.attributes)
                for flux, spread in ENSEMBLE_STD.items()
            }
        areas = {"area": "area with results", "missing_area": "area modelled without results: inputs are missing"}
        rows = {"area": [each.area_m2 for each in sums], "missing_area": [each.missing_m2 for each in sums]}
        layers |= {name: (dims, np.stack(rows[name]), {"units": "m2", "long_name": areas[name]}) for name in areas}
        layers[VALID_SHARE.name] = (dims, np.stack([each.valid_share for each in sums]), VALID_SHARE.attributes)
        return xr.Dataset(layers, {"year": wanted, "cover": list(AREA_TYPES), **self._labels()}, self.cube.attributes())

    def daily(self, years: Sequence[int] | None = None) -> xr.Dataset:
        """Return daily means of ra, rh, nee and reco [g C m-2 d-1] over the modelled cells (polygon, time).

        `valid_share` is the share of the modelled area with results on the day.
        """
        parts = [self.days(year) for year in self.cube.chosen(years)]
        return xr.concat(parts, "time", data_vars="minimal") if len(parts) > 1 else parts[0]

    def days(self, year: int) -> xr.Dataset:
        """Return the same for one year, for callers that cannot hold all of them."""
        self.cube.chosen([year])
        time = days_of(self.cube, year)
        sums_FTP = np.zeros((1 + len(DAILY), time.size, len(self.polygons)))
        whole_P = np.zeros(len(self.polygons))
        for part in self._parts:
            weights = part.weights_m2_PN
            sums_FTP[:, :, part.polygons_P] += onto(self._present(part, year), weights)
            whole_P[part.polygons_P] += weights.sum(axis=1)
        area_TP = sums_FTP[0]
        values = means(sums_FTP[1:], area_TP)
        by_name = dict(zip((flux.name for flux in DAILY), values, strict=True))
        by_name[RECO.name] = by_name["ra"] + by_name["rh"]
        dims = ("polygon", "time")
        layers = {
            flux.name: (dims, by_name[flux.name].T.astype(np.float32), flux.attributes) for flux in (*DAILY, RECO)
        }
        share = means(area_TP, np.broadcast_to(whole_P, area_TP.shape)).T.astype(np.float32)
        layers["valid_share"] = (dims, share, {"units": "1", "long_name": "share of the modelled area with results"})
        return xr.Dataset(layers, {"time": time, **self._labels()}, self.cube.attributes())

    def _present(self, part: _Part, year: int) -> NDArray[Any]:
        """Return the layers of `present_layers` (1 + fluxes, time, N) of a year."""
        fluxes = (self.cube.cells.daily(flux.name, year, part.tile, box=part.box) for flux in DAILY)
        return present_layers(list(fluxes))

    def _members(self, part: _Part, results: CheckedYear, gpp_N: NDArray[np.floating]) -> Floats:
        """Return the annual fluxes of each member (M, fluxes, N), NaN if the tile has none; raises `DamagedError`."""
        mask = self.cube.cells.mask(part.tile)
        own_MVN = results.of_members(part.tile, mask)
        if own_MVN is None:
            return np.full((members.count(self.cube.root), len(FLUXES), gpp_N.size), np.nan)
        # What is compared is the whole tile; it is one chunk.
        return members.fluxes(own_MVN[..., within(mask, part.box)], gpp_N)

    def _month_of_members(self, part: _Part, year: int, month: int) -> NDArray[np.float32] | None:
        """Return a month of the members less their mean (M, fluxes, N), None if the tile has none."""
        mask = self.cube.cells.mask(part.tile)
        found = self.cube.cells.year(year).month_of_members(part.tile, mask, month)
        return None if found is None else found[..., within(mask, part.box)]

    def _labels(self) -> dict[str, object]:
        return {"polygon": [each.label for each in self.polygons]}
