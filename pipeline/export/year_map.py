"""One picture of a year: crop, fluxes, yield and soil carbon change of every cell, and the course of NEE by crop."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
import zarr
from numpy.typing import NDArray

from model.features import CORN, SOYBEAN
from pipeline.export.layers import Layer, periods, read_cells, variables
from pipeline.grid.sinusoidal import Grid, lonlat
from pipeline.job import Job
from pipeline.run.provenance import YearRecord, read_records
from pipeline.storage import repository
from pipeline.variables import Quality
from regions import Zone, zones

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNIT_YEAR, UNIT_DAY = r"g C m$^{-2}$ yr$^{-1}$", r"g C m$^{-2}$ d$^{-1}$"
CROPS = {"corn": (CORN, "#e0a526"), "soybean": (SOYBEAN, "#3f7f6b")}
NOT_GROWN, NOT_MODELLED = "#c9c9c9", "#f4f4f4"

_PANEL_INCH = 3.6
_MOST_CELLS = 1200  # along a side; a larger grid is thinned, for a picture has no more dots
_MOST_TILES = 32  # whose days are read; of a larger region, tiles evenly spread stand for all
_STEPS_DEGREE = (0.1, 0.5, 1, 2, 5, 10)
_BARS_KM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_KM_PER_DEGREE = 111.2
_NAMED_ZONES = 8  # more names than these would hide the map


@dataclass(frozen=True)
class Panel:
    """How an annual layer is drawn; `centred` puts 0 in the middle of the colours."""

    name: str
    title: str
    colours: str
    centred: bool = False


# Green is carbon going into the land, brown is carbon leaving it.
PANELS = (
    Panel("gpp", "Gross primary production", "YlGn"),
    Panel("reco", "Ecosystem respiration", "YlOrBr"),
    Panel("nee", "Net ecosystem exchange, + to the atmosphere", "BrBG_r", centred=True),
    Panel("yield", "Grain yield", "YlGnBu"),
    Panel("dsoc", "Soil carbon change, + gain", "BrBG", centred=True),
)


@dataclass(frozen=True, eq=False)
class YearMap:
    """What the picture shows.

    Attributes
    ----------
    title, caption
        What and where; what weights and which data.
    grid
        Of the layers.
    zones
        Counties, whose borders are drawn.
    layers
        Annual fluxes (rows, cols) [g C m-2 yr-1], NaN where nothing is modelled, by the names of `PANELS`.
    crop
        Crop code grown (rows, cols); 0 where neither is this year, NaN where nothing is modelled.
    courses
        Mean daily NEE (T,) [g C m-2 d-1] of the cells where each crop is grown, by its name; absent without such cells.
    """

    title: str
    year: int
    caption: str
    grid: Grid
    zones: tuple[Zone, ...]
    layers: Mapping[str, NDArray[np.floating]]
    crop: NDArray[np.floating]
    courses: Mapping[str, NDArray[np.float64]]


def write_map(path: Path, job: Job, *, year: int | None = None, note: str = "") -> None:
    """Draw a year of the cube, or its last one, as a PNG.

    Parameters
    ----------
    note
        What else a viewer must know, such as that the archives are synthetic.

    Raises
    ------
    UserError
        If the cube has no result, or none of that year.
    """
    figure(read_year(job, year=year, note=note)).savefig(path, dpi=110, format="png")


def read_year(job: Job, *, year: int | None = None, note: str = "") -> YearMap:
    """Read what the picture of a year, or of the last one, shows; raises as `write_map`."""
    root = repository.read(job.open_cube())
    record = read_records(job, root, years=() if year is None else (year,)).years[-1]
    (period,) = periods(record.year, "annual")
    known = variables("250m", "annual")

    def read(name: str) -> NDArray[Any]:
        return read_cells(root, Layer(known[name], period), tiles=record.tiles).values

    layers = {panel.name: read(panel.name) for panel in PANELS}
    grown = (read("quality") & Quality.NOT_GROWN) == 0
    crop = np.where(np.isfinite(layers["gpp"]), np.where(grown, read("crop"), 0), np.nan)
    return YearMap(
        title=job.region.title,
        year=record.year,
        caption="; ".join([*([note] if note else []), f"weights ({record.origin})", *record.notes()]),
        grid=job.grid,
        zones=zones(job.region),
        layers=layers,
        crop=crop,
        courses=_courses(root, job.grid, record, crop),
    )


def _courses(
    root: zarr.Group, grid: Grid, record: YearRecord, crop: NDArray[np.floating]
) -> dict[str, NDArray[np.float64]]:
    sums: dict[str, NDArray[np.float64]] = {}
    cells: dict[str, int] = {}
    for tile in record.tiles[:: -(-len(record.tiles) // _MOST_TILES)]:
        window = grid.window(tile)
        nee = np.asarray(repository.array(root, f"daily/{record.year}/nee")[:, *window])
        for name, (code, _) in CROPS.items():
            chosen = crop[window] == code
            if chosen.any():
                sums[name] = sums.get(name, 0) + nee[:, chosen].sum(axis=1, dtype=np.float64)
                cells[name] = cells.get(name, 0) + int(chosen.sum())
    return {name: sums[name] / cells[name] for name in CROPS if name in sums}


def figure(year_map: YearMap) -> Figure:
    """Return six maps and, below, the courses of NEE."""
    from matplotlib.figure import Figure

    extent = _Extent.around(year_map.zones)
    height = _PANEL_INCH / extent.aspect
    drawing = Figure(figsize=(3 * _PANEL_INCH + 1, 2 * height + 5.4), layout="constrained")
    caption = textwrap.wrap(year_map.caption, 110)
    drawing.suptitle("\n".join([f"{year_map.title}, {year_map.year}", *caption]), fontsize=13)
    rows = drawing.add_gridspec(3, 3, height_ratios=[height + 1, height + 1, 2.6])
    axes = [drawing.add_subplot(rows[place // 3, place % 3]) for place in range(6)]
    _draw_crop(axes[0], year_map)
    for panel, place in zip(PANELS, axes[1:], strict=True):
        _draw_layer(place, year_map, panel)
    for place in axes:
        _draw_frame(place, extent, year_map.zones)
    if len(year_map.zones) <= _NAMED_ZONES:
        _name_zones(axes[0], year_map.zones)
    _draw_scale(axes[0], extent)
    _draw_courses(drawing.add_subplot(rows[2, :]), year_map)
    return drawing


@dataclass(frozen=True)
class _Extent:
    """What the maps show [degree]: the region and a margin."""

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


def _mesh(axes: Axes, grid: Grid, values: NDArray[np.floating], **colours: Any) -> Any:
    """Draw cells by their true corners, slanted as the sinusoidal grid has them; every n-th if there are too many."""
    thin = -(-max(grid.shape) // _MOST_CELLS)
    x_m, y_m = (np.append(edges[:-1:thin], edges[-1]) for edges in (grid.x_edges_m, grid.y_edges_m))
    corners = lonlat(*np.meshgrid(x_m, y_m))
    return axes.pcolormesh(*corners, np.ma.masked_invalid(values[::thin, ::thin]), rasterized=True, **colours)


def _draw_crop(axes: Axes, year_map: YearMap) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = (-0.5, CORN - 0.5, SOYBEAN - 0.5, SOYBEAN + 0.5)
    colours = ListedColormap([NOT_GROWN, *(colour for _, colour in CROPS.values())])
    mesh = _mesh(axes, year_map.grid, year_map.crop, cmap=colours, norm=BoundaryNorm(edges, 3))
    axes.set_title("Crop grown", fontsize=11)
    bar = _colourbar(axes, mesh, drawedges=True)
    bar.set_ticks(np.add(edges[:-1], edges[1:]) / 2, labels=["neither", *CROPS])
    bar.ax.tick_params(length=0)
    bar.set_label("blank: not modelled")


def _draw_layer(axes: Axes, year_map: YearMap, panel: Panel) -> None:
    values = year_map.layers[panel.name]
    low, high = _limits(values, centred=panel.centred)
    mesh = _mesh(axes, year_map.grid, values, cmap=panel.colours, vmin=low, vmax=high)
    axes.set_title(panel.title, fontsize=11)
    bar = _colourbar(axes, mesh, extend="both")
    bar.ax.locator_params(nbins=5)
    present = values[np.isfinite(values)]
    mean = f", mean {round(float(present.mean())):,}".replace("-", "\N{MINUS SIGN}") if present.size else ""
    bar.set_label(f"{UNIT_YEAR}{mean}")


def _colourbar(axes: Axes, mesh: Any, **options: Any) -> Any:
    drawing = axes.get_figure()
    assert drawing is not None
    return drawing.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.9, pad=0.02, aspect=24, **options)


def _limits(values: NDArray[np.floating], *, centred: bool) -> tuple[float, float]:
    """Return the range of colours: what 96 of 100 cells lie in, so that a few odd ones don't bleach the rest."""
    present = values[np.isfinite(values)]
    if not present.size:
        return -1.0, 1.0
    low, high = np.percentile(present, [2, 98])
    if centred:
        low, high = -max(-low, high), max(-low, high)
    return float(low), float(high)


