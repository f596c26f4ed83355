"""Values of maps, read from the cube square by square.

Shape suffixes: L layers, B bands, Y rows, X columns, N modelled cells of a tile, T days.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray

from pipeline.aggregate.frame import COARSE_PER_DEGREE, FINE_PER_DEGREE, MIDDLE_PER_DEGREE
from pipeline.aggregate.layout import (
    AREA,
    DAILY_MAPS,
    MISSING_AREA,
    VALID_SHARE,
    band_rows,
    read_band,
    read_days,
    read_month,
)
from pipeline.aggregate.sums import means
from pipeline.cube import layout
from pipeline.cube.parts import PART_DAYS, MonthPart
from pipeline.cube.results import CheckedYear, Mask
from pipeline.export.cog import SQUARE_OF, Rectangle, Sheet, nodata
from pipeline.export.layers import CELLS, CROPS, GROUPS, LATLON_MASKS, MONTHLY_GROUPS, GridName, Layer
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid, Tile
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried
from pipeline.variables import MONTHLY_STD, Quality

_CELLS_PER_DEGREE: Mapping[GridName, int] = {
    "0.0025": FINE_PER_DEGREE, "0.05": MIDDLE_PER_DEGREE, "0.5": COARSE_PER_DEGREE
}  # fmt: skip
_FLUX_OF_SPREAD = {spread.name: flux for flux, spread in MONTHLY_STD.items()}
_LATLON_SQUARE = 400  # pixels: two chunks of the aggregates on 0.0025 degree, and a multiple of `SQUARE_OF`


class Piece(NamedTuple):
    """A rectangle of a grid, and the values of some layers in it (L, B, Y, X); nodata where one shows none."""

    place: Rectangle
    values_LBYX: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Source:
    """A state of a cube, read on one of its grids.

    Attributes
    ----------
    root
        The cube.
    grid
        Its own cells of 250 m, or its aggregates.
    tiles
        Tiles with results, by year.
    policy
        Retries of transient errors.
    """

    root: zarr.Group
    grid: GridName = CELLS
    tiles: Mapping[int, Sequence[Tile]] = field(default_factory=dict)
    policy: RetryPolicy = BY_DEFAULT

    @property
    def sheet(self) -> Sheet:
        """The pixels of the maps; their squares hold whole tiles, or whole chunks."""
        if self.grid == CELLS:
            cells = layout.identity(self.root).grid
            return Sheet(cells.shape, cells.transform, SINUSOIDAL_WKT, _edge(cells))
        group, step = repository.subgroup(self.root, GROUPS[self.grid]), 1 / _CELLS_PER_DEGREE[self.grid]
        lat, lon = (repository.values(group, name) for name in ("lat", "lon"))
        # The coordinates are centres of cells, the transform is from the corner of the first.
        transform = Affine(step, 0.0, float(lon[0] - step / 2), 0.0, -step, float(lat[0] + step / 2))
        return Sheet((lat.size, lon.size), transform, "EPSG:4326", _LATLON_SQUARE)


def _edge(cells: Grid) -> int:
    return math.lcm(cells.tile_cells, SQUARE_OF)


def pieces(source: Source, layers: Sequence[Layer], *, within: Rectangle | None = None) -> Iterator[Piece]:
    """Yield the squares that hold values of layers and meet a rectangle; all else is nodata.

    Sums over a month are of fluxes as stored, rounded to 10 mantissa bits on 250 m cells.

    Parameters
    ----------
    source
        The cube.
    layers
        Of one variable, unit, mask and year; or one layer over several years.
    within
        Rows and columns; everywhere if None.
    """
    over, kind = layers[0].over, _CellMaps if source.grid == CELLS else _LatLonMaps
    years: list[_Maps] = [kind(source, [layers[0].of_year(year)] if over else layers, year) for year in layers[0].years]
    for place in _squares(source, layers[0].years):
        if within and not (_meet(place[0], within[0]) and _meet(place[1], within[1])):
            continue
        values = (maps.read(place) for maps in years)
        if over:
            yield Piece(place, np.moveaxis(over.of(values), 0, 1))
        else:
            yield Piece(place, next(values)[:, None])


def _meet(one: slice, other: slice) -> bool:
    return bool(one.start < other.stop and other.start < one.stop)


def _squares(source: Source, years: Sequence[int]) -> Iterator[Rectangle]:
    """Return the squares of 250 m cells that hold tiles with results, or all of a lat-lon grid, from the north."""
    grid, squares = layout.identity(source.root).grid, source.sheet.squares()
    if source.grid != CELLS:
        return squares
    edge, windows = _edge(grid), [grid.window(tile) for year in years for tile in source.tiles[year]]
    with_tiles = {(down.start // edge * edge, across.start // edge * edge) for down, across in windows}
    return (square for square in squares if (square[0].start, square[1].start) in with_tiles)


def read_cells(root: zarr.Group, layer: Layer, *, tiles: Sequence[Tile]) -> NDArray[Any]:
    """Return an entire map of 250 m cells (Y, X): the cells of these tiles that the layer shows, else nodata."""
    values_YX = np.full(layout.identity(root).grid.shape, nodata(layer.variable), layer.variable.dtype)
    for piece in pieces(Source(root, tiles={layer.period.first.year: tiles}), (layer,)):
        values_YX[piece.place] = piece.values_LBYX[0, 0]
    return values_YX


class _Maps(Protocol):
    def read(self, place: Rectangle) -> NDArray[Any]:
        """Return the values of the layers in a square (L, Y, X)."""
        ...


class _CellMaps:
    """Layers of 250 m cells of one year, variable, unit and mask."""

    def __init__(self, source: Source, layers: Sequence[Layer], year: int) -> None:
        self.layers, self.grid = layers, layout.identity(source.root).grid
        self.results = CheckedYear(source.root, year, source.policy)
        self.tiles: defaultdict[tuple[int, int], list[Tile]] = defaultdict(list)
        for tile in source.tiles[year]:
            rows, cols = self.grid.window(tile)
            self.tiles[rows.start // _edge(self.grid), cols.start // _edge(self.grid)].append(tile)

    def read(self, place: Rectangle) -> NDArray[Any]:
        """Return the values of the layers in a square (L, Y, X)."""
        layer, edge = self.layers[0], _edge(self.grid)
        shape = (len(self.layers), *(side.stop - side.start for side in place))
        values_LYX = np.full(shape, nodata(layer.variable), layer.variable.dtype)
        for tile in self.tiles[place[0].start // edge, place[1].start // edge]:
            of_tile_LYX = values_LYX[:, *_within(self.grid.window(tile), place)]
            mask = self.results.mask(tile)
            chosen_N = _chosen(self.results, layer, tile, mask)
            shown_YX = mask.copy()
            shown_YX[mask] = chosen_N
            # Sums are in double precision and stored in the layer's own.
            values_LN = _values(self.results, self.layers, tile, mask)
            if layer.unit:
                values_LN = values_LN * layer.unit.factor(self.results.layer(tile, "crop", mask))
            of_tile_LYX[:, shown_YX] = values_LN[:, chosen_N]
        return values_LYX


def _within(window: Rectangle, square: Rectangle) -> Rectangle:
    """Return the place of a window in a square that contains it."""
    (rows, cols), (first_row, first_col) = window, (side.start for side in square)
    return slice(rows.start - first_row, rows.stop - first_row), slice(cols.start - first_col, cols.stop - first_col)


def _values(results: CheckedYear, layers: Sequence[Layer], tile: Tile, mask: Mask) -> NDArray[Any]:
    """Return the values of the layers (L, N) at the modelled cells of a tile."""
    name = layers[0].variable.name
    if layers[0].period.kind == "annual":
        return results.layer(tile, name, mask)[None]
    if flux := _FLUX_OF_SPREAD.get(name):
        return np.stack([_spread(results, tile, (flux, layer.period.month), mask) for layer in layers])
    sums_LN = np.zeros((len(layers), int(mask.sum())))
    for start in range(0, results.days, PART_DAYS):
        found = [_overlap(layer.period.days, start, PART_DAYS) for layer in layers]
        if any(found):
            days_TN = results.flux(tile, name, mask, days=slice(start, start + PART_DAYS))
            for sum_N, days in zip(sums_LN, found, strict=True):
                sum_N += days_TN[days.start : days.stop].sum(axis=0, dtype=np.float64)
    return sums_LN


def _spread(results: CheckedYear, tile: Tile, part: MonthPart, mask: Mask) -> NDArray[Any]:
    """Return the standard deviation over an ensemble's members of a month of a flux (N,), NaN if the tile has none."""
    members_MN = results.member_month(tile, part, mask)
    if members_MN is None:
        return np.full(mask.sum(), np.nan)
    deviation_N: NDArray[Any] = members_MN.std(axis=0, ddof=1, dtype=np.float64)
    return deviation_N


