"""Seams: steps at the borders of tiles that are larger than the steps inside tiles.

The step across a line between cells is a median over its pairs of neighbours, by two statistics: of the difference,
which shows a tile that is shifted as a whole, and of its absolute value, which shows noise along a border. Up to half
of the cells may be fields of another crop or soil and change neither. A border fails if its step is more than twice
the largest on any line inside the tiles of that year: among hundreds of lines of one kind the largest is one of those
inside, or a border just above it, never twice as large. Of few lines the largest says little: the borders of a sample
of tiles may have too few to be compared with.

Cells of the climate, 1/8 degree, are larger than cells of the cube, and fluxes step where they end. Tiles of half a
degree end there as well, so that lines between rows are compared with lines of the same kind; where these are few, with
all lines between rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.audit.checks import SEAMS, Measured
from pipeline.cube import layout
from pipeline.grid.latlon import BANDS_PER_DEGREE
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.sources.nldas2.product import CELL_DEGREE
from pipeline.storage.repository import array

LAYERS = ("ra", "rh", "nee", "yield")
CLIMATE_ROWS = round(BANDS_PER_DEGREE * CELL_DEGREE)  # rows of the grid in a cell of the climate
# A line is measured if it has at least 8 pairs, and pairs along a quarter of the tile's edge: a median of fewer is that
# of one or two fields.
_LEAST_PAIRS, _LEAST_SHARE = 8, 4
# Lines inside tiles that a border is compared with, at least: the largest of n is below that of a further line of the
# same kind in one of n + 1 cases.
_LEAST_LINES = 20

Array = NDArray[np.float64]


class Line(IntEnum):
    """Kinds of lines between cells; only lines of one kind are compared."""

    COLUMNS = 0  # between two columns: meridians, along which the climate steps, cross columns at a slant
    ROWS = 1  # between two rows in the same cells of the climate
    CLIMATE_ROWS = 2  # between two rows of different cells of the climate


@dataclass(frozen=True)
class Border:
    """The border to the next tile in the east or south.

    Attributes
    ----------
    kind
        Kind of the line.
    beyond
        Name of the tile on the other side.
    steps
        Steps across it (layers, statistics), NaN where there are too few pairs.
    """

    kind: Line
    beyond: str
    steps: Array


@dataclass(frozen=True)
class Steps:
    """The steps of one tile-year.

    Attributes
    ----------
    tile, year
        The tile-year.
    inside
        Largest steps inside the tile (kinds, layers, statistics), NaN where no line was measured.
    lines
        Number of lines that were measured (kinds, layers, statistics).
    borders
        Its borders in the east and south; a border is measured once.
    """

    tile: str
    year: int
    inside: Array
    lines: NDArray[np.intp]
    borders: tuple[Border, ...]


def steps_of(root: zarr.Group, tile: Tile, year: int, *, beside: Iterable[Tile]) -> Steps:
    """Measure the steps of a tile-year in the annual layers of the cube.

    Parameters
    ----------
    root
        The cube.
    tile, year
        The tile-year.
    beside
        The next tiles in the east and south that have results of this year too.
    """
    cube = layout.identity(root)
    rows, cols = cube.grid.window(tile)
    # With one more row and column, of the next tiles; at the edge of the grid there is none, and the slices end there.
    where = (year - cube.first_year, slice(rows.start, rows.stop + 1), slice(cols.start, cols.stop + 1))
    whole_LRC = np.stack([np.asarray(array(root, f"annual/{name}")[where], np.float64) for name in LAYERS])
    inside_LRC = whole_LRC[:, : tile.cells, : tile.cells]
    borders = tuple(_border(whole_LRC, tile, other) for other in beside)
    return Steps(tile.name, year, *_inside(inside_LRC, tile), borders)


def _inside(values_LRC: Array, tile: Tile) -> tuple[Array, NDArray[np.intp]]:
    """Largest steps on the lines inside a tile, NaN for none, and their number (kinds, layers, statistics)."""
    columns = _line_steps(values_LRC, axis=2, edge=tile.cells)
    rows = _line_steps(values_LRC, axis=1, edge=tile.cells)
    row_below = tile.first_row + 1 + np.arange(tile.cells - 1)
    on_climate = row_below % CLIMATE_ROWS == 0
    lines = {Line.COLUMNS: columns, Line.ROWS: rows[~on_climate], Line.CLIMATE_ROWS: rows[on_climate]}
    # Steps are at least 0, so that -1 stands for no line.
    largest = np.stack([np.fmax.reduce(lines[kind], axis=0, initial=-1) for kind in Line])
    count = np.stack([np.isfinite(lines[kind]).sum(axis=0) for kind in Line])
    return np.where(largest < 0, np.nan, largest), count


def _border(values_LRC: Array, tile: Tile, other: Tile) -> Border:
    edge = tile.cells
    if other.first_row == tile.first_row:  # in the east
        pair = values_LRC[:, :edge, edge - 1 : edge + 1]
        return Border(Line.COLUMNS, other.name, _line_steps(pair, axis=2, edge=edge)[0])
    pair = values_LRC[:, edge - 1 : edge + 1, :edge]
    kind = Line.ROWS if other.first_row % CLIMATE_ROWS else Line.CLIMATE_ROWS
    return Border(kind, other.name, _line_steps(pair, axis=1, edge=edge)[0])


def _line_steps(values_LRC: Array, *, axis: int, edge: int) -> Array:
    """Steps across the lines between neighbours along an axis (lines, layers, statistics); NaN with too few pairs."""
    pairs = np.moveaxis(np.diff(values_LRC, axis=axis), axis, 0)  # (lines, layers, along the line)
    present = np.isfinite(pairs)
    few = present.sum(axis=-1) < max(_LEAST_PAIRS, edge // _LEAST_SHARE)
    pairs = np.where(few[..., None], 0.0, pairs)  # nanmedian warns of slices without any number
    steps = np.stack([np.abs(np.nanmedian(pairs, axis=-1)), np.nanmedian(np.abs(pairs), axis=-1)], axis=-1)
    return np.where(few[..., None], np.nan, steps)


def next_tiles(tile: Tile, grid: Grid) -> Iterator[Tile]:
    """Yield the neighbours of a tile in the east and south that lie on the grid."""
    row, col = tile.first_row, tile.first_col
    if col + tile.cells < grid.first_col + grid.cols:
        yield Tile.holding(row, col + tile.cells, cells=tile.cells)
    if row + tile.cells < grid.first_row + grid.rows:
        yield Tile.holding(row + tile.cells, col, cells=tile.cells)


def compare_borders(steps: Sequence[Steps]) -> Iterator[tuple[str, int, Measured]]:
    """Yield tile, year and result of every border that can be compared with the inside of tiles of its year."""
    for year in sorted({each.year for each in steps}):
        measured = _measure_borders([each for each in steps if each.year == year])
        for pair, result in measured.items():
            for tile in pair[:1] if result.passes else _suspects(pair, measured):
                yield tile, year, replace(result, why=f"{result.why}, between {pair[0]} and {pair[1]}")


Pair: TypeAlias = tuple[str, str]
"""Names of the tiles on both sides of a border."""


def _measure_borders(of_year: Sequence[Steps]) -> dict[Pair, Measured]:
    """Return the results of all borders of a year that can be compared with the inside of tiles."""
    largest = _largest_inside(of_year)
    borders = {(steps.tile, border.beyond): border for steps in of_year for border in steps.borders}
    compared = {pair: _compare(border, largest[border.kind]) for pair, border in borders.items()}
    return {pair: result for pair, result in compared.items() if result is not None}


def _largest_inside(of_year: Sequence[Steps]) -> Array:
    """Return the largest steps inside all tiles (kinds, layers, statistics); NaN where too few lines were measured."""
    largest = np.fmax.reduce([steps.inside for steps in of_year])
    lines = np.sum([steps.lines for steps in of_year], axis=0)
    few = lines[Line.CLIMATE_ROWS] < _LEAST_LINES
    of_rows = np.fmax(largest[Line.ROWS], largest[Line.CLIMATE_ROWS])
    largest[Line.CLIMATE_ROWS] = np.where(few, of_rows, largest[Line.CLIMATE_ROWS])
    lines[Line.CLIMATE_ROWS] += np.where(few, lines[Line.ROWS], 0)
    return np.where(lines < _LEAST_LINES, np.nan, largest)


def _compare(border: Border, inside: Array) -> Measured | None:
    """Return the largest ratio of a border's steps to those inside; None if one of the two was not measured."""
    measured = np.isfinite(border.steps) & np.isfinite(inside)
    if not measured.any():
        return None
    with np.errstate(divide="ignore"):
        ratios = np.divide(border.steps, inside, out=np.zeros_like(inside), where=measured & (border.steps > 0))
    layer = LAYERS[int(ratios.max(axis=1).argmax())]
    return Measured(SEAMS, float(ratios.max()), int(measured.sum()), layer)


def _suspects(pair: Pair, measured: Mapping[Pair, Measured]) -> list[str]:
    """Return the tile of a pair that fails at more of its borders, or both if they are equal.

    A step does not show which of the two tiles is wrong; the others' borders do.
    """
    failures = Counter(tile for other, result in measured.items() if not result.passes for tile in other)
    most = max(failures[tile] for tile in pair)
    return [tile for tile in pair if failures[tile] == most]