def _draw_frame(axes: Axes, extent: _Extent, counties: Sequence[Zone]) -> None:
    """Draw county borders and round meridians and parallels, and set the extent."""
    from matplotlib.collections import LineCollection

    lines = shapely.get_parts(shapely.boundary([zone.geometry for zone in counties]))
    axes.add_collection(
        LineCollection([shapely.get_coordinates(line) for line in lines], colors="0.15", linewidths=0.9)
    )
    axes.set(xlim=(extent.west, extent.east), ylim=(extent.south, extent.north), facecolor=NOT_MODELLED)
    axes.set_aspect(_KM_PER_DEGREE / extent.km_per_degree_east)
    step = next((step for step in _STEPS_DEGREE if (extent.east - extent.west) / step <= 5), _STEPS_DEGREE[-1])
    meridians, parallels = _multiples(extent.west, extent.east, step), _multiples(extent.south, extent.north, step)
    axes.set_xticks(meridians, [f"{abs(lon):g}° {'W' if lon < 0 else 'E'}" for lon in meridians])
    axes.set_yticks(parallels, [f"{abs(lat):g}° {'N' if lat > 0 else 'S'}" for lat in parallels])
    axes.tick_params(labelsize=9, length=2)
    axes.grid(color="0.35", linewidth=0.6, linestyle=(0, (4, 4)))


def _multiples(start: float, stop: float, step: float) -> list[float]:
    return [round(number * step, 6) for number in range(int(np.ceil(start / step)), int(np.floor(stop / step)) + 1)]


def _name_zones(axes: Axes, counties: Sequence[Zone]) -> None:
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


def _draw_courses(axes: Axes, year_map: YearMap) -> None:
    axes.axhline(0, color="0.7", linewidth=0.8)
    for name, course in year_map.courses.items():
        axes.plot(np.arange(course.size), course, color=CROPS[name][1], linewidth=1.6, label=name)
    months = list(periods(year_map.year, "month"))
    axes.set_xticks([month.days.start for month in months], [f"{month.first:%b}" for month in months])
    axes.set_title("Daily net ecosystem exchange, mean over the cells of each crop", fontsize=11)
    axes.set(ylabel=UNIT_DAY, xlim=(0, months[-1].days.stop - 1))
    axes.spines[["top", "right"]].set_visible(False)
    if year_map.courses:
        axes.legend(frameon=False)
