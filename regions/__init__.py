"""Regions: which counties are mapped, over which years and on which tiles.

A region is a TOML file beside this module, or a user's own; `load_region` reads it, `zones` gives its counties.
"""

from __future__ import annotations

from regions.boundaries import Zone, counties, states
from regions.region import Region, RegionError, clipped, load_region, zones

__all__ = ["Region", "RegionError", "Zone", "clipped", "counties", "load_region", "states", "zones"]
