"""Maps of the cube, read square by square: a variable of a year, months or days on one of its grids."""

from __future__ import annotations

import calendar
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN
from pipeline.aggregate.bands import COARSE_PER_DEGREE, FINE_PER_DEGREE
from pipeline.aggregate.layout import AREA, COARSE, FINE, MISSING_AREA, band_rows, read_band
from pipeline.cube import layout
from pipeline.cube.parts import PART_DAYS
from pipeline.cube.results import CheckedYear, Mask
from pipeline.export.cog import SQUARE_OF, Sheet, nodata
from pipeline.export.units import Unit
from pipeline.grid.sinusoidal import SINUSOIDAL_WKT, Grid, Tile
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES, Quality, Variable

GridName: TypeAlias = Literal["250m", "0.0025", "0.5"]
PeriodName: TypeAlias = Literal["annual", "monthly", "daily"]
MaskName: TypeAlias = Literal["region", "grown", "corn", "soybean"]
Window: TypeAlias = tuple[slice, slice]

CELLS: GridName = "250m"
LATLON_MASKS: Mapping[MaskName, str] = {"region": "cells", "corn": "corn", "soybean": "soybean"}
"""Masks of the aggregates on longitude and latitude, each with the name of its area type in the cube."""

_CELLS_PER_DEGREE: Mapping[GridName, int] = {"0.0025": FINE_PER_DEGREE, "0.5": COARSE_PER_DEGREE}
GROUPS: Mapping[GridName, str] = {"0.0025": FINE, "0.5": COARSE}
CROPS: Mapping[MaskName, int] = {"corn": CORN, "soybean": SOYBEAN}

_LATLON_SQUARE = 400  # pixels: two chunks of the aggregates on 0.0025 degree, and a multiple of `SQUARE_OF`


@dataclass(frozen=True)
class Period:
    """A year, month or day: its name (2012, 2012-07, 2012-07-15), first and last day.

    Examples
    --------
    >>> february = list(periods(2012, "monthly"))[1]
    >>> february.name, february.days
    ('2012-02', slice(31, 60, None))
    """

    name: str
    first: date
    last: date

    def lies_in(self, date: str) -> bool:
        """Return whether it is the year, month or day of this name, or a part of it.

        Examples
        --------
        >>> [month.name for month in periods(2012, "monthly") if month.lies_in("2012-1") or month.lies_in("2012-01")]
        ['2012-01']
        """
        return f"{self.name}-".startswith(f"{date}-")

    @property
    def days(self) -> slice:
        """Its days in arrays over the days of the year."""
        return slice(self.first.timetuple().tm_yday - 1, self.last.timetuple().tm_yday)


def periods(year: int, kind: PeriodName) -> Iterator[Period]:
    """Yield the year, its months or its days."""
    if kind == "annual":
        yield Period(f"{year}", date(year, 1, 1), date(year, 12, 31))
        return
    for month in range(1, 13):
        days = [date(year, month, day + 1) for day in range(calendar.monthrange(year, month)[1])]
        if kind == "monthly":
            yield Period(f"{year}-{month:02d}", days[0], days[-1])
        else:
            yield from (Period(day.isoformat(), day, day) for day in days)


def variables(grid: GridName, kind: PeriodName) -> dict[str, Variable]:
    """Return the variables that a cube has on a grid for a kind of period, by name; none where it has no such map.

    Standard deviations of an ensemble are there only if an ensemble computed the cube, and only by the cell: that of a
    mean over cells is not the mean of theirs, since errors of the members are correlated between neighbouring cells, to
    an unknown degree.
    """
    found: Mapping[tuple[bool, PeriodName], Sequence[Variable]] = {
        (True, "annual"): (*ANNUAL, *ENSEMBLE_STD.values()),
        (True, "monthly"): [_monthly(variable) for variable in DAILY],
        (True, "daily"): DAILY,
        (False, "annual"): (*FLUXES, AREA, MISSING_AREA),
    }
    return {variable.name: variable for variable in found.get((grid == CELLS, kind), ())}


def _monthly(variable: Variable) -> Variable:
    # Not "month-1": UDUNITS takes a month for a twelfth of a year.
    return replace(variable, units="g m-2", long_name=f"{variable.long_name}, sum over the month")


