"""Figures of analyses in one style: maps with state lines, sober axes, and a caption that names the data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.analysis.mosaic import ClassMosaic, Mosaic
from pipeline.basemap import (
    Extent,
    colourbar,
    draw_borders,
    draw_edges,
    draw_graticule,
    draw_scale,
    limits,
)
from pipeline.export.palettes import NOT_MODELLED, Ramp
from regions import Zone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT_YEAR = r"g C m$^{-2}$ yr$^{-1}$"
OURS, PAPER, QUIET = "#0072b2", "#d55e00", "#8a8f94"  # of Okabe and Ito, distinct to colour-blind readers
_LETTERS_PER_INCH = 12.0
_MAP_INCH = 4.6
_CLASS_LETTERS = 8  # of a line below a class of the colour bar


@dataclass(frozen=True)
class Style:
    """Title, unit and colours of a map."""

    title: str
    unit: str
    colours: Ramp
    range: tuple[float, float] | None = None


def sheet(panels: Sequence[Sequence[str]], size: tuple[float, float]) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure of a size [inch] with named panels, and the panels."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=size, layout="constrained")
    return drawing, drawing.subplot_mosaic([list(row) for row in panels])


def map_height(zones: Sequence[Zone], *, width: float = _MAP_INCH) -> float:
    """Return the height [inch] of a map of a region with its colour bar."""
    return width / Extent.around(zones).aspect + 1.2


def caption(drawing: Figure, title: str, text: str) -> None:
    """Write the title, and below it the origin of the data."""
    lines = textwrap.wrap(text, round(drawing.get_figwidth() * _LETTERS_PER_INCH), break_on_hyphens=False)
    drawing.suptitle("\n".join([title, *lines]), fontsize=11)


def draw_mosaic(axes: Axes, mosaic: Mosaic, zones: Sequence[Zone], style: Style) -> None:
    """Draw a map of block means, grey where no cell is modelled."""
    values = mosaic.means_YX
    low, high = style.range or limits(values[np.isfinite(values)], centred=style.colours.centred)
    mesh = draw_edges(
        axes,
        mosaic.x_edges_m,
        mosaic.y_edges_m,
        values,
        cmap=style.colours.colours,
        vmin=low,
        vmax=high,
        rasterized=True,
    )
    finish_map(axes, zones, style.title)
    draw_bar(axes, mesh, style)


def draw_bar(axes: Axes, mesh: Any, style: Style) -> None:
    """Draw the colour bar of a map of means."""
    bar = colourbar(axes, mesh, extend="both")
    bar.ax.locator_params(nbins=5)
    bar.set_label(f"{style.unit}\ngrey: not modelled or no result")


def draw_classes(axes: Axes, mosaic: ClassMosaic, *, names: Mapping[str, str]) -> None:
    """Draw a map of classes, given the colour of each by its name."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = np.arange(len(names) + 1) - 0.5
    blank = mosaic.blank
    mesh = draw_edges(
        axes, blank.x_edges_m, blank.y_edges_m, mosaic.largest_YX,
        cmap=ListedColormap(list(names.values())), norm=BoundaryNorm(edges, len(names)),
        rasterized=True,
    )  # fmt: skip
    bar = colourbar(axes, mesh, drawedges=True)
    bar.set_ticks(
        range(len(names)),
        labels=["\n".join(textwrap.wrap(name, _CLASS_LETTERS, break_long_words=False)) for name in names],
    )
    bar.ax.tick_params(length=0, labelsize=7)


def finish_map(axes: Axes, zones: Sequence[Zone], title: str) -> None:
    """Draw borders, graticule and scale, and write the title of a map."""
    extent = Extent.around(zones)
    draw_borders(axes, zones)
    draw_graticule(axes, extent, background=NOT_MODELLED)
    draw_scale(axes, extent)
    axes.set_title(title, fontsize=10)


def finish(axes: Axes, title: str, **labels: Any) -> None:
    """Write the title and labels of a graph, and remove the upper and right spine."""
    axes.set_title(title, fontsize=10)
    axes.set(**labels)
    axes.spines[["top", "right"]].set_visible(False)


def draw_histogram(axes: Axes, edges: NDArray[np.float64], shares: NDArray[np.float64], **style: Any) -> None:
    """Draw shares of the area [%] between edges as a step line with a filled area."""
    colour = style.pop("color", OURS)
    axes.stairs(100 * shares, edges, color=colour, linewidth=1.4, **style)
    axes.stairs(100 * shares, edges, color=colour, alpha=0.2, fill=True)
