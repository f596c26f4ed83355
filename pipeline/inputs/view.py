"""Reading the inputs store: tile-years as arrays, and the digests of the content that a tile reads.

A run pins one snapshot, so that its inputs cannot change while it runs. All arrays are compared with their digests as
they are read: a chunk has a checksum, but the manifest that leads to it has none, and where a damaged one leads to no
chunk, the array reads as empty.

Shape legend: N modelled cells of a tile, T days, C NLDAS-2 cells that they read, Y X rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from model.arrays import Floats, YearInputs
from pipeline.digests import DIGEST_BYTES, content_digest, json_digest
from pipeline.errors import DamagedError, UserError
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.inputs.layout import (
    CLIMATE,
    NOT_STORED,
    READ,
    SOIL_MEANS,
    STORED_CELLS,
    Extent,
    cell_digests,
    group_name,
    ingested_years,
    read_extent,
    tile_digest,
    year_digests,
)
from pipeline.inputs.layout import tile_digests as product_digests
from pipeline.simulate.crops import CropOfYear
from pipeline.simulate.tile_year import TileYear
from pipeline.sources.nldas2.product import CELL_DEGREE, FIRST_LATITUDE, FIRST_LONGITUDE, Window
from pipeline.storage import cf, repository

MADE_BY = "agcarbon ingest"

KEPT_YEARS = 24  # of crop maps of a tile
_FULL_COVERAGE = 0.999  # coverage is float32, and a sliver at a map's edge does not make soil partial


@dataclass(frozen=True)
class TileDigests:
    """Digests of the content that a tile reads of one year, by product."""

    climate: str
    gpp: str
    soil: str
    crop: str


class TileClimate(NamedTuple):
    """Daily climate of a tile: series (7, T, C) of the NLDAS-2 cells that it reads, and the one of each cell (N,)."""

    series_7TC: Floats
    of_N: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class InputsView:
    """The inputs store at one snapshot; it keeps soil and crop maps of as many tiles as are read year by year."""

    location: str
    snapshot: str
    root: zarr.Group
    extent: Extent
    tiles: int = 1

    @cached_property
    def _soil(self) -> Callable[[Tile], dict[str, NDArray[Any]]]:
        return lru_cache(maxsize=1 + self.tiles)(partial(_read_soil, self))

    @cached_property
    def _crops(self) -> Callable[[Tile, int], Floats]:
        # Kept, since a year of a tile also needs earlier ones: 0.5 MB each on tiles of 240 x 240.
        return lru_cache(maxsize=KEPT_YEARS * self.tiles)(partial(_read_crops, self))

    @property
    def grid(self) -> Grid:
        """The region's rectangle of tiles."""
        return self.extent.grid

    def ingested(self, product: str) -> frozenset[int]:
        """Return the years of `climate`, `gpp` or `crop` that are ingested."""
        return ingested_years(self.root, product)

    @property
    def has_soil(self) -> bool:
        """Whether soil is ingested."""
        return bool(product_digests(self.root, "soil"))

    def tile_digests(self, tile: Tile, year: int, *, uncertainty: bool = False) -> TileDigests:
        """Return the digests of the inputs of a tile in `year`; raises `UserError` if a product is not ingested.

        With `uncertainty`, that of GPP covers its uncertainty, too.
        """
        gpp, crop = (_tile_digest(self, product, year, tile) for product in ("gpp", "crop"))
        if uncertainty:
            gpp = json_digest([gpp, _tile_digest(self, "gpp_uncertainty", year, tile)])
        return TileDigests(_climate_digest(self, tile, year), gpp, _tile_digest(self, "soil", None, tile), crop)

    def read_tile_year(
        self, tile: Tile, year: int, *, mask: NDArray[np.bool_], crop: CropOfYear, fractions_2N: Floats
    ) -> TileYear:
        """Return the inputs of one year at the modelled cells of a tile, in the units of the network.

        Parameters
        ----------
        mask
            Modelled cells (rows, cols).
        crop
            Crop of each of them, which depends on earlier years too.
        fractions_2N
            Corn and soybean fractions of the year, from `crop_fractions`.

        Raises
        ------
        UserError
            If the year is not ingested, or a cell of the mask has no soil.
        DamagedError
            If the store holds other values than were ingested.
        """
        soil = self._soil(tile)
        soil_9N = _soil_means(soil)[:, mask]
        if np.isnan(soil_9N).any():
            without = np.isnan(soil_9N).any(axis=0).sum()
            raise UserError(
                f"{self.location}: {without} modelled cells of tile {tile.name} have no soil data, since the cube was "
                f"made with another soil archive; ingest that one again, or make a new cube"
            )
        climate = self.read_climate(tile, year, mask=mask)
        gpp = _tile_arrays(self, "gpp", year, tile)
        inputs = YearInputs(
            year=year,
            climate_7TC=climate.series_7TC,
            climate_of_N=climate.of_N,
            gpp_TN=self._unpacked_gpp(gpp, tile, year, mask=mask),
            crop_N=crop.crop_N,
            soil_9N=soil_9N,
        )
        corn_N, soybean_N = fractions_2N
        return TileYear(
            inputs=inputs,
            grown_N=crop.grown_N,
            gpp_filled_N=gpp["filled_days"][mask] > 0,
            partial_soil_N=soil["soil_coverage"][mask] < _FULL_COVERAGE,
            corn_fraction_N=corn_N,
            soybean_fraction_N=soybean_N,
        )

    def read_climate(self, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> TileClimate:
        """Return the daily climate of a year at some cells of a tile; raises as `read_tile_year`."""
        read_of_N = nearest_defined(self.grid.of(tile), self.extent.window, defined_YX=_defined(self, year))[mask]
        # A tile has some 50,000 cells but reads few of NLDAS-2, whose series are shared and not copied to each cell.
        read_C, of_N = np.unique(read_of_N, return_inverse=True)
        return TileClimate(_climate_series(self, year, read_C), of_N)

    def read_gpp(self, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> Floats:
        """Return the daily GPP (T, N) [g C m-2 d-1] of the modelled cells; NaN in all days of a missing cell-year.

        Raises
        ------
        UserError
            If the year is not ingested, or a cell of the mask is not stored.
        """
        return self._unpacked_gpp(_tile_arrays(self, "gpp", year, tile), tile, year, mask=mask)

    def read_gpp_uncertainty(self, tile: Tile, year: int, *, mask: NDArray[np.bool_]) -> Floats:
        """Return the uncertainty of daily GPP (T, N) [g C m-2 d-1], NaN where there is none; raises as `read_gpp`."""
        packing = cf.Packing.of(repository.array(_group(self, "gpp_uncertainty", year), "gpp_uncertainty"))
        return packing.unpacked(_tile_arrays(self, "gpp_uncertainty", year, tile)["gpp_uncertainty"][:, mask])

    def _unpacked_gpp(
        self, arrays: dict[str, NDArray[Any]], tile: Tile, year: int, *, mask: NDArray[np.bool_]
    ) -> Floats:
        not_stored = int((arrays[STORED_CELLS["gpp"]][mask] == NOT_STORED).sum())
        if not_stored:
            raise UserError(
                f"{self.location}: GPP of {year} is not stored at {not_stored} modelled cells of tile {tile.name}: "
                f"crops are fewer now, or were too few for an earlier crop_threshold; run `{MADE_BY}`, and make a new "
                f"cube if that changes nothing"
            )
        packing = cf.Packing.of(repository.array(_group(self, "gpp", year), "gpp"))
        return packing.unpacked(arrays["gpp"][:, mask])

    def crop_fractions(self, tile: Tile, year: int) -> Floats:
        """Return the corn and soybean fractions of all cells, (2, rows, cols); NaN where the crop layer has no data."""
        return self._crops(tile, year)

    def soil_defined(self, tile: Tile) -> NDArray[np.bool_]:
        """Return the cells (rows, cols) with all nine soil features: only these can be modelled."""
        return ~np.asarray(np.isnan(self.soil_means(tile)).any(axis=0))

    def soil_means(self, tile: Tile) -> Floats:
        """Return the nine soil features of all cells (9, rows, cols); NaN where one is unknown."""
        return _soil_means(self._soil(tile))

    def gpp_stored(self, tile: Tile, year: int) -> NDArray[np.bool_]:
        """Return the cells (rows, cols) whose GPP of a year is stored, though it may be missing."""
        return np.asarray(_tile_arrays(self, "gpp", year, tile)[STORED_CELLS["gpp"]] != NOT_STORED)


def open_inputs(location: str, snapshot: str | None = None, *, tiles: int = 1) -> InputsView:
    """Open the inputs store at a snapshot, or at the newest; views are kept, so that opening one again costs nothing.

    `tiles` are read in turn, year by year; see `InputsView`.

    Raises
    ------
    UserError
        If there is no inputs store of this version.
    """
    return _view(location, snapshot or repository.tip(repository.open_existing(location, made_by=MADE_BY)), tiles)


@lru_cache(maxsize=4)
def _view(location: str, snapshot: str, tiles: int) -> InputsView:
    root = repository.read(repository.open_existing(location, made_by=MADE_BY), snapshot=snapshot)
    return InputsView(location, snapshot, root, read_extent(root), tiles)


def _read_soil(view: InputsView, tile: Tile) -> dict[str, NDArray[Any]]:
    """Soil of a tile by name (rows, cols)."""
    return _tile_arrays(view, "soil", None, tile)


def _soil_means(soil: dict[str, NDArray[Any]]) -> Floats:
    """Return the nine soil features (9, rows, cols)."""
    return np.stack([soil[variable.name] for variable in SOIL_MEANS])


def _tile_arrays(view: InputsView, product: str, year: int | None, tile: Tile) -> dict[str, NDArray[Any]]:
    """Return the arrays of a gridded product that a run reads, (..., rows, cols) by name, once they match their digest.

    The digest is that of the whole tile, which is read anyway: the tile is the unit of storage.
    """
    where = (..., *view.grid.window(tile))
    arrays = {name: _read(view, product, year, name, where) for name in READ[product]}
    if tile_digest(product, arrays) != _tile_digest(view, product, year, tile):
        raise _damaged(view, product, year, f"tile {tile.name} holds other values than were ingested")
    return arrays


def _read_crops(view: InputsView, tile: Tile, year: int) -> Floats:
    fractions = _tile_arrays(view, "crop", year, tile)
    return np.stack([fractions[f"{crop}_fraction"] for crop in ("corn", "soybean")])


def _climate_series(view: InputsView, year: int, read_C: NDArray[np.intp]) -> Floats:
    """Return the daily climate (7, T, C) of NLDAS-2 cells, given by their flat indices in the window."""
    row_C, col_C = np.divmod(read_C, view.extent.window.cols)
    # One box of chunks instead of single cells: a tile's NLDAS-2 cells are neighbours.
    rows, cols = (slice(int(index.min()), int(index.max()) + 1) for index in (row_C, col_C))
    where = (slice(None), rows, cols)
    box_7TYX = np.stack([_read(view, "climate", year, variable.name, where) for variable in CLIMATE])
    series_7TC = np.ascontiguousarray(box_7TYX[:, :, row_C - rows.start, col_C - cols.start])
    # Of the box only the cells that are read: others may be undefined.
    found_CB = cell_digests(series_7TC[..., None], np.zeros((read_C.size, 1), bool))[:, 0]
    if (found_CB != _cell_digests(view, year)[row_C, col_C]).any():
        raise _damaged(view, "climate", year, "cells of NLDAS-2 hold other values than were ingested")
    return series_7TC


def nearest_defined(grid: Grid, window: Window, *, defined_YX: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the flat index in the window of the NLDAS-2 cell that each cell of `grid` reads, (rows, cols).

    It is the one that holds the cell's centre or, where that is undefined, the defined one with the nearest centre.

    Raises
    ------
    UserError
        If no cell of the window is defined.
    """
    index = _holding(grid, window)
    lost = ~defined_YX.ravel()[index]
    if lost.any():
        if not defined_YX.any():
            raise UserError("NLDAS-2 is undefined everywhere in the region; is its archive that of this region?")
        latitude, longitude = np.meshgrid(window.latitudes, window.longitudes, indexing="ij")
        from scipy.spatial import cKDTree

        centres = cKDTree(_on_sphere(longitude[defined_YX], latitude[defined_YX]))
        cell_longitude, cell_latitude = grid.lonlat()
        _, nearest = centres.query(_on_sphere(cell_longitude[lost], cell_latitude[lost]))
        index[lost] = np.flatnonzero(defined_YX)[nearest]
    return index


def _holding(grid: Grid, window: Window) -> NDArray[np.intp]:
    longitude, latitude = grid.lonlat()
    # Nearest centre; floor(x + 0.5) and not rint, so that cells on a border all go north and east.
    row = np.floor((latitude - FIRST_LATITUDE) / CELL_DEGREE + 0.5).astype(np.intp) - window.first_row
    col = np.floor((longitude - FIRST_LONGITUDE) / CELL_DEGREE + 0.5).astype(np.intp) - window.first_col
    index: NDArray[np.intp] = row * window.cols + col
    return index


def _on_sphere(longitude: NDArray[np.floating], latitude: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return points of the unit sphere (n, 3).

    Chords and great circles have the same order, so that a tree of straight distances finds the nearest neighbour.
    """
    east, north = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)


def _climate_digest(view: InputsView, tile: Tile, year: int) -> str:
    """Return the digest of the NLDAS-2 cells that a tile reads: of their places in the product's grid and contents."""
    digests, window = _cell_digests(view, year), view.extent.window
    defined_YX = _defined(view, year)
    # Usually the cells that contain the tile's cells; only where one of them is undefined are neighbours searched.
    read = _tile_holding(view, tile)
    if not defined_YX.ravel()[read].all():
        read = np.unique(nearest_defined(view.grid.of(tile), window, defined_YX=defined_YX))
    # Places in the product's grid and not in the window: a region that grows keeps the digests of its tiles.
    row, col = np.divmod(read, window.cols)
    places = np.stack([row + window.first_row, col + window.first_col]).astype("<i4")
    return content_digest(places, digests.reshape(-1, DIGEST_BYTES)[read])


@lru_cache(maxsize=4096)
def _tile_holding(view: InputsView, tile: Tile) -> NDArray[np.intp]:
    return np.unique(_holding(view.grid.of(tile), view.extent.window))


@lru_cache(maxsize=64)
def _cell_digests(view: InputsView, year: int) -> NDArray[np.uint8]:
    """Digests (rows, cols, 16) of the window's cells."""
    digests_YXB = _read(view, "climate", year, "digest", ...)
    if year_digests(digests_YXB) != _digests(view, "climate", year):
        raise _damaged(view, "climate", year, "the digests of NLDAS-2 cells are not those that were written")
    return digests_YXB


@lru_cache(maxsize=64)
def _defined(view: InputsView, year: int) -> NDArray[np.bool_]:
    """Return the cells of the window with climate (rows, cols); those over water have zeros for a digest."""
    return np.asarray(_cell_digests(view, year).any(axis=-1))


def _tile_digest(view: InputsView, product: str, year: int | None, tile: Tile) -> str:
    digests = _digests(view, product, year)
    if tile.name not in digests:
        raise UserError(
            f"{view.location}: {group_name(product, year)} does not contain tile {tile.name}; run `{MADE_BY}`"
        )
    return digests[tile.name]


@lru_cache(maxsize=256)
def _digests(view: InputsView, product: str, year: int | None = None) -> dict[str, str]:
    """Return the digests of an ingested product-year by tile; raises `UserError` if it is not ingested."""
    group = group_name(product, year)
    digests = product_digests(view.root, group)
    if not digests:
        raise UserError(f"{view.location}: {group} is not ingested; run `{MADE_BY}`")
    return digests


@lru_cache(maxsize=256)
def _group(view: InputsView, product: str, year: int | None = None) -> zarr.Group:
    """Return the group of an ingested product-year; arrays alone do not make one, see `layout`."""
    _digests(view, product, year)
    return repository.subgroup(view.root, group_name(product, year))


def _read(view: InputsView, product: str, year: int | None, name: str, selection: Any) -> NDArray[Any]:
    try:
        return repository.part(_group(view, product, year), name, selection)
    except DamagedError as error:
        raise _damaged(view, product, year, str(error)) from error


def _damaged(view: InputsView, product: str, year: int | None, cause: str) -> DamagedError:
    """Return the error for damage of a product-year, which names the command that reads it again from the archive."""
    command = f"{MADE_BY} --again --product {product}" + ("" if year is None else f" --years {year}")
    return DamagedError(f"{view.location}: {group_name(product, year)}: {cause}; read it again with `{command}`")
