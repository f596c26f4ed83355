"""Seams: whether values step at the borders of tiles more than they do inside tiles.

The step across a line of cell borders is the median over its pairs of cells: of the difference, which a tile that is
shifted as a whole moves by its shift, and of its absolute value, which noise along a border moves. Half of the cells
may be fields of another crop or soil without moving either. A border fails if its step is more than twice the largest
one on any line inside the tiles of that year: were borders lines like all others, the largest of hundreds of lines
would be one of the inside or just above it, never twice as large.

Tiles of half a degree end where cells of the climate end, which step by nature. Such lines are therefore compared with
the lines inside tiles along which the climate steps as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.audit.checks import SEAMS, Measured
from pipeline.cube import layout
from pipeline.grid.latlon import BANDS_PER_DEGREE
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.sources.nldas2.daily import CELL_DEGREE
from pipeline.storage.repository import array

LAYERS = ("ra", "rh", "nee", "yield")
CLIMATE_ROWS = round(BANDS_PER_DEGREE * CELL_DEGREE)  # rows of the grid in a cell of the climate
_LEAST_PAIRS = 8  # a median of fewer is the whim of a field
_LEAST_SHARE = 4  # and of less than this part of the tile's edge

Array = NDArray[np.float64]


class Line(IntEnum):
    """Kinds of lines between cells; only lines of one kind are compared."""

    COLUMNS = 0  # between two columns; cells of the climate are slanted here and end on no line
    ROWS = 1
    CLIMATE_ROWS = 2  # between two rows of different cells of the climate


@dataclass(frozen=True)
class Border:
    """The border to the next tile in the east or south: its steps (layers, statistics), NaN where too few pairs."""

    kind: Line
    beyond: str
    steps: Array


@dataclass(frozen=True)
class Steps:
    """The steps of one tile-year: the largest inside (kinds, layers, statistics), and those at its borders."""

    tile: str
    year: int
    inside: Array
    borders: tuple[Border, ...]


def steps_of(root: zarr.Group, tile: Tile, year: int, *, beside: Iterable[Tile]) -> Steps:
    """Measure the steps of a tile-year in the annual layers of the cube.

    Parameters
    ----------
    beside
        Those of the next tiles in the east and south that have this year as well.
    """
    found, grid = layout.identity(root), layout.identity(root).grid
    rows, cols = grid.window(tile)
    index, reach = year - found.first_year, (slice(rows.start, rows.stop + 1), slice(cols.start, cols.stop + 1))
    whole_LRC = np.stack([np.asarray(array(root, f"annual/{name}")[index, *reach], np.float64) for name in LAYERS])
    inside_LRC = whole_LRC[:, : tile.cells, : tile.cells]
    borders = tuple(_border(whole_LRC, tile, other) for other in beside)
    return Steps(tile.name, year, _inside(inside_LRC, tile), borders)


def _inside(values_LRC: Array, tile: Tile) -> Array:
    """Largest steps on the lines inside a tile (kinds, layers, statistics); NaN where there is no line."""
    largest = np.full((len(Line), len(LAYERS), 2), np.nan)
    columns, rows = (_line_steps(values_LRC, axis=axis, edge=tile.cells) for axis in (2, 1))
    climate = (tile.first_row + 1 + np.arange(tile.cells - 1)) % CLIMATE_ROWS == 0
    for kind, steps in ((Line.COLUMNS, columns), (Line.ROWS, rows[~climate]), (Line.CLIMATE_ROWS, rows[climate])):
        largest[kind] = np.fmax.reduce(steps, axis=0, initial=-1)
    return np.where(largest < 0, np.nan, largest)


def _border(values_LRC: Array, tile: Tile, other: Tile) -> Border:
    edge = tile.cells
    if other.first_row == tile.first_row:
        pair = values_LRC[:, :edge, edge - 1 : edge + 1]
        return Border(Line.COLUMNS, other.name, _line_steps(pair, axis=2, edge=edge)[0])
    kind = Line.ROWS if other.first_row % CLIMATE_ROWS else Line.CLIMATE_ROWS
    return Border(kind, other.name, _line_steps(values_LRC[:, edge - 1 : edge + 1, :edge], axis=1, edge=edge)[0])


def _line_steps(values_LRC: Array, *, axis: int, edge: int) -> Array:
    """Steps across the lines between neighbours along an axis (lines, layers, statistics)."""
    pairs = np.moveaxis(np.diff(values_LRC, axis=axis), axis, 0)  # (lines, layers, along the line)
    present = np.isfinite(pairs)
    few = present.sum(axis=-1) < max(_LEAST_PAIRS, edge // _LEAST_SHARE)
    pairs = np.where(few[..., None], 0.0, pairs)
    steps = np.stack([np.abs(np.nanmedian(pairs, axis=-1)), np.nanmedian(np.abs(pairs), axis=-1)], axis=-1)
    return np.where(few[..., None], np.nan, steps)


def next_tiles(tile: Tile, grid: Grid) -> Iterator[Tile]:
    """Yield the tiles in the east and the south of one, as far as the grid goes."""
    row, col = tile.first_row, tile.first_col
    if col + tile.cells < grid.first_col + grid.cols:
        yield Tile.holding(row, col + tile.cells, cells=tile.cells)
    if row + tile.cells < grid.first_row + grid.rows:
        yield Tile.holding(row + tile.cells, col, cells=tile.cells)


@dataclass
class Seams:
    """All steps of the audited tile-years, judged once all are there."""

    by_year: dict[int, list[Steps]] = field(default_factory=dict)

    def add(self, steps: Steps) -> None:
        """Take the steps of one more tile-year."""
        self.by_year.setdefault(steps.year, []).append(steps)

    def judge(self) -> Iterator[tuple[str, int, Measured]]:
        """Yield tile, year and result of every border that can be compared with the inside of tiles."""
        for year, of_year in sorted(self.by_year.items()):
            largest = np.full((len(Line), len(LAYERS), 2), np.nan)
            for steps in of_year:
                largest = np.fmax(largest, steps.inside)
            ratios = {
                (steps.tile, border.beyond): _ratio(border, largest) for steps in of_year for border in steps.borders
            }
            for pair, found in ratios.items():
                if found is not None:
                    for tile in pair[:1] if found.passes else _blamed(pair, ratios):
                        yield tile, year, _with_place(found, pair)


def _ratio(border: Border, largest: Array) -> Measured | None:
    """Compare a border's steps with the largest inside; None where one of the two could not be measured."""
    inside = largest[border.kind]
    measured = np.isfinite(border.steps) & np.isfinite(inside)
    if not measured.any():
        return None
    with np.errstate(divide="ignore"):
        ratios = np.divide(border.steps, inside, out=np.zeros_like(inside), where=measured & (border.steps > 0))
    layer = LAYERS[int(ratios.max(axis=1).argmax())]
    return Measured(SEAMS, float(ratios.max()), int(measured.sum()), layer)


def _blamed(pair: tuple[str, str], ratios: dict[tuple[str, str], Measured | None]) -> list[str]:
    """Of the two tiles at a border, the one that fails at more of its borders; both where they are equal."""

    def failing(tile: str) -> int:
        return sum(tile in other and found is not None and not found.passes for other, found in ratios.items())

    most = max(map(failing, pair))
    return [tile for tile in pair if failing(tile) == most]


def _with_place(found: Measured, pair: tuple[str, str]) -> Measured:
    return Measured(found.check, found.worst, found.values, f"{found.why}, between {pair[0]} and {pair[1]}")
