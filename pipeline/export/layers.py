"""Maps of the cube, read square by square: a variable of a year, months or days on one of its grids."""

from __future__ import annotations

import calendar
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import product
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import zarr
from affine import Affine
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN
from pipeline.aggregate.bands import COARSE_PER_DEGREE, FINE_PER_DEGREE
from pipeline.aggregate.layout import AREA, COARSE, FINE, MISSING_AREA
from pipeline.cube import layout
from pipeline.export.cog import SQUARE_OF, Sheet, nodata
from pipeline.grid.sinusoidal import SINUSOIDAL, Grid, Tile
from pipeline.storage import repository
from pipeline.storage.retry import BY_DEFAULT, RetryPolicy, retried
from pipeline.variables import ANNUAL, DAILY, ENSEMBLE_STD, FLUXES, Quality, Variable

GridName: TypeAlias = Literal["250m", "0.0025", "0.5"]
PeriodName: TypeAlias = Literal["annual", "month", "day"]
MaskName: TypeAlias = Literal["region", "grown", "corn", "soybean"]
Window: TypeAlias = tuple[slice, slice]
Read: TypeAlias = Callable[[Window], NDArray[Any]]

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
    >>> february = list(periods(2012, "month"))[1]
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
        >>> [month.name for month in periods(2012, "month") if month.lies_in("2012-1") or month.lies_in("2012-01")]
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
        if kind == "month":
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
        (True, "month"): [_monthly(variable) for variable in DAILY],
        (True, "day"): DAILY,
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
    """

    variable: Variable
    period: Period
    mask: MaskName = "region"


class Piece(NamedTuple):
    """A rectangle of a grid, and the values of some layers in it (layers, rows, cols); nodata where one shows none."""

    window: Window
    values_LYX: NDArray[Any]


def sheet_of(root: zarr.Group, grid: GridName) -> Sheet:
    """Return the pixels of the maps on a grid; their squares hold whole tiles, or whole chunks."""
    if grid == CELLS:
        cells = layout.identity(root).grid
        return Sheet(cells.shape, cells.transform, SINUSOIDAL, _square(cells))
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
            part = layer.period.days.start // _days_in_chunk(root, layer) if kind == "day" else 0
        groups[layer.variable.name, part].append(layer)
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
        Of one variable, year and mask.
    tiles
        Tiles to read, each of them once.
    policy
        Retries of transient errors.
    """
    grid, variable = layout.identity(root).grid, layers[0].variable
    read, choose = _reader(root, layers), _chooser(root, layers[0])
    edge, of_square = _square(grid), defaultdict(list)
    for rows, cols in map(grid.window, tiles):
        of_square[rows.start // edge, cols.start // edge].append((rows, cols))
    for (row, col), windows in of_square.items():
        square = _part(row * edge, edge, grid.rows), _part(col * edge, edge, grid.cols)
        shape = (len(layers), *(side.stop - side.start for side in square))
        values_LYX = np.full(shape, nodata(variable), variable.dtype)
        for window in windows:
            of_tile_LYX, shown_YX = retried(partial(_both, read, choose, window), policy)
            inside = (
                slice(side.start - of.start, side.stop - of.start) for side, of in zip(window, square, strict=True)
            )
            # Sums are in double precision and stored in the layer's own.
            np.copyto(values_LYX[:, *inside], of_tile_LYX, where=shown_YX, casting="same_kind")
        yield Piece(square, values_LYX)


def _part(start: int, length: int, end: int) -> slice:
    return slice(start, min(start + length, end))


def _both(read: Read, choose: Read, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    return read(window), choose(window)


def _reader(root: zarr.Group, layers: Sequence[Layer]) -> Read:
    """Return a function that reads the values of the layers in a window (layers, rows, cols)."""
    first = layers[0]
    if first.period.name == f"{first.period.first.year}":
        index = first.period.first.year - layout.identity(root).first_year
        return lambda window: repository.part(root, f"annual/{first.variable.name}", (index, *window))[None]
    daily, step = _daily(root, first), _days_in_chunk(root, first)

    def read(window: Window) -> NDArray[Any]:
        sums_LYX = np.zeros((len(layers), *(side.stop - side.start for side in window)))
        for start in range(0, daily.shape[0], step):
            found = [_overlap(layer.period.days, start, step) for layer in layers]
            if any(found):
                days_TYX = repository.part(root, daily.path, (slice(start, start + step), *window))
                for sum_YX, days in zip(sums_LYX, found, strict=True):
                    sum_YX += days_TYX[days.start : days.stop].sum(axis=0, dtype=np.float64)
        return sums_LYX

    return read


def _overlap(days: slice, start: int, length: int) -> range:
    """Return the places of days in a chunk that begins at day `start`."""
    return range(max(days.start - start, 0), min(days.stop - start, length))


def _chooser(root: zarr.Group, layer: Layer) -> Read:
    """Return a function that gives the cells of a window that the layer shows."""
    index = layer.period.first.year - layout.identity(root).first_year

    def choose(window: Window) -> NDArray[np.bool_]:
        chosen = repository.part(root, "static/mask", window).astype(bool)
        if layer.mask != "region":
            chosen &= (repository.part(root, "annual/quality", (index, *window)) & Quality.NOT_GROWN) == 0
        if layer.mask in CROPS:
            chosen &= repository.part(root, "annual/crop", (index, *window)) == CROPS[layer.mask]
        return chosen

    return choose


def latlon_pieces(
    root: zarr.Group, layer: Layer, grid: GridName, *, policy: RetryPolicy = BY_DEFAULT
) -> Iterator[Piece]:
    """Yield the squares of a map of annual means on a lat-lon grid."""
    group = repository.subgroup(root, GROUPS[grid])
    year = repository.values(group, "year").tolist().index(layer.period.first.year)
    area_type = [str(name) for name in repository.values(group, "cover")].index(LATLON_MASKS[layer.mask])
    rows, cols = repository.array(group, layer.variable.name).shape[-2:]
    for row, col in product(range(0, rows, _LATLON_SQUARE), range(0, cols, _LATLON_SQUARE)):
        square = _part(row, _LATLON_SQUARE, rows), _part(col, _LATLON_SQUARE, cols)
        place = (slice(year, year + 1), area_type, *square)
        yield Piece(square, retried(partial(repository.part, group, layer.variable.name, place), policy))
