"""Picture of a year: maps of crop, fluxes, yield and soil carbon change, and the daily course of NEE by crop."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.export.layers import CROPS, periods
from pipeline.export.palettes import CROP_COLOURS, NOT_GROWN, NOT_MODELLED, ramp
from pipeline.export.year_values import CROP, NAMES, YearValues, read_year
from pipeline.grid.sinusoidal import Grid, lonlat
from pipeline.job import Job
from regions import Zone, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT_YEAR, UNIT_DAY = r"g C m$^{-2}$ yr$^{-1}$", r"g C m$^{-2}$ d$^{-1}$"

_PANEL_INCH, _LARGE_PANEL_INCH = 3.6, 6.5
_COLUMNS = 3
_MOST_CELLS = 1200  # along a side; a larger grid is thinned, since the picture has no more pixels
_STEPS_DEGREE = (0.1, 0.5, 1, 2, 5, 10)
_BARS_KM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_KM_PER_DEGREE = 111.2
_NAMED_ZONES = 8  # more names than these would hide the map
_OUTLINED_ZONES = 150  # lines of more counties than these would hide it too: states are drawn alone
_LETTERS_PER_INCH = 9.5  # of the title


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

    extent, number = _Extent.around(data.zones), len(data.names)
    columns, rows = min(number, _COLUMNS), -(-number // _COLUMNS)
    panel = _PANEL_INCH if columns == _COLUMNS else _LARGE_PANEL_INCH
    width, height = columns * panel + 1, panel / extent.aspect + 1
    courses = [2.6] if "nee" in data.names else []
    caption = textwrap.wrap(data.caption, round(width * _LETTERS_PER_INCH))
    drawing = Figure(figsize=(width, rows * height + sum(courses) + 0.3 * (len(caption) + 1)), layout="constrained")
    drawing.suptitle("\n".join([f"{data.title}, {data.year}", *caption]), fontsize=13)
    places = drawing.add_gridspec(rows + len(courses), columns, height_ratios=[height] * rows + courses)
    maps = [drawing.add_subplot(places[place // columns, place % columns]) for place in range(number)]
    for axes, name in zip(maps, data.names, strict=True):
        _draw_map(axes, data, name, extent)
    _draw_scale(maps[0], extent)
    if courses:
        _draw_courses(drawing.add_subplot(places[rows, :]), data)
    return drawing


def _draw_map(axes: Axes, data: YearValues, name: str, extent: _Extent) -> None:
    if name == CROP:
        _draw_crop(axes, data)
    else:
        _draw_layer(axes, data, _PANELS[name])
    _draw_borders(axes, data.zones)
    _draw_graticule(axes, extent)
    if name == data.names[0] and len(data.zones) <= _NAMED_ZONES:
        _name_counties(axes, data.zones)


@dataclass(frozen=True)
class _Extent:
    """Extent of the maps [degree]: the region and a margin."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def around(cls, counties: Sequence[Zone]) -> _Extent:
        west, south, east, north = shapely.total_bounds([zone.geometry for zone in counties])
        margin = 0.02 * (north - south)
        return cls(west - margin, south - margin, east + margin, north + margin)

    @property
    def km_per_degree_east(self) -> float:
        return _KM_PER_DEGREE * float(np.cos(np.radians((self.south + self.north) / 2)))

    @property
    def aspect(self) -> float:
        """Width over height on the ground."""
        east, north = self.east - self.west, self.north - self.south
        return east * self.km_per_degree_east / (north * _KM_PER_DEGREE)


def _draw_cells(axes: Axes, grid: Grid, values: NDArray[np.floating], **colours: Any) -> Any:
    """Draw cells by their true corners, which are slanted in longitude and latitude; every n-th if there are many."""
    # Corners, not centres: matplotlib would guess corners halfway, along the axes.
    thin = -(-max(grid.shape) // _MOST_CELLS)
    x_m, y_m = (np.append(edges[:-1:thin], edges[-1]) for edges in (grid.x_edges_m, grid.y_edges_m))
    corners = lonlat(*np.meshgrid(x_m, y_m))
    return axes.pcolormesh(*corners, np.ma.masked_invalid(values[::thin, ::thin]), rasterized=True, **colours)


def _draw_crop(axes: Axes, data: YearValues) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    codes = sorted({0, *CROPS.values()})
    edges = [-0.5, *(code - 0.5 for code in codes[1:]), codes[-1] + 0.5]
    colours = ListedColormap([NOT_GROWN, *(CROP_COLOURS[name] for name in CROPS)])
    mesh = _draw_cells(axes, data.grid, data.crop, cmap=colours, norm=BoundaryNorm(edges, len(codes)))
    axes.set_title("Crop grown", fontsize=11)
    bar = _colourbar(axes, mesh, drawedges=True)
    bar.set_ticks(np.add(edges[:-1], edges[1:]) / 2, labels=["neither", *CROPS])
    bar.ax.tick_params(length=0)
    bar.set_label("grey: not modelled or no result")


def _draw_layer(axes: Axes, data: YearValues, panel: Panel) -> None:
    values = data.layers[panel.name]
    present = values[np.isfinite(values)]
    colours = ramp(panel.name)
    low, high = _limits(present, centred=colours.centred)
    mesh = _draw_cells(axes, data.grid, values, cmap=colours.colours, vmin=low, vmax=high)
    axes.set_title(panel.title, fontsize=11)
    bar = _colourbar(axes, mesh, extend="both")
    bar.ax.locator_params(nbins=5)
    bar.set_label(f"{UNIT_YEAR}{_mean_of_cells(present)}\ngrey: not modelled or no result")


def _mean_of_cells(present: NDArray[np.floating]) -> str:
    if not present.size:
        return ""
    return f", mean of cells {round(float(present.mean())):,}".replace("-", "\N{MINUS SIGN}")


def _colourbar(axes: Axes, mesh: Any, **options: Any) -> Any:
    drawing = axes.get_figure()
    assert drawing is not None
    return drawing.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.9, pad=0.02, aspect=24, **options)


