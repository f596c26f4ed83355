"""Pictures of the report as data URIs: maps as PNG, graphs as SVG."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import basemap
from pipeline.analysis import figures
from pipeline.analysis.mosaic import Mosaic
from pipeline.analysis.spread import Spread
from pipeline.export.palettes import CROP_COLOURS, NOT_MODELLED, ramp
from pipeline.report.courses import DAYS
from pipeline.report.quantities import CROPS, Quantity
from pipeline.report.values import RegionValues
from regions import Zone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_MAP_INCH, _PANEL_INCH, _COLUMNS = 4.6, 3.0, 4
_BARS = 40
_ENDS = 0.005  # share of the area beyond either end of a histogram
_COURSE_TITLES = ("GPP", "Respiration (Reco)", "Net exchange (NEE)")
_MONTH_STARTS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def png(drawing: Figure) -> str:
    """Return a figure as a data URI of a PNG."""
    return _uri(drawing, "png", "image/png", dpi=_DPI, bbox_inches="tight", pad_inches=0.04)


def svg(drawing: Figure) -> str:
    """Return a figure as a data URI of an SVG."""
    return _uri(drawing, "svg", "image/svg+xml", metadata={"Date": None})


def embedded(content: bytes, media_type: str = "image/png") -> str:
    """Return the data URI of an image."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _uri(drawing: Figure, form: str, media_type: str, **options: Any) -> str:
    buffer = BytesIO()
    drawing.savefig(buffer, format=form, **options)
    return embedded(buffer.getvalue(), media_type)


def mean_map(values: RegionValues, each: Quantity, zones: tuple[Zone, ...]) -> str:
    """Return the map of the mean over the years."""
    drawing, panels = figures.sheet([["map"]], (_MAP_INCH, figures.map_height(zones)))
    style = figures.Style("", figures.UNIT_YEAR, ramp(each.name))
    figures.draw_mosaic(panels["map"], values.mean[each.name], zones, style)
    return png(drawing)


def annual_maps(values: RegionValues, each: Quantity, zones: tuple[Zone, ...]) -> str:
    """Return the maps of all years with one scale of colours."""
    from matplotlib.figure import Figure

    mosaics = dict(zip(values.years, values.annual[each.name], strict=True))
    columns = min(len(mosaics), _COLUMNS)
    rows = -(-len(mosaics) // columns)
    extent, colours = basemap.Extent.around(zones), ramp(each.name)
    size = columns * _PANEL_INCH, rows * (_PANEL_INCH / extent.aspect + 0.5) + 0.7
    drawing = Figure(figsize=size, layout="constrained")
    axes_of = drawing.subplots(rows, columns, squeeze=False)
    shown = [mosaic.means_YX for mosaic in mosaics.values()]
    low, high = basemap.limits(np.concatenate([means[np.isfinite(means)] for means in shown]), centred=colours.centred)
    for axes in axes_of.ravel()[len(mosaics) :]:
        axes.set_axis_off()
    for axes, (year, mosaic) in zip(axes_of.ravel(), mosaics.items(), strict=False):
        mesh = _draw_mesh(axes, mosaic, cmap=colours.colours, vmin=low, vmax=high)
        basemap.draw_borders(axes, zones)
        basemap.draw_graticule(axes, extent, background=NOT_MODELLED, font=7)
        axes.set_title(str(year), fontsize=10)
    bar = drawing.colorbar(mesh, ax=axes_of, orientation="horizontal", extend="both", aspect=50, shrink=0.7)
    bar.set_label(f"{figures.UNIT_YEAR}; grey: not modelled or no result", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return png(drawing)


def _draw_mesh(axes: Axes, mosaic: Mosaic, **colours: Any) -> Any:
    return basemap.draw_edges(axes, mosaic.x_edges_m, mosaic.y_edges_m, mosaic.means_YX, rasterized=True, **colours)


def courses(values: RegionValues, crop: str) -> str:
    """Return the seasonal courses of a crop: mean of the years, and their range."""
    drawing, panels = figures.sheet([["course"]], (5.2, 3.2))
    axes, colours = panels["course"], ("#3f7f6b", "#a6611a", "#0072b2")
    mean, by_year, days = values.courses.mean(crop), values.courses.by_year(crop), np.arange(DAYS)
    axes.axhline(0, color="0.7", linewidth=0.8)
    for index, (title, colour) in enumerate(zip(_COURSE_TITLES, colours, strict=True)):
        there = by_year[index][np.isfinite(by_year[index]).all(axis=1)]
        if len(there):
            axes.fill_between(days, there.min(axis=0), there.max(axis=0), color=colour, alpha=0.2, linewidth=0)
        axes.plot(days, mean[index], color=colour, linewidth=1.5, label=title)
    axes.set_xticks(_MONTH_STARTS, list("JFMAMJJASOND"))
    axes.legend(frameon=False, fontsize=8)
    figures.finish(axes, "", ylabel=r"g C m$^{-2}$ d$^{-1}$", xlim=(0, DAYS - 1))
    return svg(drawing)


def distribution(values: RegionValues, each: Quantity) -> str:
    """Return the distribution of the annual values of a quantity over the area of each crop."""
    drawing, panels = figures.sheet([["spread"]], (4.6, 2.9))
    axes = panels["spread"]
    spreads = {crop: values.spreads[each.name, crop] for crop in CROPS}
    if any(spread.area_m2.any() for spread in spreads.values()):
        edges = _edges(list(spreads.values()))
        for crop, spread in spreads.items():
            figures.draw_histogram(axes, edges, spread.coarser(edges), color=CROP_COLOURS[crop], label=crop)
        axes.legend(frameon=False, fontsize=8)
    figures.finish(axes, "", xlabel=figures.UNIT_YEAR, ylabel="% of the crop's area")
    return svg(drawing)


def _edges(spreads: list[Spread]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return about `_BARS` + 1 edges of the spreads' bins, around all but a small share of the area."""
    filled = [spread for spread in spreads if spread.area_m2.any()]
    first = filled[0]
    low = min(spread.quantile(_ENDS) for spread in filled)
    high = max(spread.quantile(1 - _ENDS) for spread in filled)
    step = max(round((high - low) / _BARS / first.width), 1)
    begin = int((low - first.low) / first.width)
    end = min(begin + step * (_BARS + 2), first.bins)
    return first.edges[begin : end + 1 : step]


def years_of(values: RegionValues, each: Quantity) -> str:
    """Return the means of the years of a quantity."""
    drawing, panels = figures.sheet([["years"]], (4.6, 2.4))
    axes = panels["years"]
    means = values.annual_means(each.name)
    axes.axhline(values.whole_mean(each.name), color="0.6", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(values.years, means, "o-", color=figures.OURS, linewidth=1.4, markersize=4)
    axes.set_xticks(values.years[:: max(len(values.years) // 6, 1)])
    figures.finish(axes, "", ylabel=figures.UNIT_YEAR)
    return svg(drawing)
