"""Totals of the region along every road: over its cells, counties and states, the stored maps, and zonal polygons.

Each road is summed by itself, from what a reader of it would take. A road that lost or doubled area or carbon differs
from the others by more than rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.access.dataset import OpenCube
from pipeline.access.polygons import TileShares, tile_shares
from pipeline.access.series import PolygonSeries
from pipeline.aggregate import layout
from pipeline.aggregate.frame import Band
from pipeline.aggregate.sums import Array, Sums
from pipeline.aggregate.tables import relative_differences, states_of
from pipeline.audit.checks import TOTALS, Measured
from pipeline.cube.layout import identity
from pipeline.grid.sinusoidal import Grid
from pipeline.sources.polygons import Shape
from pipeline.variables import FLUXES
from regions import Zone

_MAPS = {"0.0025 degree": layout.FINE, "0.05 degree": layout.MIDDLE, "0.5 degree": layout.COARSE}
_MAP_LAYERS = frozenset(layer.name for layer in layout.ANNUAL_LAYERS)
ROADS = ("cells", "counties", "states", *_MAPS, "zonal")
_LAYERS = ("area", "missing area", *(flux.name for flux in FLUXES))


@dataclass
class BandTotals:
    """The totals of a band and year along every road (area types, layers), which grow with the parts of its aggregates.

    Attributes
    ----------
    zones
        Counties of the region.
    """

    zones: Sequence[Zone]
    _by_road: dict[str, Array] = field(default_factory=lambda: {road: Sums.zero().layers for road in ROADS})
    _held: dict[str, dict[str, Array]] = field(default_factory=dict)

    def add(self, fresh: layout.Part, stored: Array) -> None:
        """Take in a part as it is computed and as it is stored."""
        if fresh.path == layout.ROUTE_SUMS:
            self._by_road["cells"] += fresh.values[:, : len(_LAYERS), 0]
        elif fresh.path == layout.COUNTIES:
            stored = stored[:, : len(_LAYERS)]  # not those of members, which maps do not hold
            self._by_road["counties"] += Sums(stored).whole().layers
            self._by_road["states"] += Sums(stored).onto(states_of(self.zones)[1]).whole().layers
        else:
            self._add_map(fresh.path, stored)

    def add_zonal(self, sums: Sums) -> None:
        """Take in the sums over the counties as polygons."""
        self._by_road["zonal"] += sums.whole().layers[:, : len(_LAYERS)]

    def _add_map(self, path: str, stored: Array) -> None:
        group, _, name = path.rpartition("/")
        road = next((road for road, of_map in _MAPS.items() if of_map == group), None)
        if road is None:
            return
        held = self._held.setdefault(road, {})
        if name not in _MAP_LAYERS:
            return
        held[name] = stored
        if len(held) == len(_MAP_LAYERS):  # all of one window
            self._by_road[road] += _sums_of(self._held.pop(road))

    @property
    def layers(self) -> Array:
        """Totals (area types, layers, roads)."""
        return np.stack([self._by_road[road] for road in ROADS], axis=-1)


def _sums_of(maps: dict[str, Array]) -> Array:
    """Return the sums (area types, layers) of maps of means and areas (area types, lat, lon)."""
    area = maps[layout.AREA.name]
    totals = [np.where(area > 0, maps[flux.name] * area, 0) for flux in FLUXES]
    sums: Array = np.stack([area, maps[layout.MISSING_AREA.name], *totals], axis=1).sum(axis=(-2, -1))
    return sums


def zonal_of(root: zarr.Group, band: Band, zones: Sequence[Zone], *, place: str) -> PolygonSeries:
    """Return the series of the counties as polygons, over the tiles of a band, as `agcarbon zonal` has them."""
    cube = OpenCube(place, "", root, identity(root).grid)

    def shares(polygons: Sequence[Shape], grid: Grid) -> Iterator[TileShares]:
        return tile_shares(polygons, grid, disjoint=True, tiles=band.tiles)

    return PolygonSeries(cube, [Shape(zone.fips, zone.geometry) for zone in zones], shares)


def measured(totals: NDArray[np.float64]) -> Measured:
    """Return the largest relative difference of a total (area types, layers, roads) from that over the cells."""
    apart = relative_differences(totals)
    _, layer, road = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    worst = float(apart.max()) if np.isfinite(apart).all() else float("nan")
    return Measured(TOTALS, worst, apart[..., 1:].size, f"{ROADS[road]}: {_LAYERS[layer]}" if worst else "")
