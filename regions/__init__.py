"""Regions: which counties are mapped, over which years and on which tiles.

A region is a TOML file beside this module, or a user's own; `load_region` reads it, `zones` gives its counties.
"""

from __future__ import annotations

from regions.boundaries import Zone, counties, states
from regions.lookup import STATES, counties_like, included, near_county, near_state
from regions.messages import did_you_mean, listed
from regions.region import Region, RegionError, clipped, load_region, zones

__all__ = [
    "STATES",
    "Region",
    "RegionError",
    "Zone",
    "clipped",
    "counties",
    "counties_like",
    "did_you_mean",
    "included",
    "listed",
    "load_region",
    "near_county",
    "near_state",
    "states",
    "zones",
]
