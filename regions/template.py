"""A commented region file, from which users make their own."""

from __future__ import annotations

TEMPLATE = """\
# agcarbon region file: the area and the years of the maps. Use it as `agcarbon init THIS_FILE -o run.toml`.
# The name of the file without .toml is the name of the region.

# Title for people, one line.
title = "My region"

# Area: states, counties, bbox, or several of them; at least one.
# States that are mapped entirely, by postal abbreviation (48 contiguous states and DC).
# states = ["IL", "IN"]
# Further counties, by FIPS code of five digits; `agcarbon counties NAME` looks them up.
counties = ["17019", "17113"]
# West, south, east, north [degree]: clips the counties; without states and counties, all counties that meet it.
# bbox = [-89.62, 39.905, -89.38, 40.095]

# First and last year, both included; the first two also serve as spin-up. Later years are appended with --years, or by
# raising last_year alone; first_year is fixed with the cube.
first_year = 2010
last_year = 2012

# Years over which the corn and soybean fraction is averaged for the mask of modelled cells; all years if absent. Fixed
# with the cube: write them here before last_year is raised.
mask_years = [2010, 2011, 2012]
# Lowest mean fraction of corn and soybean of a modelled cell, 0 to 1.
crop_threshold = 0.5
# Edge of a tile in cells of 231.66 m; divides the 4800 of a MODIS tile: 240, or 48 for a small region. Fixed with the
# cube.
tile_cells = 240
"""
"""The optional keys have their defaults, except `mask_years`, which is written out."""
