"""Maps as pictures: cells by their true corners, borders of states and counties, graticule, scale and colour bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pipeline.grid.sinusoidal import Grid, lonlat
from regions import Zone, states

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CELLS = 1200  # along a side; a larger grid is thinned, since the picture has no more pixels
_STEPS_DEGREE = (0.1, 0.2, 0.5, 1, 2, 5, 10)
_BARS_KM = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_KM_PER_DEGREE = 111.2
_NAMED_ZONES = 8  # more names than these would hide the map
_NAMED_WIDTH = 0.12  # of the map
_OUTLINED_ZONES = 150  # lines of more counties than these would hide it too: states are drawn alone


@dataclass(frozen=True)
class Extent:
    """Extent of a map [degree]: its counties and a margin."""

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def around(cls, counties: Sequence[Zone]) -> Extent:
        """Return the extent of counties."""
        west, south, east, north = shapely.total_bounds([zone.geometry for zone in counties])
        margin = 0.02 * (north - south)
        return cls(west - margin, south - margin, east + margin, north + margin)

    @property
    def km_per_degree_east(self) -> float:
        """Length of a degree of longitude in the middle."""
        return _KM_PER_DEGREE * float(np.cos(np.radians((self.south + self.north) / 2)))

    @property
    def aspect(self) -> float:
        """Width over height on the ground."""
        east, north = self.east - self.west, self.north - self.south
        return east * self.km_per_degree_east / (north * _KM_PER_DEGREE)


def draw_cells(axes: Axes, grid: Grid, values: NDArray[Any], **colours: Any) -> Any:
    """Draw the cells of a grid (rows, cols), every n-th if there are many; NaN and masked ones are left out."""
    thin = -(-max(grid.shape) // MOST_CELLS)
    return draw_blocks(axes, grid, values[::thin, ::thin], edge=thin, rasterized=True, **colours)


def draw_blocks(axes: Axes, grid: Grid, values: NDArray[Any], *, edge: int, **colours: Any) -> Any:
    """Draw blocks of `edge` x `edge` cells by their true corners, which are slanted in longitude and latitude."""
    x_m, y_m = (np.append(edges[:-1:edge], edges[-1]) for edges in (grid.x_edges_m, grid.y_edges_m))
    return draw_edges(axes, x_m, y_m, values, **colours)


def draw_edges(
    axes: Axes, x_m: NDArray[np.floating], y_m: NDArray[np.floating], values: NDArray[Any], **colours: Any
) -> Any:
    """Draw values (rows, cols) between edges of columns and rows in the sinusoidal plane [m], north first."""
    # Corners, not centres: matplotlib would guess corners halfway, along the axes.
    corners = lonlat(*np.meshgrid(x_m, y_m))
    return axes.pcolormesh(*corners, np.ma.masked_invalid(values), **colours)


def limits(present: NDArray[np.floating], *, centred: bool) -> tuple[float, float]:
    """Return the range of colours: that of the middle 96 % of cells, so that a few outliers do not fade the others."""
    if not present.size:
        return -1.0, 1.0
    low, high = np.percentile(present, [2, 98])
    # Around zero for signed fluxes, so that colours separate sources from sinks.
    if centred:
        low, high = -max(-low, high), max(-low, high)
    return float(low), float(high)


def colourbar(axes: Axes, mesh: Any, **options: Any) -> Any:
    """Draw a colour bar below a map, and return it."""
    drawing = axes.get_figure()
    assert drawing is not None
    return drawing.colorbar(mesh, ax=axes, orientation="horizontal", shrink=0.9, pad=0.02, aspect=24, **options)


def draw_borders(axes: Axes, counties: Sequence[Zone]) -> None:
    """Draw the outlines of states, and thinner ones of counties if they are few."""
    if len(counties) <= _OUTLINED_ZONES:
        _draw_lines(axes, [zone.geometry for zone in counties], 0.7)
    _draw_lines(axes, list(states(counties).values()), 1.4)


def _draw_lines(axes: Axes, outlines: Sequence[shapely.Geometry], width: float) -> None:
    from matplotlib.collections import LineCollection

    lines = shapely.get_parts(shapely.boundary(outlines))
    borders = [shapely.get_coordinates(line) for line in lines]
    axes.add_collection(LineCollection(borders, colors="0.15", linewidths=width))


def draw_graticule(axes: Axes, extent: Extent, *, background: str, font: float = 9) -> None:
    """Set extent and background, and draw meridians and parallels of round degrees."""
    axes.set(xlim=(extent.west, extent.east), ylim=(extent.south, extent.north), facecolor=background)
    # A degree of longitude is shorter than one of latitude: drawn at the ratio of the region's middle.
    axes.set_aspect(_KM_PER_DEGREE / extent.km_per_degree_east)
    most = max(2.0, 45 / font)
    step = next((step for step in _STEPS_DEGREE if (extent.east - extent.west) / step <= most), _STEPS_DEGREE[-1])
    meridians, parallels = _multiples(extent.west, extent.east, step), _multiples(extent.south, extent.north, step)
    axes.set_xticks(meridians, [f"{abs(lon):g}° {'W' if lon < 0 else 'E'}" for lon in meridians])
    axes.set_yticks(parallels, [f"{abs(lat):g}° {'N' if lat > 0 else 'S'}" for lat in parallels])
    axes.tick_params(labelsize=font, length=2)
    axes.grid(color="0.35", linewidth=0.6, linestyle=(0, (4, 4)))


def _multiples(start: float, stop: float, step: float) -> list[float]:
    """Multiples of a step between two numbers.

    Examples
    --------
    >>> _multiples(-89.7, -88.4, 0.5)
    [-89.5, -89.0, -88.5]
    """
    return [round(number * step, 6) for number in range(int(np.ceil(start / step)), int(np.floor(stop / step)) + 1)]


def name_counties(axes: Axes, counties: Sequence[Zone], extent: Extent) -> None:
    """Write the names of counties into them, unless they are many; a part too narrow for a name has none."""
    wide = [zone for zone in counties if np.ptp(zone.geometry.bounds[::2]) > _NAMED_WIDTH * (extent.east - extent.west)]
    for zone in wide if len(counties) <= _NAMED_ZONES else ():
        place = shapely.point_on_surface(zone.geometry)
        axes.annotate(
            zone.name, (place.x, place.y), ha="center", fontsize=8, color="0.2", path_effects=[_halo()], clip_on=True
        )


def _halo() -> Any:
    """A white rim that keeps letters legible on a map."""
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=2.5, foreground="white", alpha=0.85)


def draw_scale(axes: Axes, extent: Extent) -> None:
    """Draw a bar of round length at the lower left."""
    width = extent.east - extent.west
    length = max((km for km in _BARS_KM if km <= width * extent.km_per_degree_east / 4), default=_BARS_KM[0])
    left, low = extent.west + 0.05 * width, extent.south + 0.05 * (extent.north - extent.south)
    right = left + length / extent.km_per_degree_east
    axes.plot([left, right], [low, low], color="black", linewidth=3, solid_capstyle="butt")
    axes.annotate(f"{length} km", (left, low), (0, 4), textcoords="offset points", path_effects=[_halo()], fontsize=9)
