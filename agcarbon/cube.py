"""The cube in a notebook: its layers as xarray datasets; points, counties and fields of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from pipeline.access import dataset
from pipeline.access.dataset import OpenCube
from pipeline.access.points import cell_at
from pipeline.access.polygons import tile_shares
from pipeline.access.series import PolygonSeries
from pipeline.access.window import Window
from pipeline.access.zonal import Areas, monthly_zonal_table, zonal_table
from pipeline.errors import UserError
from pipeline.sources.polygons import Shape, shapes
from pipeline.variables import ENSEMBLE_STD
from regions import counties

if TYPE_CHECKING:
    import geopandas as gpd

_VALUES_READ = 20_000_000  # values of one layer that `mean` holds at once: 80 MB


@dataclass(frozen=True, eq=False)
class Cube:
    """Annual layers and daily fluxes of the cube, or of a part of it.

    Values are read when they are asked for, and compared with the digests in the ledger (docs/reliability.md): damaged
    ones raise `pipeline.errors.DamagedError`, with the command that repairs them. NaN is a cell that is not modelled
    or has no result; the coordinate `modelled` distinguishes the two. `rio` of rioxarray knows the projection, so that
    `annual.rio.clip` and `annual.rio.reproject` work after `import rioxarray`.

    Attributes
    ----------
    annual
        Layers of each year [g C m-2 yr-1], in the signs of `pipeline.variables`: NEE is positive to the atmosphere,
        dSOC where the soil gains.
    daily
        Ra, Rh, NEE and Reco = Ra + Rh of each day [g C m-2 d-1]; all years on one axis.
    """

    annual: xr.Dataset
    daily: xr.Dataset
    _opened: OpenCube
    _area: PolygonSeries | None = None  # of the county, or of all cells

    @property
    def years(self) -> tuple[int, ...]:
        """Years with results."""
        return self._opened.years

    def point(self, lat: float, lon: float) -> Cube:
        """Return the series of the cell at a latitude and longitude [degree].

        Raises
        ------
        UserError
            If the place lies outside the grid, or its cell is not modelled.
        """
        part = _of(self._opened, cell_at(self._opened, lat, lon).window)
        return Cube(part.annual.isel(y=0, x=0), part.daily.isel(y=0, x=0), self._opened)

    def county(self, fips: str | int) -> Cube:
        """Return the cells that meet a county, given by its FIPS code; the others of the rectangle are NaN.

        The coordinate `coverage` is the share of each cell inside the county, by which `mean` weights.

        Raises
        ------
        UserError
            If there is no such county, or it does not meet the cube.
        """
        code = f"{int(fips):05d}" if str(fips).isdigit() else str(fips)
        found = [zone for zone in counties() if zone.fips == code]
        if not found:
            raise UserError(f"{fips!r} is no FIPS code of a county of the contiguous states, such as 17019 (Champaign)")
        tiles = list(tile_shares(found, self._opened.grid))
        if not tiles:
            (zone,) = found
            raise UserError(f"{zone.name} county, {zone.state} ({code}) does not meet the cube {self._opened.location}")
        rows = slice(min(t.window.rows.start for t in tiles), max(t.window.rows.stop for t in tiles))
        cols = slice(min(t.window.cols.start for t in tiles), max(t.window.cols.stop for t in tiles))
        share_YX = np.zeros((rows.stop - rows.start, cols.stop - cols.start))
        for tile in tiles:
            of = tile.window
            place = np.s_[of.rows.start - rows.start :, of.cols.start - cols.start :]
            share_YX[place][: of.shape[0], : of.shape[1]] = tile.shares_PN.toarray().reshape(of.shape)
        part = _of(self._opened, Window(rows, cols, share_YX > 0))
        share = xr.Variable(("y", "x"), share_YX, {"long_name": "share of the cell inside the county", "units": "1"})
        annual, daily = (each.assign_coords(coverage=share) for each in (part.annual, part.daily))
        return Cube(annual, daily, self._opened, PolygonSeries(self._opened, [Shape(code, found[0].geometry)]))

    def fields(self, fields: gpd.GeoDataFrame, *, label: str | None = None) -> Cube:
        """Return area-weighted means over each polygon of a GeoDataFrame, along the dimension `polygon`.

        Parameters
        ----------
        fields
            Polygons in any coordinate reference system; they may overlap.
        label
            Column with their labels; the index if None.

        Raises
        ------
        UserError
            If it holds anything but valid polygons, labels that are not unique, or no polygon that meets the cube.
        """
        series = PolygonSeries(self._opened, shapes(fields, label=label, origin="the GeoDataFrame"))
        areas = series.coverage()
        annual = series.annual().assign_coords({name: areas[name] for name in ("modelled_area", "mixed_share")})
        return Cube(annual, series.daily(), self._opened)

    def zonal(
        self, fields: gpd.GeoDataFrame, *, label: str | None = None, period: Literal["annual", "monthly"] = "annual"
    ) -> gpd.GeoDataFrame:
        """Return areas, means and totals over each polygon of a GeoDataFrame, as `agcarbon zonal` writes them.

        Parameters
        ----------
        fields, label
            As in `fields`.
        period
            One row per polygon, year and area type; or, of Ra, Rh and NEE, per polygon, year and month.

        Raises
        ------
        UserError
            As `fields`.
        """
        areas = Areas.of_shapes(shapes(fields, label=label, origin="the GeoDataFrame"))
        return (zonal_table if period == "annual" else monthly_zonal_table)(self._opened, areas)

    def mean(self) -> Cube:
        """Return the means over all cells with results, weighted by area and, of a county, by `coverage`.

        Codes and flags have no mean and are left out. Of an ensemble, `nee_spread` and so on are standard deviations of
        these means over its members, each averaged by itself: the mean of the cells' deviations is another number.
        """
        annual, spreads = _mean(self.annual, "year"), [spread.name for spread in ENSEMBLE_STD.values()]
        if self._area and spreads[0] in annual:
            of_area = self._area.annual().sel(cover="cells").isel(polygon=0)
            annual = annual.assign({name: of_area[name].variable for name in spreads})
        return Cube(annual, _mean(self.daily, "time"), self._opened)


def open(store: str | PathLike[str], release: str | None = None) -> Cube:
    """Open a cube.

    Parameters
    ----------
    store
        A run file (`.toml`), or the place of a cube: a folder or s3://bucket/prefix.
    release
        Release, or snapshot of `agcarbon history`; the newest state if None.

    Raises
    ------
    UserError
        If there is no cube of this version, no such state, or no year with results.

    Warns
    -----
    UserWarning
        If a year has no results in some of the tiles.
    """
    place = str(store)
    if not place:
        raise UserError("the place of the cube is empty; give a run file (.toml), a folder or s3://bucket/prefix")
    if place.endswith(".toml"):
        from pipeline import config

        place = config.load(Path(place)).stores.cube
    opened = OpenCube.at(place, release)
    if incomplete := list(opened.incomplete()):
        warnings.warn(f"{place} is not complete: {'; '.join(incomplete)}", UserWarning, stacklevel=2)
    return replace(_of(opened, opened.whole), _area=PolygonSeries.of_all_cells(opened))


def _of(opened: OpenCube, window: Window) -> Cube:
    return Cube(dataset.annual(opened, window), dataset.daily(opened, window), opened)


def _mean(layers: xr.Dataset, axis: str) -> xr.Dataset:
    """Return the mean over y and x, a few steps of `axis` at a time."""
    names = [str(name) for name, layer in layers.items() if np.issubdtype(layer.dtype, np.floating)]
    if "y" not in layers.dims:
        return layers[names]
    plain = layers[names].drop_vars([name for name in layers.coords if name != axis])
    weights = layers["cell_area"].variable * (layers["coverage"].variable if "coverage" in layers.coords else 1.0)
    steps = max(1, _VALUES_READ // (layers.sizes["y"] * layers.sizes["x"]))
    blocks = (plain.isel({axis: slice(start, start + steps)}) for start in range(0, layers.sizes[axis], steps))
    parts = [block.load().weighted(xr.DataArray(weights)).mean(("y", "x"), keep_attrs=True) for block in blocks]
    return xr.concat(parts, axis)
