"""County boundaries of the 48 contiguous states and the District of Columbia.

Source: US Census Bureau, Cartographic Boundary Files 2016, `cb_2016_us_county_500k` (1:500,000, NAD83, EPSG:4269), as
carried by the Python package plotly-geo (MIT). Works of the US government, in the public domain. `regions.pack` made
`counties.npz` from them.

Longitudes and latitudes in NAD83 are used as if in WGS84: they differ by 1 to 2 m, and cells measure 232 m.

References
----------
https://www.census.gov/geographies/mapping-files/time-series/geo/cartographic-boundary.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import GeometryType, MultiPolygon, Polygon

COUNTIES_FILE = Path(__file__).with_name("counties.npz")
STEP_DEGREE = 1e-6  # the Census gives more than six decimals for 4 % of vertices; rounding moves them by 6 cm at most


@dataclass(frozen=True)
class Zone:
    """A county, or its part inside a region.

    Attributes
    ----------
    fips
        Five-digit FIPS code: two digits of the state, three of the county.
    name
        Name of the county without "County", in the spelling of the Census.
    state
        Postal abbreviation of the state.
    geometry
        Longitude and latitude [degree]; edges are straight in longitude and latitude.
    """

    fips: str
    name: str
    state: str
    geometry: Polygon | MultiPolygon


@cache
def counties() -> tuple[Zone, ...]:
    """Return all counties of the contiguous states in the order of their FIPS codes.

    Examples
    --------
    >>> [(zone.name, zone.state) for zone in counties() if zone.fips == "17019"]
    [('Champaign', 'IL')]
    """
    with np.load(COUNTIES_FILE, allow_pickle=False) as packed:
        geometries = unpack_geometries({name: packed[name] for name in packed.files if name.startswith("geometry_")})
        labels = (packed[name].tolist() for name in ("fips", "name", "state"))
        return tuple(Zone(*record) for record in zip(*labels, geometries, strict=True))


def states(zones: Sequence[Zone]) -> dict[str, Polygon | MultiPolygon]:
    """Return the union of the counties of each state, by its postal abbreviation.

    Examples
    --------
    >>> outlines = states(counties())
    >>> len(outlines), outlines["KS"].geom_type
    (49, 'Polygon')
    """
    names = sorted({zone.state for zone in zones})
    return {name: shapely.union_all([zone.geometry for zone in zones if zone.state == name]) for name in names}


def pack_geometries(geometries: NDArray[np.object_]) -> dict[str, NDArray[np.generic]]:
    """Return multipolygons as small integer arrays: steps between vertices [1e-6 degree] and lengths of the parts.

    The bytes of the steps are stored by significance (all lowest bytes, then all second ones ...): as steps are short,
    the high bytes are nearly constant and compress to almost nothing.
    """
    _, coordinates, offsets = shapely.to_ragged_array(geometries)
    steps = np.diff(np.round(coordinates / STEP_DEGREE).astype("<i4"), axis=0, prepend=np.int32(0))
    packed = {"geometry_steps": np.ascontiguousarray(steps.view(np.uint8).T)}
    return packed | {f"geometry_lengths_{level}": np.diff(of).astype("<i4") for level, of in enumerate(offsets)}


def unpack_geometries(packed: dict[str, NDArray[np.generic]]) -> NDArray[np.object_]:
    """Return the multipolygons that `pack_geometries` packed; equal vertices stay equal."""
    steps = np.ascontiguousarray(packed["geometry_steps"].T).view("<i4")
    # Sums of integers are exact: shared vertices of neighbours stay equal, and borders leave no gaps.
    coordinates = np.cumsum(steps, axis=0, dtype=np.int64) * STEP_DEGREE
    offsets = [np.append(0, np.cumsum(packed[f"geometry_lengths_{level}"])) for level in range(len(packed) - 1)]
    polygons: NDArray[np.object_] = shapely.from_ragged_array(GeometryType.MULTIPOLYGON, coordinates, tuple(offsets))
    return polygons
