"""Figure of the inputs store: maps of the newest year of each product, series over years, coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pipeline.grid.domain import domain_of
from pipeline.grid.sinusoidal import Grid, Tile, lonlat
from pipeline.inputs.layout import PRODUCTS, group_name
from pipeline.inputs.report import InputsReport
from pipeline.inputs.survey import Survey, Window, cell_windows
from pipeline.inputs.view import InputsView, open_inputs
from pipeline.sources.nldas2.product import CELL_DEGREE
from pipeline.storage import cf, repository
from regions import Region, Zone, zones

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS_WIDE = 1600

_DPI = 100
_MOST_CELLS = 500  # along a side of a map: a panel has no more pixels
_KM_PER_DEGREE = 111.2
_MOST_NAMED_YEARS = 12  # percentages in the coverage table; more would overlap
_NOT_THERE = "#f0f0f0"
_GPP_COLOUR, _RAIN_COLOUR, _WARM_COLOUR = "#2f7d4f", "#7aa6c9", "#b5462f"
_CROP_COLOURS = {"corn": "#e0a526", "soybean": "#3f7f6b"}


@dataclass(frozen=True)
class Panel:
    """A map of the figure: variable, title, unit and colours; daily variables are shown as annual sum or mean."""

    product: str
    name: str
    title: str
    unit: str
    colours: str
    annual_sum: bool = False
    share: bool = False


# In the order of the picture: two maps of each product; beside one of GPP is the course of its daily mean.
PANELS = (
    Panel("climate", "tmax_air", "Daily maximum temperature, annual mean", "°C", "RdYlBu_r"),
    Panel("climate", "precn", "Annual precipitation", "mm", "YlGnBu", annual_sum=True),
    Panel("gpp", "gpp", "Annual gross primary production", r"g C m$^{-2}$", "YlGn", annual_sum=True),
    Panel("soil", "tsoc", "Soil organic carbon, 0-30 cm", r"g kg$^{-1}$", "YlOrBr"),
    Panel("soil", "tsand", "Sand, 0-30 cm", r"g kg$^{-1}$", "cividis"),
    Panel("soil", "tph", "pH, 0-30 cm", "", "viridis"),
    Panel("crop", "corn_fraction", "Corn, share of the cell", "", "YlOrBr", share=True),
    Panel("crop", "soybean_fraction", "Soybean, share of the cell", "", "YlGn", share=True),
)
_PLACES = ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1))  # row and column of each


@dataclass(frozen=True, eq=False)
class Mapped:
    """Values of a map (rows, cols), NaN where missing, with the corners of its cells (rows + 1, cols + 1) [degree]."""

    layer: Panel
    year: int | None
    longitude: NDArray[np.floating]
    latitude: NDArray[np.floating]
    values: NDArray[np.floating]
    sampled: bool = False


def write_figure(path: Path, region: Region, report: InputsReport, *, everything: bool = False) -> None:
    """Draw the content of a report as a PNG, `PIXELS_WIDE` wide.

    Parameters
    ----------
    everything
        Read all cells of daily GPP for its map, not a chunk of each tile.
    """
    view = open_inputs(report.location, report.snapshot)
    maps = {layer.name: read_map(view, domain_of(region).tiles, layer, year, everything=everything)
            for layer, year in _newest(report.surveys)}  # fmt: skip
    drawing = figure(report, maps, zones(region))
    drawing.savefig(path, dpi=_DPI, format="png")


def _newest(surveys: Sequence[Survey]) -> Iterator[tuple[Panel, int | None]]:
    """Yield every panel whose product is ingested, with its last year."""
    last = {survey.product: survey.year for survey in surveys}
    yield from ((layer, last[layer.product]) for layer in PANELS if layer.product in last)


def read_map(
    view: InputsView, tiles: tuple[Tile, ...], layer: Panel, year: int | None, *, everything: bool = False
) -> Mapped:
    """Read the map of a panel, tile by tile, thinned to the resolution of the figure.

    Where one chunk of a tile is read, its mean is shown for the entire tile.
    """
    array = repository.array(view.root, f"{group_name(layer.product, year)}/{layer.name}")
    windows = list(cell_windows(view, array, tiles=tiles, everything=everything))
    packing = cf.Packing.of(array)
    if layer.product == "climate":
        values = np.full((view.extent.window.rows, view.extent.window.cols), np.nan)
        for window in windows:
            values[window] = _of_year(layer, packing.unpacked(np.asarray(array[..., *window])))
        return Mapped(layer, year, *_degree_corners(view), values)
    thin = -(-max(view.grid.shape) // _MOST_CELLS)
    values = np.full([len(range(0, side, thin)) for side in view.grid.shape], np.nan)
    for tile, window in zip(tiles, windows, strict=True):
        found = _of_year(layer, packing.unpacked(np.asarray(array[..., *window])))
        whole = view.grid.window(tile)
        values[_thinned(whole, thin)] = found[_first(window, thin)] if whole == window else _mean(found)
    sampled = any(view.grid.window(tile) != window for tile, window in zip(tiles, windows, strict=True))
    return Mapped(layer, year, *_cell_corners(view.grid, thin), values, sampled)


def _of_year(layer: Panel, values: NDArray[Any]) -> NDArray[np.floating]:
    if values.ndim == 2:
        return values.astype(np.float64)
    return np.asarray((np.sum if layer.annual_sum else np.mean)(values, axis=0, dtype=np.float64))


def _mean(values: NDArray[np.floating]) -> float:
    present = values[np.isfinite(values)]
    return float(present.mean()) if present.size else np.nan


def _thinned(window: Window, thin: int) -> Window:
    """Return the rows and columns of a window in a map of every `thin`-th cell of the grid."""
    row, col = (slice(-(-side.start // thin), -(-side.stop // thin)) for side in window)
    return row, col


def _first(window: Window, thin: int) -> Window:
    """Return every `thin`-th cell of the grid, as rows and columns inside a window."""
    row, col = (slice(-side.start % thin, None, thin) for side in window)
    return row, col


def _cell_corners(grid: Grid, thin: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    x_m, y_m = (np.append(edges[:-1:thin], edges[-1]) for edges in (grid.x_edges_m, grid.y_edges_m))
    return lonlat(*np.meshgrid(x_m, y_m))


def _degree_corners(view: InputsView) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    centres = (view.extent.window.longitudes, view.extent.window.latitudes)
    longitude, latitude = (np.append(axis - CELL_DEGREE / 2, axis[-1] + CELL_DEGREE / 2) for axis in centres)
    east, north = np.meshgrid(longitude, latitude)
    return east, north


def figure(report: InputsReport, maps: Mapping[str, Mapped], counties: Sequence[Zone]) -> Figure:
    """Return a row of panels for each product, and below them its coverage of the region by year."""
    from matplotlib.figure import Figure

    west, south, east, north = shapely.total_bounds([zone.geometry for zone in counties])
    stretch = 1 / float(np.cos(np.radians((south + north) / 2)))
    width = PIXELS_WIDE / _DPI
    map_height = float(np.clip((width / 3 - 0.9) * (north - south) * stretch / (east - west), 2.0, 5.5))
    heights = [map_height + 1.4] * 4 + [1.0 + 0.3 * len(PRODUCTS)]
    drawing = Figure(figsize=(width, sum(heights) + 0.8), layout="constrained")
    drawing.suptitle("\n".join(_title(report)), fontsize=15)
    cells = drawing.add_gridspec(5, 3, height_ratios=heights)
    for layer, (row, col) in zip(PANELS, _PLACES, strict=True):
        place = drawing.add_subplot(cells[row, col])
        if layer.name in maps:
            _draw_map(place, maps[layer.name])
            _draw_frame(place, counties, stretch)
        else:
            _draw_absence(place, layer)
    _draw_weather(drawing.add_subplot(cells[0, 2]), _of(report, "climate"))
    _draw_course(drawing.add_subplot(cells[1, 1:]), _of(report, "gpp"))
    _draw_crops(drawing.add_subplot(cells[3, 2]), _of(report, "crop"))
    _draw_coverage(drawing.add_subplot(cells[4, :]), report)
    return drawing


def _title(report: InputsReport) -> Iterator[str]:
    yield f"Inputs of {report.title}"
    if report.synthetic:
        yield f"synthetic, without any observation: {', '.join(report.synthetic)}"


def _of(report: InputsReport, product: str) -> list[Survey]:
    return [survey for survey in report.surveys if survey.product == product]


def _draw_map(axes: Axes, mapped: Mapped) -> None:
    layer, present = mapped.layer, mapped.values[np.isfinite(mapped.values)]
    # The range of 96 % of the cells, so that a few outliers do not take up the colour scale.
    low, high = (0, 1) if layer.share or not present.size else np.percentile(present, [2, 98])
    mesh = axes.pcolormesh(mapped.longitude, mapped.latitude, np.ma.masked_invalid(mapped.values),
                           cmap=layer.colours, vmin=low, vmax=high, rasterized=True)  # fmt: skip
    title = layer.title if mapped.year is None else f"{layer.title}, {mapped.year}"
    axes.set_title(f"{title} (mean of a sample of each tile)" if mapped.sampled else title, fontsize=11)
    drawing = axes.get_figure()
    assert drawing is not None
    bar = drawing.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.9, pad=0.02, aspect=30,
                           extend="neither" if layer.share else "both")  # fmt: skip
    bar.ax.locator_params(nbins=6)
    mean = _mean(mapped.values)
    bar.set_label(f"{layer.unit}   mean {mean:,.0f}" if mean > 100 else f"{layer.unit}   mean {mean:.3g}")


def _draw_frame(axes: Axes, counties: Sequence[Zone], stretch: float) -> None:
    """Draw county borders and set the extent: the region and a margin."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    west, south, east, north = shapely.total_bounds([zone.geometry for zone in counties])
    lines = shapely.get_parts(shapely.boundary([zone.geometry for zone in counties]))
    thin = 0.8 if len(counties) < 100 else 0.25
    axes.add_collection(
        LineCollection([shapely.get_coordinates(line) for line in lines], colors="0.2", linewidths=thin)
    )
    margin = 0.03 * (north - south)
    axes.set(xlim=(west - margin, east + margin), ylim=(south - margin, north + margin), facecolor=_NOT_THERE)
    axes.set_aspect(stretch)
    for axis, sides in ((axes.xaxis, "EW"), (axes.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(partial(_degrees, sides))
    axes.tick_params(labelsize=9)


def _degrees(sides: str, degree: float, _position: int | None) -> str:
    """Return `89.5° W` for -89.5 and the sides `EW`."""
    return f"{abs(degree):g}° {sides[int(degree < 0)]}"


def _draw_absence(axes: Axes, layer: Panel) -> None:
    axes.set_title(layer.title, fontsize=11)
    axes.set(xticks=[], yticks=[], facecolor=_NOT_THERE)
    axes.text(0.5, 0.5, "not ingested", ha="center", va="center", transform=axes.transAxes, color="0.4")


def _draw_weather(axes: Axes, surveys: Sequence[Survey]) -> None:
    """Draw annual precipitation, mean over the cells, as bars, and mean daily maximum temperature as a line."""
    years = [survey.year or 0 for survey in surveys]
    rain = [survey.found.distributions["precn"].mean * survey.daily_mean.size for survey in surveys]
    axes.bar(years, rain, color=_RAIN_COLOUR, width=0.7)
    axes.set_title("Annual precipitation, mean daily maximum temperature", fontsize=11)
    axes.set_ylabel("mm", color=_RAIN_COLOUR)
    warm = axes.twinx()
    warm.plot(years, [survey.found.distributions["tmax_air"].mean for survey in surveys], "o-", color=_WARM_COLOUR)
    warm.set_ylabel("°C", color=_WARM_COLOUR)
    _whole_years(axes, years)


def _whole_years(axes: Axes, years: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    if years:
        axes.set_xlim(min(years) - 0.6, max(years) + 0.6)


def _draw_course(axes: Axes, surveys: Sequence[Survey]) -> None:
    for survey in surveys:
        first = np.datetime64(f"{survey.year}-01-01", "D")
        axes.plot(first + np.arange(survey.daily_mean.size), survey.daily_mean, color=_GPP_COLOUR, linewidth=1.2)
    axes.set_title("Daily gross primary production, mean over the cells", fontsize=11)
    axes.set_ylabel(r"g C m$^{-2}$ d$^{-1}$")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_crops(axes: Axes, surveys: Sequence[Survey]) -> None:
    years = [survey.year or 0 for survey in surveys]
    for crop, colour in _CROP_COLOURS.items():
        shares = [survey.found.distributions[f"{crop}_fraction"].mean for survey in surveys]
        axes.plot(years, shares, "o-", color=colour, label=crop)
    axes.set_title("Corn and soybean, mean share of the region's cells", fontsize=11)
    axes.set_ylim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    if surveys:
        axes.legend(frameon=False)
    _whole_years(axes, years)


def _draw_coverage(axes: Axes, report: InputsReport) -> None:
    """Draw the share of cells with data by product and year, grey where not ingested; soil fills its row."""
    wanted = {survey.year for survey in report.surveys} | {year for years in report.absent.values() for year in years}
    years = sorted(year for year in wanted if year is not None)
    products = [product for product in PRODUCTS if product in report.absent or _of(report, product)]
    for row, product in enumerate(products):
        axes.barh(row, max(len(years), 1), left=0, height=0.94, color="0.85")
        for survey in _of(report, product):
            _draw_share(axes, survey, row=row, years=years)
    axes.set_xticks(np.arange(len(years)) + 0.5, [str(year) for year in years])
    axes.set_yticks(range(len(products)), products)
    axes.set(xlim=(0, max(len(years), 1)), ylim=(len(products) - 0.5, -0.5))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Share of the stored cells with data; grey: not ingested", fontsize=11)


def _draw_share(axes: Axes, survey: Survey, *, row: int, years: Sequence[int]) -> None:
    """Draw one product-year as a cell whose filled part is its coverage; soil has one, as long as all years."""
    left, width = (0, max(len(years), 1)) if survey.year is None else (years.index(survey.year), 1)
    gap = 0.03
    axes.barh(row, width - gap, left=left, align="center", height=0.9, color="#f3d9d3")
    axes.barh(row, (width - gap) * survey.coverage, left=left, height=0.9, color=_GPP_COLOUR)
    if len(years) <= _MOST_NAMED_YEARS or survey.year is None:
        text = f"{survey.coverage:.1%}"
        axes.text(left + width / 2, row, text, ha="center", va="center", color="white", path_effects=[_rim()])


def _rim() -> Any:
    """Return a dark outline that keeps white letters legible on a light background."""
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=2.5, foreground="0.25")
