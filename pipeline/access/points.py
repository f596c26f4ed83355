"""Points of users: the cell of the cube that holds each, given by its latitude and longitude."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from pipeline.access.dataset import OpenCube
from pipeline.access.polygons import TileShares
from pipeline.access.window import Window
from pipeline.errors import UserError
from pipeline.grid.sinusoidal import CELL_M, NORTH_M, WEST_M, Grid, sinusoidal

_NEAR_M = 10_000


@dataclass(frozen=True)
class Cell:
    """A modelled cell with its label: row and column of the cube's grid."""

    label: str
    row: int
    col: int

    @property
    def window(self) -> Window:
        """The window of the cell alone."""
        return Window(slice(self.row, self.row + 1), slice(self.col, self.col + 1))


def cell_at(cube: OpenCube, lat: float, lon: float, *, label: str = "") -> Cell:
    """Return the cell at a latitude and longitude [degree].

    Raises
    ------
    UserError
        If these are no finite numbers, the place lies outside the grid, or its cell is not modelled.
    """
    if not (_is_finite(lat) and _is_finite(lon)):
        raise UserError(f"lat {lat!r}, lon {lon!r}: not two numbers; give degrees, such as 40.05, -88.37")
    grid, lat, lon = cube.grid, float(lat), float(lon)
    x_m, y_m = sinusoidal(np.array(lon), np.array(lat))
    row = int(np.floor((NORTH_M - y_m) / CELL_M)) - grid.first_row
    col = int(np.floor((x_m - WEST_M) / CELL_M)) - grid.first_col
    if not (0 <= row < grid.rows and 0 <= col < grid.cols):
        raise UserError(f"lat {lat:g}, lon {lon:g} lies outside the cube, which {cube.reach}")
    cell = Cell(label, row, col)
    if not cube.modelled(cell.window).all():
        raise UserError(
            f"the cell at lat {lat:g}, lon {lon:g} is not modelled: corn and soybean cover too little of it, its "
            f"soil is unknown, or it lies outside the region{_nearest(cube, cell)}"
        )
    return cell


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _nearest(cube: OpenCube, cell: Cell) -> str:
    """Return the place of the nearest modelled cell within 10 km, in words."""
    grid, reach = cube.grid, round(_NEAR_M / CELL_M)
    window = Window(
        slice(max(cell.row - reach, 0), min(cell.row + reach + 1, grid.rows)),
        slice(max(cell.col - reach, 0), min(cell.col + reach + 1, grid.cols)),
    )
    rows, cols = np.nonzero(cube.modelled(window))
    if not rows.size:
        return f"; none is within {round(reach * CELL_M / 1000)} km"
    distance = np.hypot(rows + window.rows.start - cell.row, cols + window.cols.start - cell.col)
    nearest = int(distance.argmin())
    longitude, latitude = cube.part(window).lonlat()
    place = rows[nearest], cols[nearest]
    return (
        f"; the nearest that is modelled is {distance[nearest] * CELL_M / 1000:.1f} km away, at lat "
        f"{latitude[place]:.4f}, lon {longitude[place]:.4f}"
    )


def parse_point(text: str) -> tuple[float, float]:
    """Return latitude and longitude [degree] of text such as `40.05,-88.37`.

    Raises
    ------
    UserError
        If the text is anything else, or no place on Earth.

    Examples
    --------
    >>> parse_point("40.05,-88.37")
    (40.05, -88.37)
    """
    try:
        lat, lon = map(float, text.split(","))
    except ValueError:
        lat = lon = np.nan
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise UserError(
            f"--point {text!r}: not a latitude (-90 to 90) and longitude (-180 to 180), such as 40.05,-88.37"
        )
    return lat, lon


def cell_shares(cells: Sequence[Cell], grid: Grid) -> Iterator[TileShares]:
    """Yield cells as polygons that hold one cell in full each, tile by tile."""
    row_P, col_P = np.array([(cell.row, cell.col) for cell in cells]).T
    for tile in grid.tiles():
        rows, cols = grid.window(tile)
        of = np.flatnonzero((row_P >= rows.start) & (row_P < rows.stop) & (col_P >= cols.start) & (col_P < cols.stop))
        if of.size:
            row, col = row_P[of], col_P[of]
            window = Window(slice(int(row.min()), int(row.max()) + 1), slice(int(col.min()), int(col.max()) + 1))
            inside = np.ravel_multi_index((row - window.rows.start, col - window.cols.start), window.shape)
            ones = (np.ones(of.size), (np.arange(of.size), inside))
            yield TileShares(tile, window, of, csr_array(ones, shape=(of.size, int(np.prod(window.shape)))))
