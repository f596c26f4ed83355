"""The status of the tile-years as a figure: a map of the region's tiles for each year."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import basemap
from pipeline.cube.entry import Status
from pipeline.grid.sinusoidal import Grid, Tile
from pipeline.job import Job
from pipeline.run.status import TileYearStatus
from regions import zones

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_LEAST_INCHES, _MOST_INCHES = 7.0, 13.0  # width of the picture
_PANEL_INCHES = 3.2  # longer side of a panel, at most
_IN_ONE_ROW, _MOST_COLUMNS = 4, 6
_OUTLINED = 24  # tiles along a side up to which each is drawn with an outline

# The colours differ in lightness as well as in hue, so that readers with any colour vision can distinguish them; the
# darkest one is the worst status.
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


def write_figure(job: Job, found: TileYearStatus, path: Path) -> None:
    """Write the figure as PNG."""
    figure(job, found).savefig(path, dpi=_DPI, format="png")


def figure(job: Job, found: TileYearStatus) -> Figure:
    """Return the figure: a panel for each year, and a legend with the number of tile-years by status."""
    from matplotlib.figure import Figure

    counties = zones(job.region)
    extent = basemap.Extent.around(counties)
    aspect = 1 / extent.aspect
    columns = _columns(len(found.years), aspect)
    rows = math.ceil(len(found.years) / columns)
    width = min(_MOST_INCHES / columns, _PANEL_INCHES / max(aspect, 1))
    height = rows * (width * aspect + 0.5) + 1.1
    drawing = Figure(figsize=(max(columns * width, _LEAST_INCHES), height), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, year in zip(panels, found.years, strict=False):
        _draw(panel, job.grid, codes(job.grid, found, year))
        basemap.draw_borders(panel, counties)
        basemap.draw_graticule(panel, extent, background="white", font=7)
        panel.set_axis_on()
        panel.set_title(f"{year}  {_in_short(found, year)}", fontsize=9, loc="left")
    _legend(drawing, job, found)
    return drawing


def codes(grid: Grid, found: TileYearStatus, year: int) -> NDArray[np.int8]:
    """Return the index of each tile's status in the legend, on the grid of tiles (rows, cols).

    It is -1 where no tile has modelled cells, and the number of statuses for a tile without a status in that year.
    """
    edge = grid.tile_cells
    out = np.full((grid.rows // edge, grid.cols // edge), _OUTSIDE, np.int8)
    for name in {name for name, _ in found.states}:
        rows, cols = grid.window(Tile.parse(name, cells=edge))
        state = found.states.get((name, year))
        out[rows.start // edge, cols.start // edge] = _ORDER.index(state.status) if state else _WAITING
    return out


def _columns(years: int, aspect: float) -> int:
    """Return the number of panels in a row: all of a few, otherwise as many as make the figure about square."""
    if years <= _IN_ONE_ROW:
        return years
    return min(years, _MOST_COLUMNS, round(math.sqrt(years * max(aspect, 1))) + 1)


def _draw(panel: Axes, grid: Grid, values: NDArray[np.int8]) -> None:
    from matplotlib.colors import ListedColormap

    basemap.draw_blocks(
        panel,
        grid,
        np.ma.masked_equal(values, _OUTSIDE),
        edge=grid.tile_cells,
        cmap=ListedColormap([*_COLOURS.values(), _WAITING_COLOUR]),
        vmin=-0.5,
        vmax=_WAITING + 0.5,
        edgecolors="white" if max(values.shape) <= _OUTLINED else "none",
        linewidth=0.5,
    )


def _in_short(found: TileYearStatus, year: int) -> str:
    """Return the share of a year's tile-years that is done, or the reason why nothing is shown."""
    count = found.count(year)
    if year in found.blocked:
        return f"waits for {', '.join(found.blocked[year])}"
    if not count.total():
        return "tiles unknown"
    if count[Status.DONE] == count.total():
        return "done"
    # Rounded down, so that a year with a missing tile is never 100 % done.
    return f"{100 * count[Status.DONE] // count.total()} % done"


def _legend(drawing: Figure, job: Job, found: TileYearStatus) -> None:
    from matplotlib.patches import Patch

    count = found.count()
    shown = [status for status in _ORDER if status is not Status.UNCHECKED or count[status]]
    handles = [Patch(color=_COLOURS[status], label=f"{status.value} {count[status]:,}") for status in shown]
    drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    cells = job.grid.tile_cells
    at = f", cube {found.snapshot[:8]}" if found.snapshot else ", no cube yet"
    drawing.suptitle(f"{job.region.title}: tile-years, tiles of {cells} x {cells} cells{at}", fontsize=11)