@dataclass(frozen=True)
class Layer:
    """One map: a variable, a period, and the cells that it shows.

    Attributes
    ----------
    variable
        The variable.
    period
        Year, month or day.
    mask
        Cells that it shows; the others are nodata.
    unit
        Unit to which the cube's values are converted; None: they stay in the variable's own.
    """

    variable: Variable
    period: Period
    mask: MaskName = "region"
    unit: Unit | None = None

    @property
    def written(self) -> Variable:
        """The variable as it is written, in its unit."""
        return self.unit.described(self.variable) if self.unit else self.variable


class Piece(NamedTuple):
    """A rectangle of a grid, and the values of some layers in it (layers, rows, cols); nodata where one shows none."""

    window: Window
    values_LYX: NDArray[Any]


def sheet_of(root: zarr.Group, grid: GridName) -> Sheet:
    """Return the pixels of the maps on a grid; their squares hold whole tiles, or whole chunks."""
    if grid == CELLS:
        cells = layout.identity(root).grid
        return Sheet(cells.shape, cells.transform, SINUSOIDAL_WKT, _square(cells))
    group, step = repository.subgroup(root, GROUPS[grid]), 1 / _CELLS_PER_DEGREE[grid]
    lat, lon = (repository.values(group, name) for name in ("lat", "lon"))
    # The coordinates are centres of cells, the transform is from the corner of the first.
    transform = Affine(step, 0.0, float(lon[0] - step / 2), 0.0, -step, float(lat[0] + step / 2))
    return Sheet((lat.size, lon.size), transform, "EPSG:4326", _LATLON_SQUARE)


def _square(cells: Grid) -> int:
    return math.lcm(cells.tile_cells, SQUARE_OF)


def together(root: zarr.Group, layers: Iterable[Layer], kind: PeriodName) -> list[tuple[Layer, ...]]:
    """Return the layers of one year in groups that are read together, so that no chunk of days is decoded twice.

    Days of a variable in one chunk are one group, and all months of a variable, which chunks cut anywhere.
    """
    groups: defaultdict[tuple[str, str | int], list[Layer]] = defaultdict(list)
    for layer in layers:
        part: str | int = layer.period.name
        if kind != "annual":
            part = layer.period.days.start // _days_in_chunk(root, layer) if kind == "daily" else 0
        groups[layer.written.name, part].append(layer)
    return [tuple(group) for group in groups.values()]


def _daily(root: zarr.Group, layer: Layer) -> repository.Array:
    return repository.array(root, f"daily/{layer.period.first.year}/{layer.variable.name}")


def _days_in_chunk(root: zarr.Group, layer: Layer) -> int:
    return int(_daily(root, layer).chunks[0])


def read_cells(root: zarr.Group, layer: Layer, *, tiles: Sequence[Tile]) -> NDArray[Any]:
    """Return an entire map of 250 m cells (rows, cols): the cells of these tiles that the layer shows, else nodata."""
    values_YX = np.full(layout.identity(root).grid.shape, nodata(layer.variable), layer.variable.dtype)
    for piece in cell_pieces(root, (layer,), tiles=tiles):
        values_YX[piece.window] = piece.values_LYX[0]
    return values_YX