def _limits(present: NDArray[np.floating], *, centred: bool) -> tuple[float, float]:
    """Return the range of colours: that of the middle 96 % of cells, so that a few outliers do not fade the others."""
    if not present.size:
        return -1.0, 1.0
    low, high = np.percentile(present, [2, 98])
    # Around zero for signed fluxes, so that colours separate sources from sinks.
    if centred:
        low, high = -max(-low, high), max(-low, high)
    return float(low), float(high)


def _draw_borders(axes: Axes, counties: Sequence[Zone]) -> None:
    """Draw the outlines of states, and thinner ones of counties if they are few."""
    if len(counties) <= _OUTLINED_ZONES:
        _draw_lines(axes, [zone.geometry for zone in counties], 0.7)
    _draw_lines(axes, list(states(counties).values()), 1.4)


def _draw_lines(axes: Axes, outlines: Sequence[shapely.Geometry], width: float) -> None:
    from matplotlib.collections import LineCollection

    lines = shapely.get_parts(shapely.boundary(outlines))
    borders = [shapely.get_coordinates(line) for line in lines]
    axes.add_collection(LineCollection(borders, colors="0.15", linewidths=width))


def _draw_graticule(axes: Axes, extent: _Extent) -> None:
    """Set the extent, and draw meridians and parallels of round degrees."""
    axes.set(xlim=(extent.west, extent.east), ylim=(extent.south, extent.north), facecolor=NOT_MODELLED)
    # A degree of longitude is shorter than one of latitude: drawn at the ratio of the region's middle.
    axes.set_aspect(_KM_PER_DEGREE / extent.km_per_degree_east)
    step = next((step for step in _STEPS_DEGREE if (extent.east - extent.west) / step <= 5), _STEPS_DEGREE[-1])
    meridians, parallels = _multiples(extent.west, extent.east, step), _multiples(extent.south, extent.north, step)
    axes.set_xticks(meridians, [f"{abs(lon):g}° {'W' if lon < 0 else 'E'}" for lon in meridians])
    axes.set_yticks(parallels, [f"{abs(lat):g}° {'N' if lat > 0 else 'S'}" for lat in parallels])
    axes.tick_params(labelsize=9, length=2)
    axes.grid(color="0.35", linewidth=0.6, linestyle=(0, (4, 4)))


def _multiples(start: float, stop: float, step: float) -> list[float]:
    """Multiples of a step between two numbers.

    Examples
    --------
    >>> _multiples(-89.7, -88.4, 0.5)
    [-89.5, -89.0, -88.5]
    """
    return [round(number * step, 6) for number in range(int(np.ceil(start / step)), int(np.floor(stop / step)) + 1)]


def _name_counties(axes: Axes, counties: Sequence[Zone]) -> None:
    for zone in counties:
        place = shapely.point_on_surface(zone.geometry)
        axes.annotate(
            zone.name, (place.x, place.y), ha="center", fontsize=8, color="0.2", path_effects=[_halo()], clip_on=True
        )


def _halo() -> Any:
    """A white rim that keeps letters legible on a map."""
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=2.5, foreground="white", alpha=0.85)


def _draw_scale(axes: Axes, extent: _Extent) -> None:
    """Draw a bar of round length at the lower left."""
    width = extent.east - extent.west
    length = max((km for km in _BARS_KM if km <= width * extent.km_per_degree_east / 4), default=_BARS_KM[0])
    left, low = extent.west + 0.05 * width, extent.south + 0.05 * (extent.north - extent.south)
    right = left + length / extent.km_per_degree_east
    axes.plot([left, right], [low, low], color="black", linewidth=3, solid_capstyle="butt")
    axes.annotate(f"{length} km", (left, low), (0, 4), textcoords="offset points", path_effects=[_halo()], fontsize=9)


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
