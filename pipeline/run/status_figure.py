"""The state of the tile-years as a picture: one small map of the region's tiles for each year."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.cube.ledger import Status
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.job import Job
from pipeline.run.status import Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_LEAST_INCHES, _MOST_INCHES = 7.0, 13.0  # width of the picture
_PANEL_INCHES = 3.2  # longer side of a panel, at most
_IN_ONE_ROW, _MOST_COLUMNS = 4, 6
_LINED = 24  # tiles along a side up to which each has an outline

# They differ in lightness as well as in hue, so that they can be told apart without seeing colours; darkest is worst.
_COLOURS = {
    Status.DONE: "#2f6fa3",
    Status.STALE: "#e8a020",
    Status.FAILED: "#5c0a1e",
    Status.MISSING: "#c4c4c4",
    Status.UNCHECKED: "#b5dcf0",
}
_ORDER = tuple(_COLOURS)
_OUTSIDE, _WAITING = -1, len(_ORDER)
_WAITING_COLOUR = "#f0f0f0"


def write_figure(job: Job, found: Standing, path: Path) -> None:
    """Write the picture as PNG."""
    figure(job, found).savefig(path, dpi=_DPI, format="png")


def figure(job: Job, found: Standing) -> Figure:
    """Draw one panel per year, and a legend with the number of tile-years."""
    from matplotlib.figure import Figure

    columns = _columns(len(found.years), job.grid)
    rows = math.ceil(len(found.years) / columns)
    aspect = job.grid.rows / job.grid.cols
    width = min(_MOST_INCHES / columns, _PANEL_INCHES / max(aspect, 1))
    height = rows * (width * aspect + 0.35) + 1.1
    drawing = Figure(figsize=(max(columns * width, _LEAST_INCHES), height), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, year in zip(panels, found.years, strict=False):
        _draw(panel, codes(job.grid, found, year))
        panel.set_title(f"{year}  {_in_short(found, year)}", fontsize=9, loc="left")
    _legend(drawing, job, found)
    return drawing


def codes(grid: Grid, found: Standing, year: int) -> NDArray[np.int8]:
    """Return the place of each tile's status in the order of the legend, on the grid of tiles (rows, cols).

    Where no tile with modelled cells is, -1; where one is that has no status that year, the number of statuses.
    """
    edge = grid.tile_cells
    out = np.full((grid.rows // edge, grid.cols // edge), _OUTSIDE, np.int8)
    for name in {name for name, _ in found.states}:
        rows, cols = grid.window(Tile.parse(name, cells=edge))
        state = found.states.get((name, year))
        out[rows.start // edge, cols.start // edge] = _ORDER.index(state.status) if state else _WAITING
    return out


def _columns(years: int, grid: Grid) -> int:
    """Return how many panels stand beside each other: all of a few, else about as many as make the whole square."""
    if years <= _IN_ONE_ROW:
        return years
    return min(years, _MOST_COLUMNS, round(math.sqrt(years * max(grid.rows / grid.cols, 1))) + 1)


def _draw(panel: Axes, values: NDArray[np.int8]) -> None:
    from matplotlib.colors import ListedColormap

    rows, cols = values.shape
    panel.pcolormesh(
        np.arange(cols + 1),
        np.arange(rows + 1),
        np.ma.masked_equal(values, _OUTSIDE),
        cmap=ListedColormap([*_COLOURS.values(), _WAITING_COLOUR]),
        vmin=-0.5,
        vmax=_WAITING + 0.5,
        edgecolors="white" if max(rows, cols) <= _LINED else "none",
        linewidth=0.5,
    )
    panel.set_aspect("equal")
    panel.set_xlim(0, cols)
    panel.set_ylim(rows, 0)  # north is up


def _in_short(found: Standing, year: int) -> str:
    """Say what share is done, or why nothing is shown."""
    count = found.count(year)
    if year in found.blocked:
        return f"waits for {', '.join(found.blocked[year])}"
    if not count.total():
        return "no tile known"
    if count[Status.DONE] == count.total():
        return "done"
    # Rounded down: a year that lacks a tile is never 100 % done.
    return f"{100 * count[Status.DONE] // count.total()} % done"


def _legend(drawing: Figure, job: Job, found: Standing) -> None:
    from matplotlib.patches import Patch

    count = found.count()
    shown = [status for status in _ORDER if status is not Status.UNCHECKED or count[status]]
    handles = [Patch(color=_COLOURS[status], label=f"{status.value} {count[status]:,}") for status in shown]
    drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    cells = job.grid.tile_cells
    at = f", cube {found.snapshot[:8]}" if found.snapshot else ", no cube yet"
    drawing.suptitle(f"{job.region.title}: tile-years, tiles of {cells} x {cells} cells{at}", fontsize=11)