def cell_pieces(
    root: zarr.Group, layers: Sequence[Layer], *, tiles: Iterable[Tile], policy: RetryPolicy = BY_DEFAULT
) -> Iterator[Piece]:
    """Yield the squares of 250 m cells that hold tiles: the cells of these that the layers show; all others are nodata.

    Sums over a month are of fluxes as stored, rounded to 10 mantissa bits.

    Parameters
    ----------
    layers
        Of one variable, unit, year and mask.
    tiles
        Tiles to read, each of them once.
    policy
        Retries of transient errors.
    """
    grid, variable = layout.identity(root).grid, layers[0].variable
    results = CheckedYear(root, layers[0].period.first.year, policy)
    edge, of_square = _square(grid), defaultdict(list)
    for tile in tiles:
        rows, cols = grid.window(tile)
        of_square[rows.start // edge, cols.start // edge].append(tile)
    for (row, col), inside in of_square.items():
        square = _part(row * edge, edge, grid.rows), _part(col * edge, edge, grid.cols)
        shape = (len(layers), *(side.stop - side.start for side in square))
        values_LYX = np.full(shape, nodata(variable), variable.dtype)
        for tile in inside:
            of_tile_LYX = values_LYX[:, *_within(grid.window(tile), square)]
            mask = results.mask(tile)
            chosen_N = _chosen(results, layers[0], tile, mask)
            shown_YX = mask.copy()
            shown_YX[mask] = chosen_N
            # Sums are in double precision and stored in the layer's own.
            values_LN = _values(results, layers, tile, mask)
            if unit := layers[0].unit:
                values_LN = values_LN * unit.factor(results.layer(tile, "crop", mask))
            of_tile_LYX[:, shown_YX] = values_LN[:, chosen_N]
        yield Piece(square, values_LYX)


def _part(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _within(window: Window, square: Window) -> Window:
    """Return the place of a window in a square that contains it."""
    (rows, cols), (first_row, first_col) = window, (side.start for side in square)
    return slice(rows.start - first_row, rows.stop - first_row), slice(cols.start - first_col, cols.stop - first_col)


def _values(results: CheckedYear, layers: Sequence[Layer], tile: Tile, mask: Mask) -> NDArray[Any]:
    """Return the values of the layers (layers, N) at the modelled cells of a tile."""
    name = layers[0].variable.name
    if layers[0].period.name == f"{results.year}":
        return results.layer(tile, name, mask)[None]
    sums_LN = np.zeros((len(layers), int(mask.sum())))
    for start in range(0, results.days, PART_DAYS):
        found = [_overlap(layer.period.days, start, PART_DAYS) for layer in layers]
        if any(found):
            days_TN = results.flux(tile, name, mask, days=slice(start, start + PART_DAYS))
            for sum_N, days in zip(sums_LN, found, strict=True):
                sum_N += days_TN[days.start : days.stop].sum(axis=0, dtype=np.float64)
    return sums_LN


def _overlap(days: slice, start: int, length: int) -> range:
    """Return the places of days in a part that begins at day `start`."""
    return range(max(days.start - start, 0), min(days.stop - start, length))


def _chosen(results: CheckedYear, layer: Layer, tile: Tile, mask: Mask) -> NDArray[np.bool_]:
    """Return which of the modelled cells (N,) the layer shows."""
    chosen_N = np.ones(mask.sum(), bool)
    if layer.mask != "region":
        chosen_N &= (results.layer(tile, "quality", mask) & Quality.NOT_GROWN) == 0
    if layer.mask in CROPS:
        chosen_N &= results.layer(tile, "crop", mask) == CROPS[layer.mask]
    return chosen_N


def latlon_pieces(
    root: zarr.Group, layer: Layer, grid: GridName, *, policy: RetryPolicy = BY_DEFAULT
) -> Iterator[Piece]:
    """Yield the squares of a map of annual means on a lat-lon grid."""
    group = repository.subgroup(root, GROUPS[grid])
    rows, cols = repository.array(group, layer.variable.name).shape[-2:]
    path, year = f"{GROUPS[grid]}/{layer.variable.name}", layer.period.first.year
    bands = band_rows(root, path)

    # Squares are taken from the north: the next ones begin in the last band of these, or after it.
    @lru_cache(maxsize=1)
    def strip(band: int) -> NDArray[Any]:
        read = partial(read_band, root, path, year, band, area_type=LATLON_MASKS[layer.mask])
        return retried(read, policy)

    for row in range(0, rows, _LATLON_SQUARE):
        down = _part(row, _LATLON_SQUARE, rows)
        values_YX = np.full((down.stop - row, cols), nodata(layer.variable))
        for band, of_band in enumerate(bands):
            first, end = max(of_band.start, row), min(of_band.stop, down.stop)
            if first < end:
                values_YX[first - row : end - row] = strip(band)[first - of_band.start : end - of_band.start]
        if layer.unit:
            values_YX *= layer.unit.factor(np.array(CROPS.get(layer.mask, 0)))
        for col in range(0, cols, _LATLON_SQUARE):
            across = _part(col, _LATLON_SQUARE, cols)
            yield Piece((down, across), values_YX[None, :, across])
