"""Picture of a year: maps of crop, fluxes, yield and soil carbon change, and the daily course of NEE by crop."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline import basemap
from pipeline.errors import UserError
from pipeline.export.layers import CROPS, periods
from pipeline.export.palettes import CROP_COLOURS, NOT_GROWN, NOT_MODELLED, ramp
from pipeline.export.year_values import CROP, NAMES, YearValues, read_year
from pipeline.job import Job
from regions import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT_YEAR, UNIT_DAY = r"g C m$^{-2}$ yr$^{-1}$", r"g C m$^{-2}$ d$^{-1}$"

_PANEL_INCH, _LARGE_PANEL_INCH = 3.6, 6.5
_COLUMNS = 3
_LETTERS_PER_INCH = 14  # of the caption


@dataclass(frozen=True)
class Panel:
    """Name and title of an annual layer."""

    name: str
    title: str


PANELS = (
    Panel("gpp", "Gross primary production"),
    Panel("reco", "Ecosystem respiration"),
    Panel("nee", "Net ecosystem exchange\n(positive to the atmosphere)"),
    Panel("yield", "Grain yield"),
    Panel("dsoc", "Soil carbon change\n(positive where soil gains carbon)"),
    Panel("ra", "Autotrophic respiration"),
    Panel("rh", "Heterotrophic respiration"),
    Panel("residue", "Crop residue"),
)
_PANELS = {panel.name: panel for panel in PANELS}


def names_of(text: str | None) -> tuple[str, ...]:
    """Return the maps that text such as `dsoc,nee` names, or those drawn by default; raises `UserError`.

    Examples
    --------
    >>> names_of("dsoc, nee")
    ('dsoc', 'nee')
    """
    if not text:
        return NAMES
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    known = (CROP, *_PANELS)
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"--variables {text!r}: no map of {', '.join(map(repr, unknown))}; choose among {', '.join(known)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    return names


def write_map(path: Path, job: Job, *, year: int | None = None, note: str = "") -> None:
    """Draw a year of the cube, or its last one, as a PNG; parameters and errors are those of `read_year`."""
    save(path, read_year(job, year=year, note=note))


def save(path: Path, data: YearValues) -> None:
    """Draw the values of a year as a PNG."""
    figure(data).savefig(path, dpi=110, format="png")


def figure(data: YearValues) -> Figure:
    """Return maps, three to a row, and the courses of NEE below that of NEE."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    extent, number = basemap.Extent.around(data.zones), len(data.names)
    columns, rows = min(number, _COLUMNS), -(-number // _COLUMNS)
    panel = _PANEL_INCH if columns == _COLUMNS else _LARGE_PANEL_INCH
    width, height = columns * panel + 1, panel / extent.aspect + 1.3
    courses = [2.6] if "nee" in data.names else []
    caption = textwrap.wrap(data.caption, round(width * _LETTERS_PER_INCH))
    title = textwrap.wrap(f"Cropland carbon in {data.year}, {data.title}", round(width * _LETTERS_PER_INCH * 0.58))
    title += [data.note] if data.note else []
    above, below = 0.28 * len(title) + 0.15, 0.17 * len(caption) + 0.1
    total = rows * height + sum(courses) + above + below
    # Space of its own: the layout would not keep titles of maps, whose height it learns late, out of it.
    space = ConstrainedLayoutEngine(rect=(0, below / total, 1, 1 - (above + below) / total))
    drawing = Figure(figsize=(width, total), layout=space)
    drawing.suptitle("\n".join(title), fontsize=15, y=1 - 0.08 / total).set_in_layout(False)
    drawing.supxlabel("\n".join(caption), fontsize=9, color="0.3", y=0.06 / total).set_in_layout(False)
    places = drawing.add_gridspec(rows + len(courses), columns, height_ratios=[height] * rows + courses)
    maps = [drawing.add_subplot(places[place // columns, place % columns]) for place in range(number)]
    for axes, name in zip(maps, data.names, strict=True):
        _draw_map(axes, data, name, extent)
    basemap.draw_scale(maps[0], extent)
    if courses:
        _draw_courses(drawing.add_subplot(places[rows, :]), data)
    drawing.draw_without_rendering()  # the layout settles with the second drawing
    return drawing


def _draw_map(axes: Axes, data: YearValues, name: str, extent: basemap.Extent) -> None:
    if name == CROP:
        _draw_crop(axes, data)
    else:
        _draw_layer(axes, data, _PANELS[name])
    basemap.draw_borders(axes, data.zones)
    basemap.draw_graticule(axes, extent, background=NOT_MODELLED)
    if name == data.names[0]:
        basemap.name_counties(axes, data.zones, extent)


def _draw_crop(axes: Axes, data: YearValues) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    codes = sorted({0, *CROPS.values()})
    edges = [-0.5, *(code - 0.5 for code in codes[1:]), codes[-1] + 0.5]
    colours = ListedColormap([NOT_GROWN, *(CROP_COLOURS[name] for name in CROPS)])
    mesh = basemap.draw_cells(axes, data.grid, data.crop, cmap=colours, norm=BoundaryNorm(edges, len(codes)))
    axes.set_title("Crop grown", fontsize=11)
    bar = basemap.colourbar(axes, mesh, drawedges=True)
    bar.set_ticks(np.add(edges[:-1], edges[1:]) / 2, labels=["neither", *CROPS])
    bar.ax.tick_params(length=0)
    bar.set_label("grey: not modelled or no result")


def _draw_layer(axes: Axes, data: YearValues, panel: Panel) -> None:
    values = data.layers[panel.name]
    present = values[np.isfinite(values)]
    colours = ramp(panel.name)
    low, high = basemap.limits(present, centred=colours.centred)
    mesh = basemap.draw_cells(axes, data.grid, values, cmap=colours.colours, vmin=low, vmax=high)
    axes.set_title(panel.title, fontsize=11)
    bar = basemap.colourbar(axes, mesh, extend="both")
    bar.ax.locator_params(nbins=5)
    bar.set_label(f"{UNIT_YEAR}{_mean_of_cells(present)}\ngrey: not modelled or no result")


def _mean_of_cells(present: NDArray[np.floating]) -> str:
    if not present.size:
        return ""
    return f", mean of cells {round(float(present.mean())):,}".replace("-", "\N{MINUS SIGN}")


def _draw_courses(axes: Axes, data: YearValues) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8)
    for name, course in data.courses.items():
        axes.plot(np.arange(course.size), course, color=CROP_COLOURS[name], linewidth=1.6, label=name)
    months = list(periods(data.year, "monthly"))
    axes.set_xticks([month.days.start for month in months], [f"{month.first:%b}" for month in months])
    axes.set_title("Daily net ecosystem exchange, mean over the cells of each crop", fontsize=11)
    axes.set(ylabel=UNIT_DAY, xlim=(0, months[-1].days.stop - 1))
    axes.spines[["top", "right"]].set_visible(False)
    if data.courses:
        axes.legend(frameon=False)
