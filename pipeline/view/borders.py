"""State and county lines as GeoJSON: the background of the map, and the places that its search finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.geometry import mapping

from regions import Zone

DECIMALS = 4  # 1e-4 degree is 11 m; cells measure 232 m
_NEAR_TOLERANCE_DEGREE, _FAR_TOLERANCE_DEGREE = 0.001, 0.05
_MARGIN_DEGREE = 0.7


@dataclass(frozen=True)
class Borders:
    """GeoJSON of the counties around a region, and of all states: those of these counties have the same vertices."""

    counties: bytes
    states: bytes


def borders(zones: Sequence[Zone], everywhere: Sequence[Zone]) -> Borders:
    """Return the lines around a region.

    Counties have FIPS code, name, state, whether the region holds them, bounds, and a place for the name; these two are
    of the part inside the region.

    Parameters
    ----------
    zones
        Counties of the region, or their parts inside it.
    everywhere
        All counties.
    """
    box = shapely.box(*shapely.total_bounds([zone.geometry for zone in zones])).buffer(_MARGIN_DEGREE)
    near = {zone.fips for zone in everywhere if zone.geometry.intersects(box)}
    near_states = {zone.state for zone in everywhere if zone.fips in near}
    detailed = [zone for zone in everywhere if zone.state in near_states]
    outlines = shapely.coverage_simplify([zone.geometry for zone in detailed], _NEAR_TOLERANCE_DEGREE)
    distant = [zone for zone in everywhere if zone.state not in near_states]
    coarse = shapely.coverage_simplify([zone.geometry for zone in distant], _FAR_TOLERANCE_DEGREE)
    shown = [(zone, outline) for zone, outline in zip(detailed, outlines, strict=True) if zone.fips in near]
    inside = {zone.fips: zone for zone in zones}
    of_states = _joined(detailed, outlines) | _joined(distant, coarse)
    return Borders(
        _geojson(
            [outline for _, outline in shown],
            [_properties(inside.get(zone.fips, zone), zone.fips in inside) for zone, _ in shown],
        ),
        _geojson(list(of_states.values()), [{"state": name} for name in of_states]),
    )


def _properties(zone: Zone, inside: bool) -> dict[str, Any]:
    """Return the properties of a county, or of its part in the region; `at` is the place of its name."""
    place = shapely.point_on_surface(zone.geometry)
    return {
        "fips": zone.fips,
        "name": zone.name,
        "state": zone.state,
        "inside": inside,
        "at": [round(place.x, 3), round(place.y, 3)],
        "bounds": np.round(zone.geometry.bounds, 3).tolist(),
    }


def _joined(zones: Sequence[Zone], outlines: Sequence[shapely.Geometry]) -> dict[str, shapely.Geometry]:
    """Return the union of the outlines of each state."""
    names = sorted({zone.state for zone in zones})
    of_state = {
        name: [each for zone, each in zip(zones, outlines, strict=True) if zone.state == name] for name in names
    }
    return {name: shapely.coverage_union_all(parts) for name, parts in of_state.items()}


def _geojson(geometries: Sequence[shapely.Geometry], properties: Sequence[dict[str, Any]]) -> bytes:
    rounded = shapely.transform(np.array(geometries, dtype=object), lambda lonlat: np.round(lonlat, DECIMALS))
    features = [
        {"type": "Feature", "properties": of_zone, "geometry": mapping(geometry)}
        for of_zone, geometry in zip(properties, rounded, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")).encode()