def _overlap(days: slice, start: int, length: int) -> range:
    """Return the places of days in a part that begins at day `start`."""
    # Of days before the part, the end is not to be negative: a slice would count it from the end of the part.
    return range(max(days.start - start, 0), max(min(days.stop - start, length), 0))


def _chosen(results: CheckedYear, layer: Layer, tile: Tile, mask: Mask) -> NDArray[np.bool_]:
    """Return which of the modelled cells (N,) the layer shows."""
    chosen_N = np.ones(mask.sum(), bool)
    if layer.mask != "region":
        chosen_N &= (results.layer(tile, "quality", mask) & Quality.NOT_GROWN) == 0
    if layer.mask in CROPS:
        chosen_N &= results.layer(tile, "crop", mask) == CROPS[layer.mask]
    return chosen_N


class _LatLonMaps:
    """Layers on a lat-lon grid of one year, variable, unit and mask: one of a year or month, or days."""

    def __init__(self, source: Source, layers: Sequence[Layer], year: int) -> None:
        self.source, self.layers, self.year, name = source, layers, year, layers[0].variable.name
        groups = {"annual": GROUPS, "monthly": MONTHLY_GROUPS, "daily": dict.fromkeys(GROUPS, DAILY_MAPS)}
        self.path = f"{groups[layers[0].period.kind][source.grid]}/{name}"
        self.bands = band_rows(source.root, self.path)
        # Squares are taken from the north: the next ones begin in the last band of these, or after it.
        self._strips = lru_cache(maxsize=1)(self._read_strips)

    def read(self, place: Rectangle) -> NDArray[Any]:
        """Return the values of the layers in a square (L, Y, X), in double precision."""
        down, across = place
        shape = (len(self.layers), *(side.stop - side.start for side in place))
        values_LYX = np.full(shape, nodata(self.layers[0].variable))
        for band, of_band in enumerate(self.bands):
            first, end = max(of_band.start, down.start), min(of_band.stop, down.stop)
            if first < end:
                strips = self._strips(band)[:, first - of_band.start : end - of_band.start, across]
                values_LYX[:, first - down.start : end - down.start] = strips
        if unit := self.layers[0].unit:
            values_LYX *= unit.factor(np.array(CROPS.get(self.layers[0].mask, 0)))
        return values_LYX

    def _read_strips(self, band: int) -> NDArray[Any]:
        """Return the rows of a band in all layers (L, Y, X)."""
        return retried(lambda: self._read_band(band), self.source.policy)

    def _read_band(self, band: int) -> NDArray[Any]:
        root, layer, place = self.source.root, self.layers[0], (self.year, band)
        if layer.period.kind == "annual":
            read = partial(read_band, root, year=self.year, band=band, area_type=LATLON_MASKS[layer.mask])
            if layer.variable.name != VALID_SHARE.name:
                return read(self.path)[None]
            area, missing = (read(f"{GROUPS[self.source.grid]}/{each.name}") for each in (AREA, MISSING_AREA))
            return means(area, area + missing)[None]
        if layer.period.kind == "monthly":
            return np.stack([read_month(root, self.path, *place, month=each.period.month) for each in self.layers])
        days_TYX = read_days(root, layer.variable.name, *place)
        return np.concatenate([days_TYX[each.period.days] for each in self.layers])
