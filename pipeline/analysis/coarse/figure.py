"""Figure of the coarse run: fine and coarse map of dSOC, their difference, and coarse against averaged fine cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.aggregate.sums import means
from pipeline.analysis import figures
from pipeline.analysis.cells import Floats
from pipeline.analysis.subject import Subject
from pipeline.basemap import MOST_CELLS, limits
from pipeline.export.palettes import Ramp, ramp
from pipeline.grid.latlon import LatLonGrid
from regions import Zone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_DRAWN = 30  # cells of a map that shows something


@dataclass(frozen=True, eq=False)
class FinePicture:
    """Block means of the fine map, few enough for a picture: area, and area x value (2, Y, X)."""

    grid: LatLonGrid
    factor: int
    sums_2YX: Floats

    @classmethod
    def of(cls, grid: LatLonGrid) -> FinePicture:
        """Return the empty picture of a grid."""
        factor = -(-max(grid.shape) // MOST_CELLS)
        return cls(grid, factor, np.zeros((2, -(-grid.rows // factor), -(-grid.cols // factor))))

    def add(self, part: LatLonGrid, values: Floats, area_m2: Floats) -> None:
        """Add values on a part of the grid, NaN where there are none."""
        rows, cols = (np.arange(each.start, each.stop) // self.factor for each in self.grid.window(part))
        present = np.isfinite(values) & (area_m2 > 0)
        row, col = (index[present] for index in np.meshgrid(rows, cols, indexing="ij"))
        np.add.at(self.sums_2YX[0], (row, col), area_m2[present])
        np.add.at(self.sums_2YX[1], (row, col), area_m2[present] * values[present])

    @property
    def means_YX(self) -> Floats:
        """Means of the blocks."""
        return means(self.sums_2YX[1], self.sums_2YX[0])


@dataclass(frozen=True, eq=False)
class CoarsePicture:
    """Coarse dSOC and the fine one averaged to its cells (Y, X), and the size of these in degrees."""

    step: str
    grid: LatLonGrid
    coarse_YX: Floats
    fine_YX: Floats


def draw(subject: Subject, fine: FinePicture, coarse: CoarsePicture, *, title: str) -> Figure:
    """Return the figure."""
    height = figures.map_height(subject.zones)
    drawing, panels = figures.sheet([["fine", "coarse"], ["difference", "pairs"]], (10.5, 2 * height + 0.8))
    present = fine.means_YX[np.isfinite(fine.means_YX)]
    shown, colours = limits(present, centred=True), ramp("dsoc")
    difference = coarse.coarse_YX - coarse.fine_YX
    spread = limits(difference[np.isfinite(difference)], centred=True)
    maps = {
        "fine": (fine.grid, fine.factor, fine.means_YX, figures.Style(
            "250 m inputs, on 0.0025 degree", figures.UNIT_YEAR, colours, shown)),
        "coarse": (coarse.grid, 1, coarse.coarse_YX, figures.Style(
            f"Inputs averaged to {coarse.step} degree", figures.UNIT_YEAR, colours, shown)),
        "difference": (coarse.grid, 1, difference, figures.Style(
            "Coarse - fine, averaged to the coarse cells", figures.UNIT_YEAR, Ramp("PuOr", centred=True), spread)),
    }  # fmt: skip
    for name, (grid, factor, values, style) in maps.items():
        _draw_map(panels[name], (grid, factor), values, zones=subject.zones, style=style)
    _draw_pairs(panels["pairs"], coarse)
    figures.caption(drawing, title, subject.caption)
    return drawing


def _draw_map(
    axes: Axes, of: tuple[LatLonGrid, int], values: Floats, *, zones: Sequence[Zone], style: figures.Style
) -> None:
    grid, factor = of
    lon = (grid.first_col + np.append(np.arange(0, grid.cols, factor), grid.cols)) / grid.per_degree - 180
    lat = 90 - (grid.first_row + np.append(np.arange(0, grid.rows, factor), grid.rows)) / grid.per_degree
    assert style.range is not None
    low, high = style.range
    mesh = axes.pcolormesh(
        lon, lat, np.ma.masked_invalid(values), cmap=style.colours.colours, vmin=low, vmax=high, rasterized=True
    )
    figures.finish_map(axes, zones, style.title)
    figures.draw_bar(axes, mesh, style)


def _draw_pairs(axes: Axes, coarse: CoarsePicture) -> None:
    pairs = np.isfinite(coarse.coarse_YX) & np.isfinite(coarse.fine_YX)
    x, y = coarse.fine_YX[pairs], coarse.coarse_YX[pairs]
    axes.plot(x, y, "o", markersize=3, color=figures.OURS, alpha=0.6)
    if x.size:
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        axes.plot([low, high], [low, high], color="0.4", linewidth=0.8)
    figures.finish(
        axes, f"Cells of {coarse.step} degree", xlabel=f"fine, averaged [{figures.UNIT_YEAR}]",
        ylabel=f"coarse [{figures.UNIT_YEAR}]",
    )  # fmt: skip
